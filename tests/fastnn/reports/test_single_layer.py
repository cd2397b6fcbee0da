import pytest

NAME = "single-layer"


def test_fifty_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 0.25)
    held(study)
    (run,) = study.comparisons
    assert len(run.history) == 50


def test_it_learns_as_the_report_found(conducted):
    """Over 90% of the test rows after 50 epochs."""
    (run,) = conducted(NAME, 0.25).comparisons
    assert run.history.val_accuracy[-1] > 0.9


def test_it_draws_what_it_tells(conducted):
    study = conducted(NAME, 0.25)
    files = {picture["file"] for picture in study.pictures}
    assert files == {
        "loss.png", "accuracy.png", "differences.png", "starts_loss.png",
        "starts_val_accuracy.png",
    }  # fmt: skip
    assert files == {file.name for file in study.folder.iterdir()}
    slowly, overfit = study.findings
    assert slowly["answer"].startswith("No reason in the code: from one start")
    assert "epoch in which 94% of the test rows" in slowly["answer"]
    assert overfit["answer"].startswith("The test loss is least in epoch 50 of 50")


@pytest.mark.slow
def test_all_epochs_agree_with_pytorch(conducted, held):
    study = conducted(NAME, 1.0)
    held(study)
    (run,) = study.comparisons
    assert run.history.val_accuracy[-1] >= 0.94
