"""Products of float32 matrices on one core: beside the machine's peak, NumPy and PyTorch."""

import pytest

from bench.measure import CLOCK, in_turns
from bench.report import Target

SECTION = "matmul, float32, one core"
WORST_ERROR = 1e-5  # relative to |A| |B|; a product in float32 gives some 1e-7

pytestmark = pytest.mark.benchmark(group="matmul", timer=CLOCK)

PEAK, PEERS = Target(90), Target(1.0)
QUICK_SQUARES = (8, 64, 256)
SQUARES = (8, 16, 32, 64, 100, 128, 256, 512, 1024, 2048)
SHAPES = ((64, 784, 128), (128, 512, 512))
FORMS = {"": "A B", "A": "A^T B", "B": "A B^T", "AB": "A^T B^T"}


def _case(shape, form, peak, quick):
    name = "x".join(map(str, shape)) + (f" {FORMS[form]}" if form else "")
    marks = () if quick else pytest.mark.full
    return pytest.param(name, shape, form, peak, id=name.replace(" ", "-"), marks=marks)


CASES = [_case((n, n, n), "", PEAK if n >= 256 else None, n in QUICK_SQUARES) for n in SQUARES] + [
    _case(shape, form, PEAK, shape == SHAPES[0]) for shape in SHAPES for form in FORMS
]


@pytest.mark.parametrize(("name", "shape", "form", "peak_target"), CASES)
def test_matmul(name, shape, form, peak_target, benchmark, prepare, pace, record):
    rows, depth, columns = shape
    sides = {
        library: prepare(
            library, "matmul", threads=1, rows=rows, depth=depth, columns=columns, form=form
        )
        for library in ("fastnn", "numpy", "torch")
    }
    peak = prepare("fastnn", "multiply-adds", threads=1, dtype="float32")
    rounds = in_turns(benchmark, sides | {"peak": peak}, pace)

    flops = 2 * rows * depth * columns
    share = rounds.ratio("peak", "fastnn") * (100 * flops / peak.facts["flops"])
    record(SECTION, name, "GFLOP/s", rounds.rate("fastnn", flops / 1e9))
    record(SECTION, name, "% of the FMA peak", share, peak_target)
    record(SECTION, name, "times NumPy", rounds.ratio("numpy", "fastnn"), PEERS)
    record(SECTION, name, "times PyTorch", rounds.ratio("torch", "fastnn"), PEERS)
    assert sides["fastnn"].facts["error"] < WORST_ERROR
