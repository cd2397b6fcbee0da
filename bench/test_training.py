"""Training steps, shuffling included: whole epochs by each library, on the same batches.

    pytest bench/test_training.py --peers torch,jax

is the quick way to the table behind the project's claim of speed.
"""

import dataclasses

import pytest

from bench.measure import CLOCK, Threads, in_turns
from bench.peers import PEERS
from bench.report import Target, geometric_mean
from bench.sections import (
    ALL_STEPS,
    STEP_CPU,
    STEP_LEARNED,
    STEP_PEAK,
    STEP_RATIOS,
    STEP_SECONDS,
    STEP_SETTINGS,
)
from bench.workloads import (
    ALL_OVER_JAX,
    ALL_OVER_TORCH,
    PICTURES_AS_BYTES,
    TABLE,
)

WORST_POINTS = 0.3  # allowed difference of accuracy in % from PyTorch
WORST_LOSS = 0.05  # allowed relative difference of fastnn's loss from PyTorch's
LARGE_FLOPS, PEAK_SHARE = 20e6, Target(80)
QUICK_SAMPLES = 3_200
QUICK_PEERS, SHORT_TO_COMPILE = ("torch", "jax", "sklearn", "numpy"), "64-100-10"

pytestmark = pytest.mark.benchmark(group="training", timer=CLOCK)


@pytest.mark.parametrize("short", [*TABLE, "784-128-10-bytes"])
def test_training(short, benchmark, prepare, prepare_peers, pace, quick, record):
    workload = TABLE.get(short, PICTURES_AS_BYTES)
    if quick:
        workload = workload.smaller(QUICK_SAMPLES)
    settings = dataclasses.asdict(workload)
    ours = prepare("fastnn", "training", threads=Threads.BEST, **settings)
    among = QUICK_PEERS if quick and short != SHORT_TO_COMPILE else ()
    theirs = prepare_peers("training", among, threads=Threads.BEST, **settings)
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides, pace)

    def add(section, quantity, value, target=None):
        record(section, workload.name, quantity, value, target)

    targets = {"torch": workload.torch, "jax": workload.jax}
    add(STEP_RATIOS, "fastnn, us", rounds.of("fastnn") * (1e6 / workload.steps))
    for library in theirs:
        ratio, target = rounds.ratio(library, "fastnn"), targets.get(library)
        add(STEP_RATIOS, PEERS[library].title, ratio, target and Target(target))
    for library, side in sides.items():
        title = PEERS[library].title
        add(STEP_SECONDS, title, rounds.of(library) * (1e6 / workload.steps))
        add(STEP_CPU, title, side.cpu() * (1e6 / workload.steps))
        add(STEP_SETTINGS, f"{title}'s threads", side.threads)
        if "compile_seconds" in side.facts:
            add(STEP_SETTINGS, f"{title} compiles, s", side.facts["compile_seconds"])
        add(STEP_LEARNED, f"{title}: loss", side.facts["loss"])
        add(STEP_LEARNED, f"{title}: %", side.facts["accuracy"])
    if "torch" in sides and not (quick and workload.dropout):  # few samples, too much chance
        _check_agreement({library: side.facts for library, side in sides.items()})


def _check_agreement(facts):
    """Check that all libraries have learned as well as PyTorch."""
    expected = facts["torch"]
    for library, found in facts.items():
        points = abs(found["accuracy"] - expected["accuracy"])
        assert points <= WORST_POINTS, f"{library}: {points:.2f} points from PyTorch"
    assert facts["fastnn"]["loss"] == pytest.approx(expected["loss"], rel=WORST_LOSS)


@pytest.mark.parametrize(("library", "target"), [("torch", ALL_OVER_TORCH), ("jax", ALL_OVER_JAX)])
def test_all(library, target, benchmark, record, report):
    """Record the geometric mean over the table."""
    title = PEERS[library].title
    found = [report.value(STEP_RATIOS, workload.name, title) for workload in TABLE.values()]
    ratios = [ratio for ratio in found if ratio is not None]
    if len(ratios) < len(TABLE):
        pytest.skip("needs every workload of the table")
    mean = benchmark.pedantic(geometric_mean, [ratios])
    record(STEP_RATIOS, ALL_STEPS, title, mean, Target(target))


@pytest.mark.full
@pytest.mark.parametrize(
    "short", [short for short, workload in TABLE.items() if workload.flops > LARGE_FLOPS]
)
def test_share_of_the_peak(short, benchmark, prepare, pace, record):
    """Measure the share of the peak; only operations of products count, but all work is timed."""
    workload = TABLE[short]
    side = prepare("fastnn", "training", threads=1, **dataclasses.asdict(workload))
    peak = prepare("fastnn", "multiply-adds", threads=1, dtype="float32")
    rounds = in_turns(benchmark, {"fastnn": side, "peak": peak}, pace)

    flops = workload.flops * workload.steps
    share = rounds.ratio("peak", "fastnn") * (100 * flops / peak.facts["flops"])
    record(STEP_PEAK, workload.name, "MFLOP a step", workload.flops / 1e6)
    record(STEP_PEAK, workload.name, "GFLOP/s", rounds.rate("fastnn", flops / 1e9))
    record(STEP_PEAK, workload.name, "% of the FMA peak", share, PEAK_SHARE)
