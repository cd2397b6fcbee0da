"""Activations over 131,072 floats, beside NumPy and PyTorch at its best number of threads."""

import pytest

from bench.measure import CLOCK, Threads, in_turns
from bench.report import Target

SECTION = "Activations, 131,072 float32, out="
SIZE = 131_072
WORST_ULPS = 2

pytestmark = pytest.mark.benchmark(group="activations", timer=CLOCK)


@pytest.mark.parametrize("function", ["relu", "tanh", "sigmoid", "exp"])
def test_activation(function, benchmark, prepare, pace, record):
    sides = {
        library: prepare(library, "activation", threads=threads, function=function, size=SIZE)
        for library, threads in (("fastnn", 1), ("numpy", 1), ("torch", Threads.BEST))
    }
    rounds = in_turns(benchmark, sides, pace)

    best = rounds.ratio_to_best(["numpy", "torch"], "fastnn")
    record(SECTION, function, "ns an element", rounds.of("fastnn") * (1e9 / SIZE))
    record(SECTION, function, "times NumPy", rounds.ratio("numpy", "fastnn"))
    record(SECTION, function, "times PyTorch", rounds.ratio("torch", "fastnn"))
    record(SECTION, function, "PyTorch's threads", sides["torch"].threads)
    record(SECTION, function, "times the better", best, Target(1.0))
    record(SECTION, function, "worst error, ulp", sides["fastnn"].facts["ulps"])
    assert sides["fastnn"].facts["ulps"] <= WORST_ULPS
