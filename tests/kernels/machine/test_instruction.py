from types import SimpleNamespace

import numpy as np
import pytest
from kit import FLOATS, carry_out, words_of
from numba import types
from numba.core.errors import NumbaError
from numpy.testing import assert_array_equal

from crews import together
from kernels.base.jit import entry, real_type
from kernels.base.kinds import (
    BYTES,
    DOUBLE,
    DOUBLES,
    INTEGER,
    MASK,
    MATRIX,
    MEMORY,
    PANELS,
    REALS,
    STRIDED,
    UPDATE,
    WORDS,
    Matrix,
    Memory,
    Panels,
    Strided,
    Update,
    writes,
)
from kernels.base.simd import data, location, peek, pointer_to, poke
from kernels.instructions import borrowing, layers, linear, losses, samples, updates
from kernels.machine import interpreter, team
from kernels.machine.instruction import Instruction, Operands, instruction, write_operands
from kernels.machine.state import THREAD
from kernels.machine.team import ALONE, ASK, Team, share_out

pytestmark = pytest.mark.usefixtures("folder")

REAL_TYPES = [real_type(dtype) for dtype in FLOATS]

# Operands of all kinds, and where each begins in a row.
KINDS = {
    "count": (INTEGER, 0),
    "number": (DOUBLE, 1),
    "reals": (REALS, 2),
    "words": (WORDS, 3),
    "bytes_": (BYTES, 4),
    "doubles": (DOUBLES, 5),
    "matrix": (MATRIX, 6),
    "panels": (PANELS, 8),
    "strided": (STRIDED, 11),
    "memory": (MEMORY, 14),
    "mask": (MASK, 16),
    "update": (UPDATE, 18),
    "last": (INTEGER, 22),
}
LENGTH = 23


@instruction(**{name: kind for name, (kind, _) in KINDS.items()})
def echo(at, state, scratch):
    """Write all operands to `words`, one after the other."""
    words = at.words
    words[0], words[2], words[3] = at.count, location(at.reals), location(words)
    at.doubles[0] = at.number
    words[4], words[5] = location(at.bytes_), location(at.doubles)
    words[6], words[7] = location(at.matrix.pointer), at.matrix.ld
    words[8], words[9], words[10] = location(at.panels.pointer), at.panels.ld, at.panels.panel
    words[11] = location(at.strided.pointer)
    words[12], words[13] = at.strided.row, at.strided.column
    words[14], words[15] = location(at.memory.pointer), at.memory.apart
    words[16], words[17] = location(at.mask.pointer), at.mask.ld
    words[18], words[19], words[20] = at.update.rule, at.update.decays, at.update.step
    words[21] = location(at.update.settings)
    words[22] = at.last


def operands_of(words, doubles):
    return {
        "count": -(2**40) - 1,
        "number": -0.1,
        "reals": 1001,
        "words": words.ctypes.data,
        "bytes_": 1002,
        "doubles": doubles.ctypes.data,
        "matrix": Matrix(1003, 2**33),
        "panels": Panels(1004, 5, -6),
        "strided": Strided(1005, -7, 8),
        "memory": Memory(1006, 9),
        "mask": Matrix(1007, 10),
        "update": Update(1008, True, 11, 1009),
        "last": 12,
    }


# ------------------------------------------------------------------------- the layout


def test_places_and_length_follow_from_the_declaration():
    assert echo.length == LENGTH
    assert list(echo.declared) == list(KINDS)
    for real in REAL_TYPES:
        fields = Operands(echo.declared, real).fields
        for name, (kind, place) in KINDS.items():
            assert fields[name] == (place, kind(real))


def test_the_type_tells_declarations_apart():
    single, double = REAL_TYPES
    first, other = {"x": REALS, "y": INTEGER}, {"y": INTEGER, "x": REALS}
    assert Operands(first, single) == Operands(dict(first), single)
    assert Operands(first, single) != Operands(first, double)
    assert Operands(first, single) != Operands(other, single)
    assert Operands(first, single) != Operands({**first, "z": INTEGER}, single)


def test_an_instruction_without_operands():
    @instruction()
    def nothing(at, state, scratch):
        """Do nothing."""

    assert nothing.length == 0
    assert nothing.row({}) == []


def every_instruction():
    for home in (borrowing, layers, linear, losses, samples, updates):
        for value in vars(home).values():
            tables = value.values() if isinstance(value, dict) else [value]
            yield from (each for each in tables if isinstance(each, Instruction))


def test_every_instruction_lies_in_a_row_as_long_as_it_says():
    found = list(every_instruction())
    assert len(found) > 40
    assert len({each.name for each in found}) == len(found)
    for each in found:
        operands = dict.fromkeys(each.declared, SimpleNamespace())
        for name, kind in each.declared.items():
            whole = kind(types.float64)
            if isinstance(whole, types.BaseNamedTuple):
                operands[name] = SimpleNamespace(**dict.fromkeys(whole.fields, 1))
            else:
                operands[name] = 1
        row = each.row(operands)
        assert len(row) == each.length
        assert all(type(word) is int for word in row)


