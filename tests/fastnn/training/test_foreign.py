import numpy as np
import pandas
import polars
import pytest
import torch

from fastnn import (
    SGD,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    Sequential,
    evaluate,
    fit,
    predict,
    predict_proba,
)
from fastnn.training.foreign import as_array

X = np.random.default_rng(0).integers(-9, 9, size=(20, 3)).astype(np.float32)
Y = np.arange(20) % 2
COLUMNS = {name: X[:, place] for place, name in enumerate("abc")}
MIXED = {
    "a": pandas.array(X[:, 0], dtype="Float32"),
    "b": pandas.array(X[:, 1].astype(int), dtype="Int64"),
    "c": X[:, 2],
}
SAMPLES = {
    "list": X.tolist(),
    "tensor": torch.tensor(X),
    "tensor with a gradient": torch.tensor(X, requires_grad=True),
    "parameter": torch.nn.Parameter(torch.tensor(X)),
    "bfloat16": torch.tensor(X, dtype=torch.bfloat16),
    "float16": torch.tensor(X, dtype=torch.float16),
    "list of tensors": list(torch.tensor(X, dtype=torch.bfloat16)),
    "pandas": pandas.DataFrame(COLUMNS),
    "Float32": pandas.DataFrame(COLUMNS).astype("Float32"),
    "columns of several dtypes": pandas.DataFrame(MIXED),
    "columns of one name": pandas.DataFrame(MIXED).set_axis(["a", "a", "a"], axis=1),
    "pyarrow": pandas.DataFrame(COLUMNS).astype("float[pyarrow]"),
    "polars": polars.DataFrame(COLUMNS),
    "polars of several dtypes": polars.DataFrame(COLUMNS).cast({"b": polars.Int64}),
}
CLASSES = {
    "list": Y.tolist(),
    "tensor": torch.tensor(Y),
    "bool tensor": torch.tensor(Y) == 1,
    "pandas": pandas.Series(Y),
    "Int64": pandas.Series(Y, dtype="Int64"),
    "boolean": pandas.Series(Y == 1, dtype="boolean"),
    "polars": polars.Series(Y),
}


def model(columns=2):
    return Sequential(Linear(3, columns, seed=0))


def train(model, x, y, loss=None, **options):
    optimizer = SGD(model.parameters(), lr=0.01)
    return fit(model, x, y, loss=loss or CrossEntropyLoss(), optimizer=optimizer, epochs=2, seed=0,
               **options)  # fmt: skip


@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES)
def test_samples_of_all_kinds_are_the_array(bits, x):
    one, other = model(), model()
    train(one, x, Y, validation_data=(x, Y))
    train(other, X, Y)
    assert bits(one) == bits(other)
    loss = CrossEntropyLoss()
    assert evaluate(one, x, Y, loss=loss) == evaluate(one, X, Y, loss=loss)
    np.testing.assert_array_equal(predict(one, x), predict(one, X))
    np.testing.assert_array_equal(predict_proba(one, x), predict_proba(one, X))


@pytest.mark.parametrize("y", CLASSES.values(), ids=CLASSES)
def test_classes_of_all_kinds_are_the_array(bits, y):
    one, other = model(), model()
    train(one, X, y)
    train(other, X, Y)
    assert bits(one) == bits(other)


@pytest.mark.parametrize("x", SAMPLES.values(), ids=SAMPLES)
def test_numbers_and_weights_of_all_kinds(bits, x):
    column = x["a"] if isinstance(x, polars.DataFrame) else None
    if isinstance(x, pandas.DataFrame):
        column = x.iloc[:, 0]
    elif column is None:
        column = [row[0] for row in x] if isinstance(x, list) else x[:, 0]
    one, other = model(1), model(1)
    train(
        one,
        X,
        column,
        MSELoss(),
        sample_weight=column**2 if hasattr(column, "shape") else X[:, 0] ** 2,
    )
    train(other, X, X[:, 0], MSELoss(), sample_weight=X[:, 0] ** 2)
    assert bits(one) == bits(other)


WRONG = [
    (pandas.DataFrame(COLUMNS).astype("Float32").mask(X == 8), ValueError, "missing values"),
    (pandas.DataFrame(MIXED | {"b": [1, None] * 10}), ValueError, "first in row 1 of 'b'"),
    (pandas.DataFrame(COLUMNS).mask(X > 7), ValueError, "missing values, the first in row"),
    (polars.DataFrame(COLUMNS | {"c": [1.0, None] * 10}), ValueError, "first in row 1 of 'c'"),
    (polars.DataFrame(COLUMNS | {"c": [True, None] * 10}), ValueError, "first in row 1 of 'c'"),
    (pandas.DataFrame(COLUMNS | {"c": ["x"] * 20}), TypeError, "dtype str in 'c'; expected"),
    (polars.DataFrame(COLUMNS | {"c": ["x"] * 20}), TypeError, r"in 'c'; .* \(fastnn\.tables\.fit"),
    (polars.DataFrame(COLUMNS).lazy(), TypeError, r"x is a lazy frame; .* x.collect\(\) gives"),
    (torch.eye(20).to_sparse(), TypeError, "x cannot be read as an array: can't convert Sparse"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "error", "message"), WRONG)
def test_what_is_no_array_is_named(x, error, message):
    with pytest.raises(error, match=message):
        train(model(), x, Y)


def test_missing_targets_and_weights_are_named():
    for missing in (pandas.Series([1, None] * 10, dtype="Int64"), polars.Series([1, None] * 10)):
        with pytest.raises(ValueError, match="y has missing values, the first in row 1; expected"):
            train(model(), X, missing)
        with pytest.raises(ValueError, match="sample_weight has missing values, the first in row"):
            train(model(), X, Y, sample_weight=missing)


def test_a_gradient_stays_with_its_tensor():
    tensor = torch.ones(2, requires_grad=True)
    as_array("x", tensor)
    assert tensor.requires_grad
