import json

import numpy as np
import pytest

from fastnn.reports.comparison import FASTNN, PYTORCH, Comparison, Side
from fastnn.training.evaluation import Evaluation
from histories import history


def side(loss, val_loss, accuracy=0.9, seconds=1.0):
    made = history(loss, val_loss, seconds=seconds)
    return Side(made, Evaluation(0.1, 0.95), Evaluation(0.2, accuracy))


def comparison(ours, theirs):
    return Comparison("a run", {"epochs": 3}, "", {FASTNN: ours, PYTORCH: theirs})


def test_differences_are_the_larger_of_training_and_test():
    run = comparison(side([1, 2, 4], [1, 2, 3]), side([1, 2.5, 4], [1.25, 2, 2]))
    np.testing.assert_allclose(run.differences(), [0.25, 0.5, 1])
    np.testing.assert_allclose(run.relative_differences(), [0.2, 0.2, 0.5])


def test_agreement_says_where_and_how_much():
    run = comparison(
        side([1.0] * 60, [1.0] * 60, accuracy=0.91, seconds=0.5),
        side([1.0] * 49 + [1.1] + [2.0] * 10, [1.0] * 60, accuracy=0.9, seconds=2.0),
    )
    agreement = run.agreement()
    assert agreement["largest_difference"] == 1.0
    assert agreement["at_epoch"] == 51
    assert agreement["largest_relative_difference"] == 0.5
    assert agreement["early_epochs"] == 50
    assert agreement["largest_relative_difference_early"] == pytest.approx(0.1 / 1.1)
    assert agreement["test_accuracy_difference"] == pytest.approx(0.01)
    assert agreement["times_as_fast"] == pytest.approx(4)


def test_one_library_alone_agrees_with_nobody():
    run = Comparison("a run", {}, "", {FASTNN: side([1], [1])})
    assert run.agreement() is None
    assert run.to_dict()["agreement"] is None


def test_it_is_plain_values():
    run = comparison(side([1, 2], [1, 2]), side([1, 2], [1, 2]))
    again = json.loads(json.dumps(run.to_dict()))
    assert again == run.to_dict()
    assert again["sides"]["PyTorch"]["history"]["loss"] == [1, 2]
    assert again["sides"]["fastnn"]["seconds"] == 2.0
