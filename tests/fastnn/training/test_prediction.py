import threading

import numpy as np
import pytest
import torch

import fastnn
from fastnn import (
    BatchNorm1d,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dropout,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    Normalize,
    ReLU,
    Sequential,
    Sigmoid,
    SmoothClip,
    Softmax,
    Tanh,
    predict,
    predict_proba,
)
from fastnn.compiler import forward

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((700, 21)).astype(np.float32)


def chains(dtype=np.float32):
    """Return models of all kinds of layers, for rows of 21 columns."""

    def linear(inputs, outputs, seed):
        return Linear(inputs, outputs, dtype=dtype, seed=seed)

    return {
        "linear": Sequential(linear(21, 5, 0)),
        "one output": Sequential(linear(21, 40, 0), ReLU(), linear(40, 1, 1)),
        "wide": Sequential(linear(21, 300, 0), Tanh(), linear(300, 200, 1), ReLU(),
                           linear(200, 17, 2)),
        "normalised": Sequential(Normalize(0.5, 2.0, dtype=dtype), linear(21, 5, 0), Softmax()),
        "clipped": Sequential(SmoothClip(3.0), LayerNorm(21, dtype=dtype), linear(21, 5, 0)),
        "norms": Sequential(linear(21, 8, 0), BatchNorm1d(8, dtype=dtype), LeakyReLU(0.2),
                            Dropout(0.5), linear(8, 3, 1), LogSoftmax()),
        "nested": Sequential(Sequential(linear(21, 8, 0), Sequential(Sigmoid())), linear(8, 3, 1)),
        "without parameters": Sequential(ReLU()),
        "empty": Sequential(),
        "dropout": Sequential(Dropout(0.5)),
    }  # fmt: skip


NAMES = list(chains())


class Doubled(Layer):
    def forward(self, x):
        return 2 * x

    def backward(self, gradient):
        return 2 * gradient


def by_layers(model, x):
    """Return the outputs of all rows, computed layer by layer in evaluation mode."""
    model.eval()
    x = x.astype(np.float32) if x.dtype == np.uint8 and not len(model) else x
    return model.forward(x)


# ---------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_the_layers_to_the_bit(name, dtype):
    model, x = chains(dtype)[name], X.astype(dtype)
    for rows in (1, 2, 16, 17, 256, 257, 700, 3, 1):
        for threads in (1, 2, 3, None):
            found = predict(model, x[:rows], threads=threads)
            np.testing.assert_array_equal(found, by_layers(model, x[:rows]), f"{rows} {threads}")


@pytest.mark.parametrize("name", ["linear", "normalised", "wide"])
def test_bytes(name):
    model, x = chains()[name], RANDOM.integers(0, 256, (300, 21)).astype(np.uint8)
    for rows in (1, 300, 5):
        expected = predict(model, x[:rows].astype(np.float32))
        np.testing.assert_array_equal(predict(model, x[:rows]), expected)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_threads_share_the_rows(threads):
    from crews import together

    model = chains()["wide"]
    expected, before = by_layers(model, X), fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        with together():
            np.testing.assert_array_equal(predict(model, X), expected)
            np.testing.assert_array_equal(predict(model, X, threads=2), expected)
            np.testing.assert_array_equal(predict(model, X[:, ::-1], threads=2),
                                          by_layers(model, X[:, ::-1].copy()))  # fmt: skip
    finally:
        fastnn.set_num_threads(before)


