import pytest

NAME = "two-layer"


def test_fifty_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 0.25)
    held(study)
    (run,) = study.comparisons
    assert len(run.history) == 50


def test_the_start_alone_makes_the_difference(conducted):
    """From N(0, 0.01^2) nothing is learned in the time in which other starts are done."""
    slowly, *_ = conducted(NAME, 0.25).findings
    assert "N(0, 0.01²): never" in slowly["answer"]
    assert "He: epoch" in slowly["answer"]


@pytest.mark.slow
def test_all_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 1.0)
    held(study)
    (run,) = study.comparisons
    assert run.history.val_accuracy[-1] >= 0.94
