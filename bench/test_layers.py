"""Single layers, eager: forward, and forward with backward."""

import pytest

from bench.measure import CLOCK, Threads, in_turns
from bench.peers import PEERS
from bench.sections import layers

LIBRARIES = ("torch", "jax", "numpy")
CASES = {
    "Linear 784-128, batch 64": ("Linear", 64, 784, 128),
    "Linear 64-100, batch 20": ("Linear", 20, 64, 100),
    "Linear 512-512, batch 128": ("Linear", 128, 512, 512),
    **{
        f"{kind} 512, batch 128": (kind, 128, 512, 512)
        for kind in ("ReLU", "Tanh", "Sigmoid", "Softmax", "Dropout")
    },
}
QUICK = ("Linear 64-100, batch 20", "ReLU 512, batch 128")

pytestmark = pytest.mark.benchmark(group="layers", timer=CLOCK)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.full) for n in CASES]
)
def test_layer(name, backward, benchmark, prepare, prepare_peers, pace, record):
    names = ("kind", "rows", "columns", "outputs")
    given = dict(zip(names, CASES[name], strict=True), backward=backward)
    ours = prepare("fastnn", "layer", threads=Threads.OWN_CHOICE, **given)
    theirs = prepare_peers("layer", LIBRARIES, threads=Threads.BEST, **given)
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides, pace)

    for library in sides:
        record(layers(backward), name, PEERS[library].title, rounds.of(library) * 1e6)
    for library in theirs:
        ratio = rounds.ratio(library, "fastnn")
        record(layers(backward), name, f"{PEERS[library].title} / fastnn", ratio)
    for library, side in theirs.items():
        # Random masks differ between libraries.
        close = 0.05 if given["kind"] == "Dropout" else 1e-3
        found, expected = ours.facts["sum"], side.facts["sum"]
        assert found == pytest.approx(expected, rel=close), library
