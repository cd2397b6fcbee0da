import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastnn.compiler.builder import Block, Builder
from kernels.base.host import CACHE_LINE
from kernels.base.kinds import Matrix
from kernels.base.memory import address, leading_dimension
from kernels.functions.activations import IDENTITY, RELU
from kernels.instructions import borrowing, linear, samples
from kernels.machine import interpreter
from kernels.product import panels

DTYPES = (np.float32, np.float64)


@pytest.fixture(params=DTYPES)
def build(request):
    return Builder(batch=20, dtype=np.dtype(request.param), threads=2)


# ------------------------------------------------------------------------------ memory


def test_memory_is_zero_on_cache_lines_and_apart(build, memory_at):
    sizes = [1, 3, 100, 5000, 1, 40_000, 7, *[900] * 60, 200_000, 2]
    places = [(build.take(size), size * build.dtype.itemsize) for size in sizes]
    assert not any(place % CACHE_LINE for place, _ in places)
    for number, (place, size) in enumerate(places):
        memory = memory_at(place, (size,), np.uint8)
        assert not memory.any()
        memory[...] = number + 1
    for number, (place, size) in enumerate(places):
        assert (memory_at(place, (size,), np.uint8) == number + 1).all()


def test_memory_may_be_of_another_dtype(build, memory_at):
    first, second = build.take(1, np.uint8), build.take(3, np.int64)
    assert second - first == CACHE_LINE
    memory_at(first, (CACHE_LINE,), np.uint8)[...] = 255
    assert not memory_at(second, (3,), np.int64).any()


@pytest.mark.parametrize("columns", [1, 16, 17, 300])
def test_a_block_has_room_for_a_batch(build, memory_at, columns):
    block, next_one = build.block(columns, RELU), build.block(columns)
    ld = leading_dimension(columns, build.dtype)
    assert block == Block(block.pointer, columns, ld, RELU, 0)
    assert next_one.activation == IDENTITY
    memory_at(block.pointer, (20, ld), build.dtype)[...] = 1
    assert not memory_at(next_one.pointer, (20, ld), build.dtype).any()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("columns", [3, 100, 517])
def test_a_block_in_panels_has_one_for_each_thread_that_splits_columns(columns, threads, memory_at):
    build = Builder(20, np.dtype(np.float32), threads)
    count, ld, panel = panels.of_threads(20, columns, np.float32, threads)
    block = build.block_in_panels(columns, RELU)
    if count == 1:
        assert block.panel == 0
        assert block.ld == leading_dimension(columns, np.float32)
    else:
        assert (block.ld, block.panel) == (ld, panel)
        assert not memory_at(block.pointer, (count * panel,), np.float32).any()
    assert (block.columns, block.activation) == (columns, RELU)


# ------------------------------------------------------------------------ instructions


def collecting(build, **changed):
    return {"columns": 3, "x": build.block(3), "results": np.zeros((20, 3), build.dtype), **changed}


def test_an_instruction_is_a_row_of_its_address_and_operands(build):
    operands = collecting(build)
    build.emit(samples.collect, **operands)
    build.emit(samples.collect, wait=False, **operands)
    x, results = operands["x"], operands["results"]
    row = [samples.collect.address(build.real), 1, 3, x.pointer, x.ld, address(results)]
    assert build.rows == [row, [row[0], 0, *row[2:]]]
    build.wait()
    assert build.rows == [row, row]


def test_an_array_among_the_operands_lives_as_long_as_the_program(build):
    operands = collecting(build)
    array = weakref.ref(operands["results"])
    build.emit(samples.collect, **operands)
    del operands
    assert array() is not None
    assert build.rows[0][-1] == address(array())
    del build.kept[:]
    assert array() is None


def test_what_is_kept_lives_on(build):
    array = np.arange(5.0)
    kept = weakref.ref(array)
    place = build.keep(array)
    assert place == address(array)
    del array
    assert_array_equal(kept(), np.arange(5.0))


@pytest.mark.parametrize(
    ("changed", "without", "told"),
    [
        ({}, "x", r"collect: missing operands \['x'\], unknown \[\]"),
        ({}, "results", r"missing operands \['results'\]"),
        ({"y": 5}, None, r"missing operands \[\], unknown \['y'\]"),
        ({"y": 5}, "x", r"missing operands \['x'\], unknown \['y'\]"),
        ({"columns": None}, None, "operand columns is None; expected int64"),
        ({"columns": 3.0}, None, "operand columns is 3.0; expected int64"),
        ({"x": Matrix(None, 3)}, None, "operand x is Matrix.pointer=None, ld=3.; expected Matrix"),
        ({"results": None}, None, "operand results is None; expected"),
    ],
)
def test_operands_that_are_missing_unknown_or_no_numbers(build, changed, without, told):
    operands = collecting(build, **changed)
    operands.pop(without, None)
    with pytest.raises(TypeError, match=told):
        build.emit(samples.collect, **operands)
    assert build.rows == []


