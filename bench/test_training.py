"""Training through `fastnn.fit`, whole epochs with shuffling, beside a tight PyTorch loop."""

import dataclasses

import pytest

from bench.measure import CLOCK, Threads, in_turns
from bench.report import Target
from bench.workloads import PICTURES, PICTURES_AS_BYTES, TINY

SECTION = "A training step, shuffling included"
WORST_POINTS = 0.3  # of accuracy, in percent, between the two
QUICK_SAMPLES = 6_400

pytestmark = pytest.mark.benchmark(group="training", timer=CLOCK)


@pytest.mark.parametrize(
    "workload",
    [
        pytest.param(PICTURES, id="784-128-10", marks=pytest.mark.full),
        pytest.param(PICTURES_AS_BYTES, id="784-128-10-bytes", marks=pytest.mark.full),
        pytest.param(TINY, id="10-100-2"),
    ],
)
def test_training(workload, benchmark, prepare, pace, quick, record):
    if quick:
        workload = dataclasses.replace(workload, samples=QUICK_SAMPLES)
    settings = dataclasses.asdict(workload)
    sides = {
        "fastnn": prepare("fastnn", "training", threads=Threads.OWN_CHOICE, **settings),
        "torch": prepare("torch", "training", threads=Threads.BEST, **settings),
    }
    rounds = in_turns(benchmark, sides, pace)

    ours, theirs = sides["fastnn"].facts, sides["torch"].facts
    name, microseconds = workload.name, 1e6 / workload.steps
    record(SECTION, name, "us a step", rounds.of("fastnn") * microseconds)
    record(SECTION, name, "PyTorch's", rounds.of("torch") * microseconds)
    record(SECTION, name, "its threads", sides["torch"].threads)
    target = Target(workload.target)
    record(SECTION, name, "times PyTorch", rounds.ratio("torch", "fastnn"), target)
    record(SECTION, name, "test loss", ours["loss"])
    record(SECTION, name, "PyTorch's test loss", theirs["loss"])
    record(SECTION, name, "test accuracy, %", ours["accuracy"])
    record(SECTION, name, "PyTorch's test accuracy, %", theirs["accuracy"])
    assert abs(ours["accuracy"] - theirs["accuracy"]) <= WORST_POINTS
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.01)