def test_rows_are_read_where_they_lie_in_slices(monkeypatch):
    """A long call is cut into calls of compiled code, between which Ctrl-C is seen."""
    monkeypatch.setattr(forward, "_SLICE", 1)
    model = chains()["wide"]
    np.testing.assert_array_equal(predict(model, X), by_layers(model, X))


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.tolist(),
        lambda x: np.asfortranarray(x),
        lambda x: x[::-1],
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: np.ma.array(x),
        lambda x: x.reshape(len(x), 3, 7),
        lambda x: np.broadcast_to(x[:1], x.shape),
    ],
)
def test_samples_of_any_kind(convert):
    model, x = chains()["wide"], X[:20]
    given = convert(x)
    expected = by_layers(model, np.array(given, np.float32).reshape(20, 21))
    for _ in range(2):  # without a plan, and with one
        np.testing.assert_array_equal(predict(model, given), expected)
    with_plan = np.array(x)
    with_plan.flags.writeable = False
    np.testing.assert_array_equal(predict(model, with_plan), by_layers(model, x))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 20), np.float32), ValueError, "x has 20 columns, and .* expected 21"),
        (np.zeros(21, np.float32), ValueError, r"x has shape \(21,\); expected"),
        (np.zeros((0, 21), np.float32), ValueError, r"x has shape \(0, 21\); expected at least"),
        (np.full((2, 21), np.nan, np.float32), ValueError, r"x holds nan at \(0, 0\)"),
        (np.full((2, 21), 1e300), ValueError, r"x holds 1e\+300 at \(0, 0\)"),
        (np.zeros((2, 21), complex), TypeError, "x"),
        (np.full((2, 21), "a"), TypeError, "x"),
        (None, ValueError, r"x has shape \(\)"),
    ],
)
def test_samples_that_do_not_fit(x, error, message, first):
    model = chains()["wide"]
    if not first:
        predict(model, X)
    with pytest.raises((error, TypeError) if x is None else error, match=message):
        predict(model, x)
    np.testing.assert_array_equal(predict(model, X), by_layers(model, X))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 255, 256, 699])
def test_a_number_that_is_not_finite_is_found_in_any_row(value, row):
    model, x = chains()["wide"], X.copy()
    predict(model, x)
    x[row, 20] = value
    with pytest.raises(ValueError, match=rf"x holds .* at \({row}, 20\)"):
        predict(model, x)


def test_other_arguments_that_do_not_fit():
    model = chains()["linear"]
    predict(model, X)
    for how in ({"threads": 0}, {"threads": "2"}, {"batch_size": 0}, {"batch_size": 1.5}):
        with pytest.raises(ValueError, match="expected a positive integer"):
            predict(model, X, **how)
    with pytest.raises(TypeError, match="expected a Sequential"):
        predict(Linear(21, 5), X)
    with pytest.raises(TypeError, match="expected a Sequential"):
        predict(None, X, classes=True)


# -------------------------------------------------------------------------------- out


def test_out_gets_the_results():
    model = chains()["wide"]
    expected = by_layers(model, X)
    for _ in range(2):
        out = np.full((700, 17), np.nan, np.float32)
        assert predict(model, X, out=out) is out
        np.testing.assert_array_equal(out, expected)
    wide = np.full((17, 700), np.nan, np.float32)
    assert predict(model, X, out=wide.T).base is wide
    np.testing.assert_array_equal(wide.T, expected)
    labels = np.zeros(700, np.int64)
    assert predict(model, X, classes=True, out=labels) is labels
    np.testing.assert_array_equal(labels, expected.argmax(axis=1))


@pytest.mark.parametrize("rows", [1, 200, 512])
def test_out_may_be_a_parameter(rows):
    model = Sequential(Linear(21, 4 * rows, seed=0), Linear(4 * rows, 4, seed=1))
    expected, bias = predict(model, X[:rows]), model[0].bias.data
    for threads in (1, None):
        bias[:] = 0
        expected = predict(model, X[:rows])
        predict(model, X[:rows], threads=threads, out=bias.reshape(rows, 4))
        np.testing.assert_array_equal(bias.reshape(rows, 4), expected)


def test_out_may_be_the_samples():
    model, x = Sequential(Linear(21, 21, seed=0)), X.copy()
    assert predict(model, x, out=x) is x
    np.testing.assert_array_equal(x, by_layers(model, X))


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((700, 16), np.float32), ValueError, r"out has shape \(700, 16\)"),
        (np.zeros((700, 17)), ValueError, "out has shape .* and dtype float64"),
        ([0.0], TypeError, "out is of type list"),
        (np.broadcast_to(np.zeros(17, np.float32), (700, 17)), ValueError, "out is read-only"),
    ],
)
def test_an_out_that_cannot_hold_the_results(out, error, message):
    model = chains()["wide"]
    for _ in range(2):
        with pytest.raises(error, match=message):
            predict(model, X, out=out)