def test_the_gradient_before_an_activation(build, emitted):
    gradient, output = build.block(9), build.block(9, RELU)
    assert build.through_activation(gradient, build.block(9)) is gradient
    assert emitted == []
    assert build.through_activation(gradient, output) is gradient
    expected = {"activation": RELU, "columns": 9, "y": output, "g": gradient, "out": gradient}
    assert emitted == [("activation_gradient", True, expected)]
    assert build.rows[0][0] == linear.activation_gradient.address(build.real)


# --------------------------------------------------------------------------- borrowing


def borrowed(build):
    return [dict(zip(FIELDS, row, strict=True)) for row in build.borrowed]


FIELDS = "rows", "columns", "owner", "ld", "copy", "panel", "finite"


@pytest.mark.parametrize("memories", [0, 1, 2, 3])
@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(1, 7), (5, 3), (40, 200), (300, 517)])
def test_a_matrix_and_its_memories_are_borrowed_evenly_apart(
    build, memory_at, rows, columns, learned, memories
):
    owners = [np.zeros(1) for _ in range(memories + 1)]
    copy, memory = build.borrow(owners[0], rows, columns, columns + 2, learned, owners[1:])
    count, elements = panels.sizes(rows, columns, build.dtype)
    size = count * elements
    found = borrowed(build)
    assert [row["owner"] for row in found] == [address(each) for each in owners]
    assert all(any(each is kept for kept in build.kept) for each in owners)
    places = [row["copy"] for row in found]
    for row in found:
        assert (row["rows"], row["columns"], row["ld"]) == (rows, columns, columns + 2)
        assert row["panel"] == elements
        assert row["copy"] % CACHE_LINE == 0
    # Only what is learned has to be finite, not what is remembered of it.
    assert [row["finite"] for row in found] == [size if learned else 0] + [0] * memories
    assert copy.pointer == places[0]
    assert copy.size == size
    assert {each.ld for each in (copy, memory)} == {panels.span_of(build.dtype)}
    assert {each.panel for each in (copy, memory)} == {elements}
    if memories:
        assert memory.pointer == places[1]
    assert np.diff(places[1:]).tolist() == [memory.size * build.dtype.itemsize] * (memories - 1)
    assert memory.size >= size
    # All of them at once: none overlaps another, or what is taken next.
    after = build.take(10)
    for number, place in enumerate(places):
        memory_at(place, (size,), build.dtype)[...] = number + 1
    for number, place in enumerate(places):
        assert (memory_at(place, (size,), build.dtype) == number + 1).all()
    assert not memory_at(after, (10,), build.dtype).any()


def test_memories_do_not_begin_where_lines_share_a_set_of_a_cache(build):
    itemsize = build.dtype.itemsize
    owner, *memories = np.zeros((3, 1))
    _, memory = build.borrow(owner, 1, 4096 // itemsize, 1, True, memories)
    assert memory.size * itemsize % 4096


def test_a_program_opens_by_borrowing_and_closes_by_giving_back(build, memory_at):
    owner, *memories, other = np.zeros((4, 20))
    build.borrow(owner, 5, 3, 4, True, memories)
    build.borrow(other, 1, 9, 9, False, [])
    opening, closing = build.ends()
    kinds = [borrowing.borrow], [borrowing.check, borrowing.give_back]
    for rows, expected in zip((opening, closing), kinds, strict=True):
        assert [row[interpreter.FUNCTION] for row in rows] == [
            kind.address(build.real) for kind in expected
        ]
        assert [row[interpreter.WAIT] for row in rows] == [1] * len(expected)
    (count, table, notes), *others = (row[interpreter.OPERANDS :] for row in opening + closing)
    assert others == [[count, table, notes]] * 2
    assert count == 4
    assert_array_equal(memory_at(table, (4, borrowing.FIELDS), np.int64), build.borrowed)
    assert_array_equal(memory_at(notes, (build.threads,), np.int64), [0, 0])


def test_a_program_that_borrows_nothing(build):
    opening, closing = build.ends()
    assert [row[interpreter.OPERANDS] for row in opening + closing] == [0, 0, 0]