# ------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_has_the_operands_in_the_order_of_their_declaration(dtype):
    words, doubles = np.zeros(LENGTH, np.int64), np.zeros(1)
    operands = operands_of(words, doubles)
    row = echo.row(operands)
    expected = [operands["count"], int(np.float64(-0.1).view(np.int64)), 1001, words.ctypes.data]
    expected += [1002, doubles.ctypes.data, 1003, 2**33, 1004, 5, -6, 1005, -7, 8, 1006, 9, 1007]
    expected += [10, 1008, 1, 11, 1009, 12]
    assert row == expected
    assert echo.row(dict(reversed(operands.items()))) == expected
    assert words_of(echo, dtype, **operands) == expected


def test_numbers_of_numpy_and_what_has_the_fields_of_a_matrix():
    @instruction(x=MATRIX, number=DOUBLE, count=INTEGER, flag=INTEGER)
    def some(at, state, scratch):
        """Do nothing."""

    block = SimpleNamespace(pointer=np.int64(5), ld=np.int32(6), columns=7)
    row = some.row({"x": block, "number": np.float32(0.5), "count": np.int64(8), "flag": True})
    assert row == [5, 6, int(np.float64(0.5).view(np.int64)), 8, 1]
    assert some.row({"x": block, "number": 1, "count": 0, "flag": False})[2:] == [
        int(np.float64(1).view(np.int64)),
        0,
        0,
    ]


def test_a_name_that_is_missing_or_unknown():
    given = {"activation": 1, "columns": 3, "x": Matrix(1, 2), "y": Matrix(3, 4)}
    assert linear.activation.row(given) == [1, 3, 1, 2, 3, 4]
    for left in given:
        some = {name: value for name, value in given.items() if name != left}
        with pytest.raises(TypeError) as caught:
            linear.activation.row(some)
        assert str(caught.value) == (
            f"kernels.instructions.linear.activation: missing operands ['{left}'], unknown []"
        )
    with pytest.raises(TypeError) as caught:
        linear.activation.row({**given, "z": 5, "out": 6})
    assert "missing operands [], unknown ['z', 'out']" in str(caught.value)
    renamed = {**given, "g": given["x"]}
    del renamed["x"]
    with pytest.raises(TypeError, match=r"missing operands \['x'\], unknown \['g'\]"):
        linear.activation.row(renamed)


@pytest.mark.parametrize("value", [5, None, "text", (1, 2), SimpleNamespace(pointer=1)])
def test_what_is_no_matrix_is_refused(value):
    with pytest.raises(TypeError, match=r"samples\.collect: operand x is .+; expected Matrix"):
        samples.collect.row({"columns": 3, "x": value, "results": 4})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eps", None),
        ("eps", "text"),
        ("eps", Matrix(1, 2)),
        ("columns", None),
        ("columns", "7"),
        ("columns", 7.0),
        ("columns", Matrix(1, 2)),
        ("gain", np.float64(7)),
        ("x", Matrix(1, 2.0)),
        ("x", Matrix(None, 2)),
    ],
)
def test_what_is_no_number_is_refused(name, value):
    operands = dict.fromkeys(layers.layer_norm.declared, 1)
    operands |= {"x": Matrix(1, 2), "y": Matrix(3, 4)}
    assert len(layers.layer_norm.row(operands)) == layers.layer_norm.length
    with pytest.raises(TypeError, match=rf"layer_norm: operand {name} is .+; expected"):
        layers.layer_norm.row({**operands, name: value})


# ----------------------------------------------------------------------- compiled bodies


