import numpy as np
import pytest

from fastnn.reports import disk

NAME, SINGLE = "disk", "2-25-25-25-2, float32"


def test_fifty_epochs_agree_with_pytorch_in_float64(conducted, held):
    """To the last digits; in float32 rounding alone leads the two apart, which the page says."""
    study = conducted(NAME, 0.1)
    held(study, but=[SINGLE])
    double, single = study.comparisons
    assert len(double.history) == 50
    assert double.agreement()["largest_relative_difference"] < 1e-12
    assert (double.settings["dtype"], single.settings["dtype"]) == ("float64", "float32")
    assert single.relative_differences()[:5].max() < 1e-5


def test_the_network_starts_from_xavier():
    model = disk.network(np.float64)
    state = model.state_dict()
    assert [state[name].shape for name in state if name.endswith("weight")] == [
        (25, 2), (25, 25), (25, 25), (2, 25)
    ]  # fmt: skip
    assert not any(state[name].any() for name in state if name.endswith("bias"))
    assert state["2.weight"].std() == pytest.approx(np.sqrt(2 / 50), rel=0.1)


def test_it_draws_the_surface_over_epochs(conducted):
    files = {picture["file"] for picture in conducted(NAME, 0.1).pictures}
    assert {"data.png", "predictions.png", "surface.png", "loss.png", "accuracy.png"} <= files


@pytest.mark.slow
def test_errors_lie_along_the_circle(conducted, held):
    study = conducted(NAME, 1.0)
    held(study, but=[SINGLE])
    assert study.comparisons[0].sides["fastnn"].test.accuracy > 0.96
    assert "of 1,000 test points are wrong" in study.findings[0]["answer"]
