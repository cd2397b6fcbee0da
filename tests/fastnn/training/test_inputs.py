"""Models and losses tell of themselves, as `fit`, `evaluate` and `predict` ask for it."""

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    BatchNorm1d,
    Dropout,
    Layer,
    LayerNorm,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    evaluate,
    fit,
    predict,
)
from fastnn.compiler.cost import step_work
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import model_dtype
from fastnn.training.inputs import classifies_by, output_columns, read_targets

X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


class Halves(Layer):
    """The first half of the columns: the output's columns are known to nobody else."""

    dtype = "whatever a user keeps by this name"

    def forward(self, x):
        self._columns = x.shape[1]
        return np.ascontiguousarray(x[:, : self._columns // 2])

    def backward(self, gradient):
        return np.pad(gradient, ((0, 0), (0, self._columns - gradient.shape[1])))


class Doubled(Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Bare:
    """Derives from nothing."""

    def forward(self, x):
        return x

    def backward(self, gradient):
        return gradient


class GaussianError(Loss):
    """Negative log-likelihood of one number a row, by a column of means and one of logarithms."""

    by_element = True

    def target_columns(self, columns):
        return columns // 2

    def classifies(self, targets, columns):
        return False

    def __call__(self, predictions, targets, weights=None):
        mean, log = predictions[:, :1], predictions[:, 1:]
        error = mean - targets
        self.correct = 0
        self._gradient = np.hstack([error / np.exp(log), 0.5 - 0.5 * error**2 / np.exp(log)])
        self._gradient = (self._gradient / len(targets)).astype(predictions.dtype)
        return float((0.5 * (log + error**2 / np.exp(log))).mean(dtype=np.float64))


@pytest.mark.parametrize(
    ("layers", "columns"),
    [
        ([], 6),
        ([Normalize(0, 1), Linear(6, 4), ReLU(), Sequential(LayerNorm(4), Linear(4, 3))], 3),
        ([Halves()], 3),
        ([Linear(6, 8), Halves(), Bare()], 4),
        ([Doubled(6, 5)], 5),
        ([Bare()], 6),
    ],
)
def test_columns_of_the_output(layers, columns):
    model = Sequential(*layers)
    assert output_columns("x", model, X) == columns
    assert predict(model, X).shape == (20, columns)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Linear(5, 2)], r"^x has 6 columns, and Linear\(.*\) gets 6 columns; expected 5$"),
        ([Linear(6, 4), LayerNorm(3)], r"^x has 6 columns, and LayerNorm\(.*\) gets 4 columns; "),
        ([ReLU(), BatchNorm1d(7)], r"^x has 6 columns, and BatchNorm1d\(.*\) gets 6 columns; "),
        ([Normalize([1, 2, 3])], r"^Normalize: mean has shape \(3,\) and std \(\); x has 6 colum"),
    ],
)
def test_columns_that_do_not_fit(layers, message):
    with pytest.raises(ValueError, match=message):
        predict(Sequential(*layers), X)


def test_the_dtype_of_a_model():
    assert model_dtype(Sequential()) == model_dtype(Sequential(ReLU(), Halves())) == np.float32
    for layer in (
        Normalize(0, 1, np.float64),
        Linear(2, 2, dtype=np.float64),
        LayerNorm(2, elementwise_affine=False, dtype=np.float64),
        BatchNorm1d(2, affine=False, dtype=np.float64),
    ):
        assert model_dtype(Sequential(Bare(), Halves(), Sequential(layer))) == np.float64
    with pytest.raises(ValueError, match="mixes float32 and float64 layers"):
        model_dtype(Sequential(Normalize(0, 1, np.float64), Linear(2, 2)))


def test_the_work_of_a_step():
    model = Sequential(Dropout(), Doubled(6, 5), Bare(), Sequential(Linear(5, 4)))
    assert step_work(model, 10, training=False) == 2 * 10 * (30 + 20)
    assert step_work(model, 10) == (6 * 10 + 25) * (30 + 20)
    wide = Sequential(Linear(6, 5, dtype=np.float64))
    assert step_work(wide, 10, training=False) == 2 * 2 * 10 * 30


def test_a_loss_whose_targets_have_another_number_of_columns():
    y = X.sum(axis=1)
    loss, model = GaussianError(), Sequential(Linear(6, 2, seed=0))
    with pytest.warns(UserWarning, match="GaussianError is not a loss that fastnn compiles"):
        history = fit(
            model,
            X,
            y,
            loss=loss,
            optimizer=SGD(model.parameters(), lr=0.1),
            epochs=30,
            batch_size=7,
            seed=0,
            validation_data=(X, y),
        )
    assert history.accuracy[-1] is None
    assert history.loss[-1] < history.loss[0]
    assert history.val_loss[-1] == pytest.approx(loss(predict(model, X), y[:, None]), rel=1e-6)
    assert evaluate(model, X, y, loss=loss).loss == pytest.approx(history.val_loss[-1])
    assert not classifies_by(loss, np.arange(20), 2)
    with pytest.raises(ValueError, match=r"y has shape \(20, 2\); expected \(20, 1\)"):
        read_targets("y", np.zeros((20, 2)), 20, 2, loss, np.float32)


def test_a_norm_of_a_user_s_own_is_not_given_one_row():
    class Own(BatchNorm1d):
        pass

    model = Sequential(Linear(6, 3), Own(3))
    with pytest.raises(ValueError, match="leave one of a single row, of which Own can learn"):
        fit(
            model,
            X,
            np.zeros(20, int),
            loss=fastnn.CrossEntropyLoss(),
            optimizer=SGD(model.parameters()),
            epochs=1,
            batch_size=19,
        )
