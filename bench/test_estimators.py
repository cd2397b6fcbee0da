"""fastnn's estimators beside scikit-learn's: `fit` with default parameters, and the scores."""

import pytest

from bench.estimators import NAMES
from bench.measure import CLOCK, Threads, in_turns
from bench.report import Target

SECTION = "fit of an MLP estimator, default parameters, float64"
FASTER = Target(5.0)
WORST_POINTS = 0.5  # between the mean scores

pytestmark = pytest.mark.benchmark(group="estimators", timer=CLOCK)


@pytest.mark.parametrize(
    "name",
    [name if name == "iris" else pytest.param(name, marks=pytest.mark.full) for name in NAMES],
)
def test_estimators(name, benchmark, prepare, pace, peers, record):
    if "sklearn" not in peers:
        pytest.skip("needs scikit-learn among the peers")
    sides = {
        "fastnn": prepare("fastnn", "estimator", threads=Threads.OWN_CHOICE, name=name),
        "sklearn": prepare("sklearn", "estimator", threads=Threads.BEST, name=name),
    }
    rounds = in_turns(benchmark, sides, pace)
    record(SECTION, name, "fastnn, ms", rounds.of("fastnn") * 1e3)
    record(SECTION, name, "scikit-learn, ms", rounds.of("sklearn") * 1e3)
    record(SECTION, name, "times as fast", rounds.ratio("sklearn", "fastnn"), FASTER)
    ours, theirs = (sides[side].facts["score"] for side in ("fastnn", "sklearn"))
    record(SECTION, name, "score, points", ours)
    record(SECTION, name, "scikit-learn's", theirs)
    assert abs(ours - theirs) <= WORST_POINTS
