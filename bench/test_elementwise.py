"""Elementwise functions, in cache and in memory, compared with peers and a copy of equal bytes."""

import pytest

from bench.measure import CLOCK, Threads, in_turns
from bench.peers import PEERS
from bench.report import Target
from bench.sections import ELEMENTWISE_SIZES, elementwise

LIBRARIES = ("torch", "jax", "numpy")
WORST_ULPS = {
    "relu": 0,
    "tanh": 2,
    "sigmoid": 2,
    "exp": 2,
    "softmax": 20,
    "softmax-cross-entropy": 5,
    "SGD": 2,
    "Adam": 5,
}
"""Bounds on fastnn's errors; the exponential in a softmax amplifies the error of x - max."""
BYTES = {"SGD": 20, "Adam": 28}
COPIED = 8
"""Bytes read and written for an element by a copy, and by all functions but updates (`BYTES`)."""

pytestmark = pytest.mark.benchmark(group="elementwise", timer=CLOCK)


@pytest.mark.parametrize(
    "size", [pytest.param(n, marks=pytest.mark.full if n > 1e6 else ()) for n in ELEMENTWISE_SIZES]
)
@pytest.mark.parametrize("function", list(WORST_ULPS))
def test_elementwise(function, size, benchmark, prepare, prepare_peers, pace, record):
    given = {"function": function, "size": size}
    ours = prepare("fastnn", "elementwise", threads=Threads.OWN_CHOICE, **given)
    theirs = prepare_peers("elementwise", LIBRARIES, threads=Threads.BEST, **given)
    copy = prepare("fastnn", "copy", threads=Threads.OWN_CHOICE, size=size)
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides | {"copy": copy}, pace)

    def add(quantity, value, target=None):
        record(elementwise(size), function, quantity, value, target)

    scale = 1e9 / size
    moved = BYTES.get(function, COPIED)
    for library in sides:
        add(PEERS[library].title, rounds.of(library) * scale)
    add("moving the bytes", rounds.of("copy") * (scale * moved / COPIED))
    if theirs:
        best = rounds.ratio_to_best(theirs, "fastnn")
        target = (
            Target(1.0) if size < 1e6 and function in ("relu", "tanh", "sigmoid", "exp") else None
        )
        add("the best peer / fastnn", best, target)
    for library, side in theirs.items():
        add(f"{PEERS[library].title}'s threads", side.threads)
    for library, side in sides.items():
        add(f"{PEERS[library].title}: error, ulp", side.facts["ulps"])
    assert ours.facts["ulps"] <= WORST_ULPS[function]
