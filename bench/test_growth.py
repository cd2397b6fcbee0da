"""Growth of the time of a training step with width, batch, depth, rows of data and threads."""

import dataclasses

import pytest

from bench.measure import CLOCK, Threads, in_turns, thread_counts
from bench.peers import PEERS
from bench.report import Target
from bench.sections import growth
from bench.workloads import PICTURES_LARGE, Workload

LIBRARIES = ("torch", "jax")
WORST_POINTS = 0.3  # allowed difference of accuracy in % from PyTorch
SPEEDUP = Target(1.7)  # of two threads over one
STEPS_FLOPS, MOST_STEPS, FEWEST_STEPS = 1e9, 100, 4

BASE = Workload(
    sizes=(64, 128, 10), activation="relu", batch=64, samples=0, lr=0.01, test_samples=1_000
)

pytestmark = pytest.mark.benchmark(group="growth", timer=CLOCK)


def of_steps(**changes) -> Workload:
    """Return the base workload with changes, and with samples for the steps of a turn."""
    made = dataclasses.replace(BASE, **changes)
    steps = int(max(FEWEST_STEPS, min(MOST_STEPS, STEPS_FLOPS / made.flops)))
    return dataclasses.replace(made, samples=steps * made.batch)


AXES = {
    "width": {n: of_steps(sizes=(64, n, n, 10)) for n in (32, 64, 128, 256, 512, 1024, 2048, 4096)},
    "batch": {n: of_steps(sizes=(784, 128, 10), batch=n) for n in (1, 4, 16, 64, 256, 1024, 4096)},
    "depth": {n: of_steps(sizes=(64, *[64] * n, 10)) for n in (1, 2, 4, 8, 16)},
    "rows of data": {
        n: dataclasses.replace(BASE, samples=n) for n in (64, 512, 4_096, 32_768, 262_144)
    },
}
QUICK = {"width": (32, 256), "batch": (1, 64), "depth": (1, 4), "rows of data": (64, 4_096)}


def _cases():
    for axis, points in AXES.items():
        for n in points:
            marks = () if n in QUICK[axis] else pytest.mark.full
            yield pytest.param(axis, n, id=f"{axis.replace(' ', '-')}-{n}", marks=marks)


@pytest.mark.parametrize(("axis", "n"), list(_cases()))
def test_growth(axis, n, benchmark, prepare, prepare_peers, pace, record):
    workload = AXES[axis][n]
    _measure(axis, n, workload, Threads.BEST, benchmark, prepare, prepare_peers, pace, record)


def _measure(axis, n, workload, threads, benchmark, prepare, prepare_peers, pace, record):
    """Time and record all libraries at one point of a growth."""
    settings = dataclasses.asdict(workload)
    ours = prepare("fastnn", "training", threads=threads, **settings)
    theirs = prepare_peers("training", LIBRARIES, threads=threads, **settings)
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides, pace.sooner())
    for library in sides:
        microseconds = rounds.of(library) * (1e6 / workload.steps)
        record(growth(axis), f"{n:,}", PEERS[library].title, microseconds, at=n)
    for library in theirs:
        ratio = rounds.ratio(library, "fastnn")
        record(growth(axis), f"{n:,}", f"{PEERS[library].title} / fastnn", ratio, at=n)
    for library, side in sides.items():
        title = PEERS[library].title
        record(growth(axis), f"{n:,}", f"{title}'s threads", side.threads, at=n)
    for library, side in sides.items():
        title = PEERS[library].title
        record(growth(axis), f"{n:,}", f"{title}: loss", side.facts["loss"], at=n)
        record(growth(axis), f"{n:,}", f"{title}: %", side.facts["accuracy"], at=n)
    if "torch" in theirs:
        for library, side in sides.items():
            apart = abs(side.facts["accuracy"] - theirs["torch"].facts["accuracy"])
            assert apart <= WORST_POINTS, f"{library}: {apart:.2f} points from PyTorch"


@pytest.mark.full
@pytest.mark.parametrize("count", thread_counts())
def test_threads(count, benchmark, prepare, prepare_peers, pace, record, report):
    """Measure with given numbers of threads."""
    workload = dataclasses.replace(PICTURES_LARGE, dropout=0.0, seeds=1, epochs_to_learn=1)
    _measure("threads", count, workload, count, benchmark, prepare, prepare_peers, pace, record)
    one = report.value(growth("threads"), "1", "fastnn")
    two = report.value(growth("threads"), "2", "fastnn")
    if count == 2 and one and two:
        record(growth("threads"), "2", "fastnn: one thread / two", one / two, SPEEDUP, at=2)
