"""Products of float32 matrices on one core, compared with the machine's peak and each peer."""

import pytest

from bench import sections
from bench.measure import CLOCK, in_turns
from bench.peers import PEERS
from bench.report import Target
from bench.workloads import TABLE

LIBRARIES = ("torch", "jax", "numpy")
WORST_ULPS = 100  # of |A| |B|; products in float32 usually have about 2

pytestmark = pytest.mark.benchmark(group="matmul", timer=CLOCK)

PEAK, PEERS_TARGET = Target(90), Target(1.0)
PEAK_SIZE, PEAK_FLOPS = 256, 20e6
QUICK_SQUARES = (8, 64, 256)
SQUARES = (8, 16, 32, 64, 100, 128, 256, 512, 1024, 2048)
FORMS = {"": "A B", "A": "A^T B", "B": "A B^T", "AB": "A^T B^T"}


def products():
    """Return the shapes and forms of the products in a step of all workloads, without duplicates.

    These are the forward product x W, the gradient of the weights x^T g and, for all but the
    first layer, the gradient of the input g W^T.
    """
    found = {}
    for workload in TABLE.values():
        batch = workload.batch
        for place, (i, o) in enumerate(zip(workload.sizes, workload.sizes[1:], strict=False)):
            found[(batch, i, o), ""] = None
            found[(i, batch, o), "A"] = None
            if place:
                found[(batch, o, i), "B"] = None
    return list(found)


def _case(shape, form, quick):
    name = "x".join(map(str, shape)) + (f" {FORMS[form]}" if form else "")
    marks = () if quick else pytest.mark.full
    return pytest.param(name, shape, form, id=name.replace(" ", "-"), marks=marks)


CASES = [_case((n, n, n), "", n in QUICK_SQUARES) for n in SQUARES] + [
    _case(shape, form, place < 3) for place, (shape, form) in enumerate(products())
]


@pytest.mark.parametrize(("name", "shape", "form"), CASES)
def test_matmul(name, shape, form, benchmark, prepare, prepare_peers, pace, record):
    rows, depth, columns = shape
    sizes = {"rows": rows, "depth": depth, "columns": columns, "form": form}
    ours = prepare("fastnn", "matmul", threads=1, **sizes)
    theirs = prepare_peers("matmul", LIBRARIES, threads=1, **sizes)
    peak = prepare("fastnn", "multiply-adds", threads=1, dtype="float32")
    sides = {"fastnn": ours} | theirs
    rounds = in_turns(benchmark, sides | {"peak": peak}, pace)

    square, flops = rows == depth == columns, 2 * rows * depth * columns
    intensity = flops / (4 * (rows * depth + depth * columns + rows * columns))

    def add(quantity, value, target=None):
        section = sections.SQUARES if square else sections.PRODUCTS
        record(section, name, quantity, value, target, intensity)

    large = rows >= PEAK_SIZE if square else flops >= PEAK_FLOPS
    share = rounds.ratio("peak", "fastnn") * (100 * flops / peak.facts["flops"])
    add("% of the FMA peak", share, PEAK if large else None)
    for library in sides:
        add(f"{PEERS[library].title}, GFLOP/s", rounds.rate(library, flops / 1e9))
    for library in theirs:
        target = None if library == "jax" else PEERS_TARGET
        add(f"times {PEERS[library].title}", rounds.ratio(library, "fastnn"), target)
    for library, side in sides.items():
        add(f"{PEERS[library].title}: error, ulp", side.facts["ulps"])
    assert ours.facts["ulps"] < WORST_ULPS
