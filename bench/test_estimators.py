"""fastnn's estimators compared with scikit-learn's: `fit`, `partial_fit` and scores."""

import pytest

from bench.estimators import NAMES, PARTS
from bench.measure import CLOCK, Threads, in_turns
from bench.report import Target

SECTION = "fit of an MLP estimator, default parameters, float64"
IN_PARTS = "partial_fit of an MLPClassifier, default parameters, float64, n rows of digits"
FASTER, IN_PARTS_FASTER = Target(5.0), Target(3.0)
WORST_POINTS = 0.5  # allowed difference of mean scores in %

pytestmark = pytest.mark.benchmark(group="estimators", timer=CLOCK)


@pytest.mark.parametrize(
    "name",
    [name if name == "iris" else pytest.param(name, marks=pytest.mark.full) for name in NAMES],
)
def test_estimators(name, benchmark, prepare, pace, peers, record):
    sides = both(prepare, peers, "estimator", name=name)
    rounds = in_turns(benchmark, sides, pace)
    record(SECTION, name, "fastnn, ms", rounds.of("fastnn") * 1e3)
    record(SECTION, name, "scikit-learn, ms", rounds.of("sklearn") * 1e3)
    record(SECTION, name, "times as fast", rounds.ratio("sklearn", "fastnn"), FASTER)
    record_scores(record, SECTION, name, sides)


@pytest.mark.parametrize("rows", [1, pytest.param(20, marks=pytest.mark.full), 64])
def test_partial_fit(rows, benchmark, prepare, pace, peers, record):
    sides = both(prepare, peers, "partial_fit", rows=rows)
    rounds = in_turns(benchmark, sides, pace)
    record(IN_PARTS, str(rows), "fastnn, us a call", rounds.of("fastnn") * (1e6 / PARTS))
    record(IN_PARTS, str(rows), "scikit-learn, us", rounds.of("sklearn") * (1e6 / PARTS))
    record(IN_PARTS, str(rows), "times as fast", rounds.ratio("sklearn", "fastnn"), IN_PARTS_FASTER)
    record_scores(record, IN_PARTS, str(rows), sides)


def both(prepare, peers, operation, **arguments):
    """Return the prepared sides of fastnn and scikit-learn."""
    if "sklearn" not in peers:
        pytest.skip("needs scikit-learn among the peers")
    return {
        "fastnn": prepare("fastnn", operation, threads=Threads.OWN_CHOICE, **arguments),
        "sklearn": prepare("sklearn", operation, threads=Threads.BEST, **arguments),
    }


def record_scores(record, section, name, sides):
    """Record both scores, and check that they agree."""
    ours, theirs = (sides[side].facts["score"] for side in ("fastnn", "sklearn"))
    record(section, name, "score, points", ours)
    record(section, name, "scikit-learn's", theirs)
    assert abs(ours - theirs) <= WORST_POINTS
