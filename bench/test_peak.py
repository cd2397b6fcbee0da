"""Peak rates of this machine on one core."""

import pytest

from bench.measure import CLOCK, in_turns
from bench.sections import MACHINE

COPIED = 1 << 24  # numbers of 4 bytes: more than the caches hold

pytestmark = pytest.mark.benchmark(group="machine", timer=CLOCK)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_multiply_adds(dtype, benchmark, prepare, pace, record):
    """Measure fused multiply-adds in registers."""
    side = prepare("fastnn", "multiply-adds", threads=1, dtype=dtype)
    rounds = in_turns(benchmark, {"fastnn": side}, pace)
    flops = side.facts["flops"]
    record(MACHINE, f"{dtype} multiply-adds", "GFLOP/s", rounds.rate("fastnn", flops / 1e9))
    assert side.facts["error"] == 0


def test_copy(benchmark, prepare, pace, record):
    """Measure a copy from memory to memory, in bytes read and written."""
    side = prepare("fastnn", "copy", threads=1, size=COPIED)
    rounds = in_turns(benchmark, {"fastnn": side}, pace)
    record(MACHINE, "copy", "GB/s", rounds.rate("fastnn", side.facts["bytes"] / 1e9))