# ---------------------------------------------------------------- classes, probabilities


@pytest.mark.parametrize("name", ["linear", "wide", "norms", "nested"])
def test_classes_are_those_of_the_largest_outputs(name):
    model = chains()[name]
    for rows in (1, 20, 700):
        found = predict(model, X[:rows], classes=True)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, by_layers(model, X[:rows]).argmax(axis=1))


@pytest.mark.parametrize(("layers", "above"), [((), 0.0), ((Sigmoid(),), 0.5)])
def test_classes_of_one_output(layers, above):
    model = Sequential(Linear(21, 1, seed=0), *layers)
    expected = by_layers(model, X)[:, 0] > above
    assert 0 < expected.sum() < 700
    np.testing.assert_array_equal(predict(model, X, classes=True), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("loss", "name"),
    [(CrossEntropyLoss(), "wide"), (NLLLoss(), "norms"), (BCEWithLogitsLoss(), "wide")],
)
def test_probabilities_are_torchs(loss, name, dtype):
    model = chains(dtype)[name]
    z = torch.from_numpy(by_layers(model, X.astype(dtype)))
    functions = {"CrossEntropyLoss": lambda z: z.softmax(1), "NLLLoss": torch.exp}
    expected = functions.get(type(loss).__name__, torch.sigmoid)(z)
    found = predict_proba(model, X, loss=loss)
    assert found.dtype == dtype
    torch.testing.assert_close(torch.from_numpy(found), expected)


def test_probabilities_follow_the_loss_of_the_last_fit(tmp_path):
    x, y = X[:40], np.arange(40) % 3
    model = Sequential(Linear(21, 3, seed=0))
    with pytest.raises(ValueError, match="no probabilities are known; expected loss="):
        predict_proba(model, x)
    how = {"optimizer": fastnn.SGD(model.parameters(), lr=0.1), "epochs": 1, "batch_size": 8}
    for loss in (BCEWithLogitsLoss(), CrossEntropyLoss()):
        fastnn.fit(model, x, y, loss=loss, **how)
        expected = predict_proba(model, x, loss=loss)
        np.testing.assert_array_equal(predict_proba(model, x), expected)
        fastnn.save(model, tmp_path / "model.safetensors")
        loaded = fastnn.load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(predict_proba(loaded, x), expected)
    fastnn.fit(model, x, x[:, :3], loss=MSELoss(), **how)
    with pytest.raises(ValueError, match="no probabilities are known"):
        predict_proba(model, x)
    with pytest.raises(ValueError, match=r"no probabilities belong to MSELoss\(\)"):
        predict_proba(model, x, loss=MSELoss())


@pytest.mark.parametrize(
    ("layer", "same"), [(Softmax(), True), (Sigmoid(), True), (LogSoftmax(), False)]
)
def test_probabilities_of_a_model_that_ends_in_them(layer, same):
    model = Sequential(Linear(21, 3, seed=0), layer)
    outputs = by_layers(model, X)
    expected = outputs if same else np.exp(outputs)
    np.testing.assert_allclose(predict_proba(model, X), expected, rtol=1e-6)


def test_names_of_classes_tell_that_outputs_are_logits():
    model = Sequential(Linear(21, 3, seed=0))
    model.classes = ("a", "b", "c")
    np.testing.assert_allclose(predict_proba(model, X).sum(axis=1), 1.0, rtol=1e-6)


# ------------------------------------------------------------------ layers of one's own


