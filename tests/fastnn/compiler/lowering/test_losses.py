import numpy as np
import pytest

from fastnn import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
)
from fastnn.compiler.lowering import losses
from fastnn.nn import losses as known

SIZES = {"columns": 4, "outputs": 3}


def loss_of(found):
    """Return the instruction of the loss, which comes before the tally."""
    tally = next(i for i, each in enumerate(found) if each.name == "tally")
    return found[tally - 1], found[tally]


@pytest.mark.parametrize(
    ("loss", "name", "factors"),
    [
        (MSELoss(), "squared", [1, 1, 1]),
        (L1Loss(), "absolute", [1, 1, 1]),
        (HuberLoss(2.5), "huber", [2.5] * 3),
        (PoissonNLLLoss(), "poisson", [1, 1, 1]),
        (BCEWithLogitsLoss(), "binary_cross_entropy", [1, 1, 1]),
        (BCEWithLogitsLoss([2, 3, 4]), "binary_cross_entropy", [2, 3, 4]),
        (CrossEntropyLoss(), "cross_entropy_probability", [1, 1, 1]),
        (CrossEntropyLoss([2, 3, 4], 0.1), "cross_entropy_probability", [2, 3, 4]),
    ],
    ids=repr,
)
def test_losses_of_rows_of_numbers(training, loss, name, factors):
    found, tally = loss_of(training(Linear(4, 3), **SIZES, loss=loss))
    assert found.name == name
    given = found.operands["factors"]
    assert given.dtype == np.float32
    assert given.flags.c_contiguous
    assert given.tolist() == factors
    assert found.operands["columns"] == 3
    assert found.operands["t"].columns == 3
    assert found.operands["masses"] == 0  # each row counts as much
    assert found.operands.get("smoothing", 0) == getattr(loss, "label_smoothing", 0)
    for each in ("losses", "hits"):
        assert tally.operands[each] == found.operands[each]
    assert tally.operands["halting"] is True


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), CrossEntropyLoss([2, 3, 4])], ids=repr)
def test_class_indices(training, loss):
    found, _ = loss_of(training(Linear(4, 3), **SIZES, loss=loss, classes=3))
    assert found.name == "cross_entropy"
    assert found.operands["labels"]
    assert (found.operands["masses"] == 0) == (loss.weight is None)
    if loss.weight is not None:
        assert found.operands["masses"] == found.operands["weights"]


def test_smoothed_class_indices_become_rows(training):
    emitted = training(Linear(4, 3), **SIZES, loss=CrossEntropyLoss(None, 0.1), classes=3)
    found, _ = loss_of(emitted)
    (one_hot,) = (each for each in emitted if each.name == "one_hot")
    assert found.name == "cross_entropy_probability"
    assert found.operands["t"] is one_hot.operands["t"]
    assert found.operands["smoothing"] == 0.1


def test_logarithms_of_probabilities(training):
    layers = Linear(4, 3), LogSoftmax()
    found, _ = loss_of(training(*layers, **SIZES, loss=NLLLoss(), classes=3))
    assert found.name == "log_likelihood"


def test_evaluation_does_not_stop_at_what_is_not_finite(evaluation):
    _, tally = loss_of(evaluation(Linear(4, 3), **SIZES))
    assert tally.operands["halting"] is False


def test_every_loss_is_lowered():
    assert {getattr(known, name) for name in known.__all__} == losses._LOWERINGS.keys()