@pytest.mark.parametrize("dtype", FLOATS)
def test_operands_of_all_kinds_arrive_in_a_compiled_body(dtype):
    words, doubles = np.zeros(LENGTH, np.int64), np.zeros(1)
    operands = operands_of(words, doubles)
    carry_out(echo, dtype, 1, 1, **operands)
    expected = echo.row(operands)
    assert doubles[0] == operands["number"]
    words[1] = doubles.view(np.int64)[0]
    assert_array_equal(words, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("number", [0.0, -0.0, 5e-324, -1e308, np.inf, np.nan, 1 / 3])
def test_every_bit_of_a_number_arrives(dtype, number):
    words, doubles = np.zeros(LENGTH, np.int64), np.zeros(1)
    carry_out(echo, dtype, 1, 1, **{**operands_of(words, doubles), "number": number})
    assert doubles.tobytes() == np.array([number]).tobytes()


@instruction(x=MATRIX, factor=DOUBLE, counted=WORDS)
def double(at, state, scratch):
    """Multiply two numbers of a matrix, and count how often."""
    poke(at.x.pointer, at.x.ld, peek(at.x.pointer, 0) * at.factor)
    at.counted[0] += 1


@pytest.mark.parametrize("dtype", FLOATS)
def test_pointers_are_of_the_floating_type(dtype):
    x, counted = np.array([[1.5, 0.0], [0.0, 0.0]], dtype), np.zeros(1, np.int64)
    carry_out(double, dtype, 1, 3, x=x, factor=3.0, counted=counted)
    assert_array_equal(x, [[1.5, 0.0], [4.5, 0.0]])
    assert counted[0] == 3


def test_a_name_that_is_not_declared_does_not_compile():
    @instruction(x=MATRIX)
    def wrong(at, state, scratch):
        poke(at.x.pointer, 0, at.factor)

    with pytest.raises(NumbaError, match="factor"):
        wrong.address(REAL_TYPES[0])


# ------------------------------------------------------------------ written by other code


@pytest.mark.parametrize("dtype", FLOATS)
def test_compiled_code_writes_operands_as_a_row_has_them(dtype):
    kinds = INTEGER, DOUBLE, INTEGER

    @instruction(x=MATRIX, count=INTEGER, number=DOUBLE, how=UPDATE, last=INTEGER)
    def task(at, state, scratch):
        """Do nothing."""

    @entry(writes(1, types.int64), writes(1), writes(1, types.float64), *kinds)
    def write(words, x, settings, count, number, ld):
        how = Update(count, 1, 2, data(settings))
        write_operands(data(words), task, (Matrix(data(x), ld), count, number, how, count > 0))

    words, x, settings = np.full(task.length + 1, -7), np.zeros(1, dtype), np.zeros(1)
    write[np.dtype(dtype)](words, x, settings, -(2**40), -0.1, 2**33)
    expected = task.row(
        {
            "x": Matrix(x.ctypes.data, 2**33),
            "count": -(2**40),
            "number": -0.1,
            "how": Update(-(2**40), 1, 2, settings.ctypes.data),
            "last": 0,
        }
    )
    assert_array_equal(words, [*expected, -7])


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_wrong_number_of_operands_does_not_compile(more):
    rest = (1,) * more

    @entry(writes(1))
    def wrong(x):
        write_operands(pointer_to(0, types.int64), double, (Matrix(data(x), 1), *rest))

    told = rf"double takes \['x', 'factor', 'counted'\]; got {1 + more}"
    with pytest.raises(TypeError, match=told):
        wrong[np.dtype(np.float32)]


@pytest.mark.parametrize("wrong", ["swapped", "a number", "float64", "a pointer"])
def test_operands_of_other_kinds_do_not_compile(wrong):
    @entry(writes(1, types.int64), writes(1), writes(1, types.float64))
    def swapped(words, x, wide):
        write_operands(data(words), double, (2.0, Matrix(data(x), 1), data(words)))

    @entry(writes(1, types.int64), writes(1), writes(1, types.float64))
    def number(words, x, wide):
        write_operands(data(words), double, (Matrix(data(x), 1), 2, data(words)))

    @entry(writes(1, types.int64), writes(1), writes(1, types.float64))
    def other(words, x, wide):
        write_operands(data(words), double, (Panels(data(x), 1, 0), 2.0, data(words)))

    @entry(writes(1, types.int64), writes(1), writes(1, types.float64))
    def pointer(words, x, wide):
        write_operands(data(words), double, (Matrix(data(x), 1), 2.0, data(x)))

    kinds = {"swapped": swapped, "a number": number, "float64": other, "a pointer": pointer}
    with pytest.raises(TypeError, match=r"takes \['x', 'factor', 'counted'\] of other kinds"):
        kinds[wrong][np.dtype(np.float32)]


# ------------------------------------------------------------------------------- teams


@pytest.fixture
def pair():
    made = Team(2)
    yield made
    made.end()


def sharing(operands):
    """Return an entry that shares out a task of so many operands, the last of which is added."""
    rest = (*range(2, operands), 77)

    def adding(at, state, scratch):
        at.sums[state[THREAD]] += at.last

    def share(sums, x, to):
        share_out(to, task, (data(sums), *rest), data(x))

    for function in (adding, share):
        function.__qualname__ += f"_{operands}"  # machine code is kept by it
    between = {f"n{i}": INTEGER for i in range(2, operands)}
    task = instruction(sums=WORDS, **between, last=INTEGER)(adding)
    return entry(writes(1, types.int64), writes(1), INTEGER)(share)


LONGEST = team._ROOM - interpreter.OPERANDS


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operands", [2, LONGEST])
def test_a_task_is_carried_out_alone_or_by_each_thread_of_a_team(pair, operands, dtype):
    sums, x = np.zeros(2, np.int64), np.zeros(1, dtype)
    compiled = sharing(operands)[np.dtype(dtype)]
    for to in (ALONE, ASK):
        compiled(sums, x, to)
    assert_array_equal(sums, [2 * 77, 0])
    with together():
        pair.run(compiled, (sums, x), 1.0)
    assert_array_equal(sums, [3 * 77, 77])


def test_a_task_with_too_many_operands_for_a_team_does_not_compile():
    with pytest.raises(TypeError, match="adding_23 has too many operands for a team"):
        sharing(LONGEST + 1)[np.dtype(np.float32)]