def test_layers_that_no_program_expresses():
    model = Sequential(Linear(21, 3, seed=0), Doubled())
    expected = by_layers(model, X)
    for _ in range(2):
        np.testing.assert_array_equal(predict(model, X), expected)
        np.testing.assert_array_equal(model(X), expected)
    np.testing.assert_array_equal(predict(model, X, classes=True), expected.argmax(axis=1))
    shares = predict_proba(model, X, loss=CrossEntropyLoss())
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    out = np.empty_like(expected)
    assert predict(model, X, out=out) is out
    np.testing.assert_array_equal(out, expected)


class Slotted:
    """Layer without attributes, of no base class."""

    __slots__ = ()

    def forward(self, x):
        return 2 * x

    def backward(self, gradient):
        return 2 * gradient


def test_layers_without_attributes():
    model = Sequential(Linear(21, 3, seed=0), Slotted())
    other = Sequential(Linear(21, 3, seed=0), Doubled())
    for _ in range(2):
        np.testing.assert_array_equal(predict(model, X), predict(other, X))


def test_rows_that_depend_on_their_batch_are_computed_in_batches():
    model = Sequential(Linear(21, 3, seed=0), BatchNorm1d(3, track_running_stats=False))
    expected = [by_layers(model, X[i : i + 100]) for i in range(0, 700, 100)]
    np.testing.assert_array_equal(predict(model, X, batch_size=100), np.concatenate(expected))


# ------------------------------------------------------------------- evaluation mode


@pytest.mark.parametrize("name", NAMES)
def test_a_model_in_evaluation_mode_computes_like_its_layers(name):
    model = chains()[name].eval()
    expected = model.forward(X)
    for x in (X, np.asfortranarray(X), X[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(model(x), expected)
    assert np.isnan(model(np.full((2, 21), np.nan, np.float32))).all()
    assert len(model(X[:0])) == 0


def test_small_numbers_are_kept_in_evaluation_mode_and_flushed_by_predict():
    model, x = Sequential(Softmax()).eval(), np.array([[0.0, 90.0]], np.float32)
    assert model(x)[0, 0] == model.forward(x)[0, 0] > 0
    assert predict(model, x)[0, 0] == 0


def test_errors_are_those_of_the_layers():
    model = chains()["wide"].eval()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Linear: x has shape \(2, 20\)"):
            model(np.zeros((2, 20), np.float32))
        model(X)


def test_backward_after_evaluation():
    model, g = chains()["nested"].eval(), np.ones((700, 3), np.float32)
    model.forward(X[::-1].copy())  # what the layers keep is not of the next call
    model(X)
    model.zero_grad()
    found, gradients = model.backward(g), [each.grad.copy() for each in model.parameters()]
    model.forward(X)
    model.zero_grad()
    np.testing.assert_array_equal(found, model.backward(g))
    for each, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(each.grad, gradient)


def test_a_layer_in_training_mode_trains():
    model = chains()["norms"].eval()
    expected = model(X)
    model[3].train()
    assert not np.array_equal(model(X), expected)
    model.eval()
    np.testing.assert_array_equal(model(X), expected)


def test_eight_threads_at_once():
    model = chains()["wide"].eval()
    expected, wrong = {rows: by_layers(model, X[:rows]) for rows in (1, 5, 30, 700)}, []

    def call(seed):
        random = np.random.default_rng(seed)
        for _ in range(100):
            rows = random.choice(list(expected))
            x = X[:rows]
            found = predict(model, x) if random.random() < 0.5 else model(x)
            if not np.array_equal(found, expected[rows]):
                wrong.append(rows)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert not wrong


def test_a_classifier_of_a_table_whose_outputs_are_about_probabilities():
    from types import SimpleNamespace

    model = Sequential(Linear(21, 3, seed=0))
    model.classes, model.schema = ("a", "b", "c"), SimpleNamespace(link="identity")
    outputs = np.maximum(by_layers(model, X), np.finfo(np.float64).tiny)
    expected = outputs / outputs.sum(axis=1, keepdims=True)
    found = predict_proba(model, X, out=np.empty((700, 3), np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-37)
    with pytest.raises(ValueError, match="about probabilities"):
        fastnn.Predictor(model, probabilities=True)
