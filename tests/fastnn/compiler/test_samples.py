from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, MSELoss, NLLLoss, Normalize
from fastnn.compiler.builder import Builder
from fastnn.compiler.samples import emit_samples, emit_truth, form_of, inputs_of
from kernels.base.memory import aligned_zeros
from kernels.machine import interpreter
from kernels.machine.posts import size
from kernels.machine.state import STATE, THREADS

DTYPES = (np.float32, np.float64)
BATCH, COLUMNS, SAMPLES = 8, 21, 30


@pytest.fixture(params=DTYPES)
def build(request):
    return Builder(BATCH, np.dtype(request.param), 1)


@pytest.fixture
def source(build, source_of):
    return source_of(COLUMNS, SAMPLES, dtype=build.dtype)


def run(build, batch):
    """Run what has been built on one batch."""
    nothing, state = interpreter.table_of([]), np.zeros(STATE, np.int64)
    state[THREADS] = 1
    tables = nothing, interpreter.table_of(build.rows), nothing
    mine = state, aligned_zeros(64, build.dtype), aligned_zeros(size(1), np.int64)
    done = interpreter.run[build.dtype](*tables, *mine, SAMPLES, BATCH, batch, batch + 1, 0, 1)
    assert done == 1


def truth_of(build, loss, source, columns):
    """Emit the targets of a source."""
    build.inputs = inputs_of(source, loss, build.dtype)
    return emit_truth(build, loss, columns)


# ----------------------------------------------------------------------------- samples


@pytest.mark.parametrize("kind", ["numbers", "bytes"])
@pytest.mark.parametrize(
    "normalize", [None, (0.5, 2.0), (np.arange(COLUMNS), np.arange(COLUMNS) + 1.0)]
)
def test_samples_of_each_batch(build, source, memory_at, kind, normalize):
    if kind == "bytes":
        values = np.random.default_rng(1).integers(0, 256, (SAMPLES, COLUMNS))
        source = replace(source, x=values.astype(np.uint8))
    layer = None if normalize is None else Normalize(*normalize, dtype=build.dtype)
    build.inputs = inputs_of(source, None, build.dtype)
    x = emit_samples(build, None if layer is None else layer.tables(COLUMNS))
    assert x.columns == COLUMNS
    for batch in range(4):
        run(build, batch)
        rows = source.order[batch * BATCH : (batch + 1) * BATCH]
        expected = source.x[rows].astype(build.dtype)
        found = memory_at(x.pointer, (BATCH, x.ld), build.dtype)[: len(rows), :COLUMNS]
        assert_array_equal(found, expected if layer is None else layer(source.x[rows]))


def test_threads_do_not_wait_for_samples(build, source, emitted):
    """The next instruction gathers targets, which nobody reads before all threads have met."""
    build.inputs = inputs_of(source, None, build.dtype)
    emit_samples(build, None)
    assert [each.wait for each in emitted] == [False]


def test_the_form_of_inputs_is_that_of_all_that_can_be_bound(source_of):
    loss, weighted = CrossEntropyLoss([1, 2, 3]), source_of(COLUMNS, 9, weights=True)
    inputs = inputs_of(weighted, loss, np.float32)
    assert list(inputs) == ["x", "order", "y", "weights", "masses"]
    assert form_of(inputs) == form_of(inputs_of(source_of(COLUMNS, 5, weights=True), loss, "f4"))
    for other in (
        inputs_of(source_of(COLUMNS, 9), loss, np.float32),
        inputs_of(source_of(COLUMNS + 1, 9, weights=True), loss, np.float32),
        inputs_of(source_of(COLUMNS, 9, weights=True, dtype=float), loss, float),
        inputs_of(source_of(COLUMNS, 9, weights=True, numbers=2), MSELoss(), np.float32),
    ):
        assert form_of(other) != form_of(inputs)


# ------------------------------------------------------------------------------- truth


def numbers_at(memory_at, pointer, dtype, count=BATCH):
    return memory_at(pointer, (count,), dtype)


@pytest.mark.parametrize("batch", [0, 3])
def test_class_indices_of_a_batch(build, source, memory_at, batch):
    truth = truth_of(build, CrossEntropyLoss(), source, 3)
    run(build, batch)
    rows = source.order[batch * BATCH :][:BATCH]
    assert truth.rows is None
    assert_array_equal(numbers_at(memory_at, truth.labels, np.int64, len(rows)), source.y[rows])
    assert truth.divisor == 0
    for place in (truth.weights, truth.masses):
        assert_array_equal(numbers_at(memory_at, place, build.dtype), np.ones(BATCH))


def test_rows_of_numbers_of_a_batch(build, source_of, memory_at):
    source = source_of(COLUMNS, SAMPLES, dtype=build.dtype, numbers=5)
    truth = truth_of(build, MSELoss(), source, source.y.shape[1])
    run(build, 1)
    rows = source.order[BATCH : 2 * BATCH]
    assert truth.labels is None
    found = memory_at(truth.rows.pointer, (BATCH, truth.rows.ld), build.dtype)
    assert_array_equal(found[:, : truth.rows.columns], source.y[rows])
    assert truth.rows.columns == 5


@pytest.mark.parametrize("loss", [MSELoss(), HuberLoss(2.0), BCEWithLogitsLoss([1, 2, 3, 4, 5])])
def test_weights_of_samples_are_the_masses_of_rows(build, source_of, memory_at, loss):
    source = source_of(COLUMNS, SAMPLES, dtype=build.dtype, numbers=5, weights=True)
    truth = truth_of(build, loss, source, 3)
    run(build, 2)
    assert truth.weights == truth.masses == truth.divisor
    rows = source.order[2 * BATCH : 3 * BATCH]
    assert_array_equal(numbers_at(memory_at, truth.masses, build.dtype), source.weights[rows])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss])
def test_masses_are_weights_of_classes_times_those_of_samples(
    build, source_of, memory_at, kind, weighted
):
    source = source_of(COLUMNS, SAMPLES, dtype=build.dtype, weights=weighted)
    of_classes = np.array([0.5, 2.0, 4.0])
    truth = truth_of(build, kind(of_classes), source, 3)
    run(build, 0)
    rows = source.order[:BATCH]
    own = source.weights[rows] if weighted else np.ones(BATCH, build.dtype)
    found = numbers_at(memory_at, truth.masses, build.dtype)
    assert_array_equal(found, own * of_classes[source.y[rows]].astype(build.dtype))
    assert_array_equal(numbers_at(memory_at, truth.weights, build.dtype), own)
    assert truth.divisor == truth.masses != truth.weights
