"""Calls: predictions of few and many rows, a step by hand, and one row by other ways."""

from dataclasses import asdict, replace

import pytest

from bench import data
from bench.c_header import CHeader, compiler
from bench.chains import chain_of
from bench.measure import CLOCK, Threads, in_turns
from bench.peers import PEERS
from bench.report import Target, geometric_mean
from bench.sections import ALL_CALLS, BY_HAND, CALL_RATIOS, CALLS, LITTLE, ONE_ROW
from bench.workloads import Workload

LIBRARIES = ("torch", "jax", "onnxruntime")
NETWORKS = {"8-16-1": (8, 16, 1), "64-100-10": (64, 100, 10), "784-128-10": (784, 128, 10),
            "128-512-512-32": (128, 512, 512, 32)}  # fmt: skip
ROWS = 1, 8, 64, 1_000, 20_000
QUICK = {("64-100-10", 1), ("64-100-10", 1_000)}
STEPS = 2_000  # in a timed call, so that its start takes little of the time
TRAININGS = {
    f"a step, {name}, batch {batch}": Workload(sizes, "relu", batch, batch * STEPS, lr=0.001)
    for name, sizes in {"784-128-10": (784, 128, 10), "20-30-2": (20, 30, 2)}.items()
    for batch in (1, 4)
} | {
    f"fit of {rows} rows, 64-100-10, batch 32": Workload((64, 100, 10), "relu", 32, rows, lr=0.001)
    for rows in (64, 512)
}  # fmt: skip
BEST = "best peer / fastnn"
EACH, ALL, ONE, HAND, ESTIMATOR = map(Target, (1.0, 1.5, 2.0, 5.0, 3.0))
BATCH_OF_FOUR = Target(1.5)

pytestmark = pytest.mark.benchmark(group="calls", timer=CLOCK)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        pytest.param(name, rows, marks=() if (name, rows) in QUICK else pytest.mark.full)
        for name in NETWORKS
        for rows in ROWS
    ],
)
def test_predict(name, rows, benchmark, prepare, prepare_peers, pace, record):
    given = {"sizes": list(NETWORKS[name]), "rows": rows}
    sides = {
        "fastnn": prepare("fastnn", "predict", threads=Threads.OWN_CHOICE, way="predict", **given)
    }
    theirs = prepare_peers("predict", LIBRARIES, threads=Threads.BEST, **given)
    # In a short turn, threads that wake and caches that warm would be all there is to see.
    rounds = in_turns(benchmark, sides | theirs, replace(pace.sooner(), seconds=4 * pace.seconds))
    subject = f"{name}, {rows:,} row{'s' * (rows > 1)}"
    for library in sides | theirs:
        record(CALLS, subject, PEERS[library].title, rounds.of(library) * 1e6)
    for library in theirs:
        record(CALL_RATIOS, subject, PEERS[library].title, rounds.ratio(library, "fastnn"))
    if theirs:
        record(CALL_RATIOS, subject, BEST, rounds.ratio_to_best(theirs, "fastnn"), EACH)
    for library, side in theirs.items():
        found, expected = sides["fastnn"].facts["sum"], side.facts["sum"]
        assert found == pytest.approx(expected, rel=1e-4), library


@pytest.mark.full
def test_all_calls(benchmark, record, report):
    subjects = [f"{name}, {rows:,} row{'s' * (rows > 1)}" for name in NETWORKS for rows in ROWS]
    ratios = list(filter(None, (report.value(CALL_RATIOS, each, BEST) for each in subjects)))
    if len(ratios) < len(subjects):
        pytest.skip("needs every network and number of rows")
    record(CALL_RATIOS, ALL_CALLS, BEST, benchmark.pedantic(geometric_mean, [ratios]), ALL)


def test_one_row(benchmark, prepare, prepare_peers, pace, record):
    given = {"sizes": list(NETWORKS["64-100-10"]), "rows": 1}
    ways = {"predictor": "Predictor", "predict": "predict", "model": "model(x), eval"}
    sides = {way: prepare("fastnn", "predict", threads=1, way=way, **given) for way in ways}
    theirs = prepare_peers("predict", LIBRARIES, threads=1, **given)
    x, layers = data.network(**given)
    in_c = {"c": CHeader(chain_of(layers), x[0])} if compiler() else {}
    rounds = in_turns(benchmark, sides | theirs | in_c, pace)
    for side in in_c:
        record(ONE_ROW, "fastnn, C header, called from C", "us", rounds.of(side) * 1e6)
    for way, title in ways.items():
        record(ONE_ROW, f"fastnn, {title}", "us", rounds.of(way) * 1e6)
    for library in theirs:
        record(ONE_ROW, PEERS[library].title, "us", rounds.of(library) * 1e6)
        ratio, target = (
            rounds.ratio(library, "predictor"),
            ONE if library == "onnxruntime" else None,
        )
        record(ONE_ROW, PEERS[library].title, "times the Predictor's", ratio, target)


@pytest.mark.full
@pytest.mark.parametrize("name", TRAININGS)
def test_training_of_few_rows(name, benchmark, prepare, prepare_peers, pace, record):
    workload = TRAININGS[name]
    steps = workload.steps if name.startswith("a step") else 1
    given = asdict(workload)
    ours = {"fastnn": prepare("fastnn", "training", threads=Threads.OWN_CHOICE, **given)}
    theirs = prepare_peers("training", ("torch", "jax"), threads=Threads.BEST, **given)
    rounds = in_turns(benchmark, ours | theirs, pace)
    for library in ours | theirs:
        record(LITTLE, name, PEERS[library].title, rounds.of(library) * (1e6 / steps))
    for library in theirs:
        target = BATCH_OF_FOUR if workload.batch == 4 else EACH
        title = f"{PEERS[library].title}, times fastnn's"
        record(LITTLE, name, title, rounds.ratio(library, "fastnn"), target)


def test_a_step_by_hand(benchmark, prepare, prepare_peers, pace, record):
    given = {"sizes": [10, 100, 2], "rows": 64}
    ours = {"fastnn": prepare("fastnn", "by hand", threads=Threads.OWN_CHOICE, **given)}
    theirs = prepare_peers("by hand", ("torch",), threads=Threads.BEST, **given)
    rounds = in_turns(benchmark, ours | theirs, pace)
    for library in ours | theirs:
        record(BY_HAND, PEERS[library].title, "us", rounds.of(library) * 1e6)
    for library in theirs:
        record(
            BY_HAND, PEERS[library].title, "times fastnn's", rounds.ratio(library, "fastnn"), HAND
        )


def test_an_estimators_prediction(benchmark, prepare, prepare_peers, pace, record):
    ours = {"fastnn": prepare("fastnn", "estimator's predict", threads=1, rows=1)}
    theirs = prepare_peers("estimator's predict", ("sklearn",), threads=1, rows=1)
    rounds = in_turns(benchmark, ours | theirs, pace)
    for library in ours | theirs:
        subject = f"{PEERS[library].title}'s MLPClassifier.predict"
        record(ONE_ROW, subject, "us", rounds.of(library) * 1e6)
    for library in theirs:
        subject = f"{PEERS[library].title}'s MLPClassifier.predict"
        record(ONE_ROW, subject, "times fastnn's", rounds.ratio(library, "fastnn"), ESTIMATOR)
