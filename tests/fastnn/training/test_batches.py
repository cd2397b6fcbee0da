import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fastnn import (
    SGD,
    CrossEntropyLoss,
    Linear,
    MSELoss,
    Sequential,
    Tanh,
    evaluate,
    fit,
    predict,
    predict_proba,
)
from fastnn.callbacks import EarlyStopping

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 3)).astype(np.float32), RNG.integers(0, 4, 50)


def pairs(size=8, x=X, y=Y):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def loader(size=8, **options):
    return DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), size, **options)


def model():
    return Sequential(Linear(3, 5, seed=0), Tanh(), Linear(5, 4, seed=1))


def train(model, *data, epochs=3, loss=None, **options):
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = loss or CrossEntropyLoss()
    return fit(model, *data, loss=loss, optimizer=optimizer, epochs=epochs, seed=0, **options)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batches", [pairs(), tuple(pairs()), loader()])
def test_batches_are_the_arrays_in_that_order(bits, batches, threads):
    one, other = model(), model()
    history = train(one, batches, threads=threads)
    expected = train(other, X, Y, batch_size=8, shuffle=False, threads=threads)
    assert bits(one) == bits(other)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-6)
    assert history["accuracy"] == expected["accuracy"]


def test_a_loader_s_order_is_followed_in_every_epoch(bits):
    torch.manual_seed(3)
    one = model()
    train(one, loader(shuffle=True))
    torch.manual_seed(3)
    other = model()
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    for batch in (batch for _ in range(3) for batch in loader(shuffle=True)):
        x, y = (each.numpy() for each in batch)
        loss = CrossEntropyLoss()
        optimizer.zero_grad()
        loss(other(x), y)
        other.backward(loss.backward())
        optimizer.step()
    assert bits(one) == bits(other)


def test_classes_with_weights_and_rows_to_ignore_in_some_epochs(bits):
    class Changing:
        def __init__(self):
            self.epoch = 0

        def __iter__(self):
            self.epoch += 1
            yield from pairs(y=np.where((np.arange(50) < 10) & (self.epoch == 2), -100, Y))

    weight = [1.0, 2.0, 3.0, 4.0]
    one, other = model(), model()
    train(one, Changing(), epochs=3, loss=CrossEntropyLoss(weight))
    optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(1, 4):
        y = np.where((np.arange(50) < 10) & (epoch == 2), -100, Y)
        fit(other, X, y, loss=CrossEntropyLoss(weight), optimizer=optimizer, epochs=1,
            batch_size=8, shuffle=False)  # fmt: skip
    assert bits(one) == bits(other)


def test_validation_evaluation_and_prediction_take_batches():
    trained = model()
    history = train(trained, loader(), validation_data=loader(), callbacks=[EarlyStopping()])
    loss = CrossEntropyLoss()
    expected = evaluate(trained, X, Y, loss=loss)
    assert expected.loss == min(history["val_loss"])  # the best weights came back
    assert evaluate(trained, loader(), loss=loss) == expected
    assert evaluate(trained, iter(pairs()), loss=loss) == expected
    np.testing.assert_array_equal(predict(trained, loader()), predict(trained, X))
    np.testing.assert_array_equal(
        predict_proba(trained, (x for x, _ in pairs())), predict_proba(trained, X)
    )


def test_an_incomplete_batch_may_be_left_out(bits):
    one, other = model(), model()
    train(one, loader(drop_last=True))
    train(other, pairs(), drop_last=True)
    assert bits(one) == bits(other)


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (iter(pairs()), ValueError, "x is a list_iterator, which gives its batches only once; for"),
        (X, TypeError, "y is missing; expected targets, or as x an iterable of batches"),
        (None, TypeError, "y is missing"),
        ([], ValueError, "x gave no batches; expected at least one"),
        ([X[:3]], TypeError, r"batch 0 of x is a ndarray of one value; expected a pair \(x, y\)"),
        ([(X, Y, Y)], TypeError, "batch 0 of x is a tuple of 3 values; expected a pair"),
        (
            [(X, Y[:3])],
            ValueError,
            r"shape \(50, 3\) and its targets \(3,\); expected as many rows",
        ),
        (pairs(8) + pairs(9), ValueError, "expected 8, and fewer only in the last one"),
        (pairs(9)[-1:] + pairs(9), ValueError, "expected 5, and fewer only in the last one"),
        ([(X, Y), (X[:, :2], Y)], ValueError, "batch 1 of x has shape .* expected the same col"),
        ([(X, ["a"] * 50)], TypeError, "y has dtype <U1; expected integers"),
    ],
)
def test_what_gives_no_batches(batches, error, message, bits):
    untouched = model()
    before = bits(untouched)
    with pytest.raises(error, match=message):
        train(untouched, batches)
    assert bits(untouched) == before


def test_one_epoch_of_a_generator():
    assert len(train(model(), iter(pairs()), epochs=1)) == 1


def test_epochs_of_another_size():
    class Shrinking:
        size = 50

        def __iter__(self):
            self.size -= 10
            yield X[: self.size], Y[: self.size]

    with pytest.raises(ValueError, match=r"an epoch of x has shape \(30, 3\) .* first one, \(40"):
        train(model(), Shrinking())


def test_weights_of_samples_do_not_go_with_batches():
    with pytest.raises(ValueError, match="sample_weight is given, and x is an iterable of batches"):
        train(model(), loader(), sample_weight=np.ones(50))


def test_numbers_in_batches():
    regression = Sequential(Linear(3, 1))
    history = train(regression, pairs(y=X[:, 0]), loss=MSELoss())
    assert history["loss"][-1] < history["loss"][0]


def test_batches_in_the_same_memory():
    class Reused:
        def __iter__(self):
            x, y = np.empty((10, 3)), np.empty(10, int)
            for i in range(0, 50, 10):
                x[:], y[:] = X[i : i + 10], Y[i : i + 10]
                yield x, y

    loss = CrossEntropyLoss()
    assert evaluate(model(), Reused(), loss=loss) == evaluate(model(), X, Y, loss=loss)
