import numpy as np
import pytest

from fastnn import SGD, MSELoss, Sequential
from fastnn.compiler.program import EvaluationProgram, TrainingProgram


@pytest.fixture
def training(emitted, source_of):
    """Function that builds the training of a chain, and gives what it is built of.

    The loss compares so many `outputs`; all parameters learn unless an optimizer knows fewer.
    """

    def lower(
        *layers, columns, outputs, batch=8, threads=1, optimizer=None, loss=None, classes=None
    ):
        model = Sequential(*layers)
        optimizer = optimizer or SGD(model.parameters(), momentum=0.9)
        truth = {"classes": classes} if classes else {"numbers": outputs}
        source = source_of(columns, **truth)
        del emitted[:]
        lower.program = TrainingProgram(
            model, loss or MSELoss(), optimizer, source, batch, np.float32, threads=threads
        )
        return list(emitted)

    return lower


@pytest.fixture
def evaluation(emitted, source_of):
    """Function that builds the evaluation of a chain, and gives what it is built of."""

    def lower(*layers, columns, outputs, batch=8, threads=1):
        del emitted[:]
        source = source_of(columns, numbers=outputs)
        EvaluationProgram(Sequential(*layers), MSELoss(), source, batch, np.float32, threads)
        return list(emitted)

    return lower


@pytest.fixture(scope="session")
def names():
    """Function that gives the names of instructions between samples and loss, or behind it."""

    def between(found, *, backward=False):
        every = [each.name for each in found]
        tally = every.index("tally")
        if backward:
            return every[tally + 1 :]
        return every[every.index("gather", 1) + 1 : tally - 1]

    return between
