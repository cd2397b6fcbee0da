import pytest

from fastnn.reports import standard
from fastnn.reports.comparison import FASTNN, PYTORCH, Comparison, Side
from fastnn.reports.study import Study
from fastnn.training.evaluation import Evaluation
from histories import history


def comparison(test_losses, names=(FASTNN,)):
    made, result = history(1.0, test_losses, accuracy=0.96, val_accuracy=0.95), Evaluation(0.1, 0.9)
    return Comparison("a run", {}, "", {name: Side(made, result, result) for name in names})


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([3, 1, 2], "least in epoch 2 of 3 (1.0000) and 100.0% above that at the end: it does"),
        ([3, 2, 1], "least in epoch 3 of 3 (1.0000) and 0.0% above that at the end: not with"),
    ],
)
def test_overfit_is_what_the_test_loss_says(tmp_path, losses, says):
    study = Study(tmp_path)
    standard.tell_overfit(study, comparison(losses), "an overfit")
    (finding,) = study.findings
    assert finding["question"] == "Is there an overfit?"
    assert says in finding["answer"]
    assert "Training accuracy ends +1.0% from test accuracy." in finding["answer"]


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ((FASTNN,), ["loss.png", "accuracy.png"]),
        ((FASTNN, PYTORCH), ["loss.png", "accuracy.png", "differences.png"]),
    ],
)
def test_differences_are_drawn_where_there_are_two(tmp_path, names, files):
    study, run = Study(tmp_path), comparison([3, 2, 1], names)
    study.comparisons.append(run)
    standard.draw_curves(study, run)
    assert [picture["file"] for picture in study.pictures] == files
