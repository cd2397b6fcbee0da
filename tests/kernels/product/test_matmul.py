from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, normal, whole
from numpy.testing import assert_array_equal

import kernels
from kernels import add_column_sums, matmul, matmul_gradient
from kernels.base import host
from kernels.product.choice import NARROW, PANEL_DEPTH

ACTIVATIONS = tuple(kernels.ACTIVATIONS)
FUNCTIONS = {
    "identity": lambda x: x,
    "relu": kernels.relu,
    "tanh": kernels.tanh,
    "sigmoid": kernels.sigmoid,
    "exp": kernels.exp,
}
LAYOUTS = (
    "C",
    "F",
    "wider rows",
    "wider columns",
    "every second column",
    "every third row",
    "both strided",
    "reversed rows",
    "reversed columns",
    "reversed both",
    "real part",
    "misaligned",
)
DEEP = PANEL_DEPTH + 10
# Around what operands are cut to on various hosts: the depth of a packed panel, the width of a
# block of them (64 to 512 columns), where operands begin to be packed, and rows of A that begin
# a multiple of 4096 bytes apart.
LARGE = (
    (1, 600, 599),
    (599, 600, 1),
    (2, 255, 300),
    (31, 256, 65),
    (97, 257, 100),
    (13, 513, 131),
    (505, 17, 33),
    (217, 300, 290),
    (600, 1, 513),
    (530, 258, 277),
    (15, 320, 512),
    (29, 321, 514),
    (6, 641, 1030),
    (15, PANEL_DEPTH, 512),
    (29, PANEL_DEPTH + 1, 514),
    (6, 2 * PANEL_DEPTH + 1, 1030),
    (20, 1024, 70),
    (15, 2048, 530),
    (200, 31, 1100),
)


def room(shape, dtype, layout):
    """An array of NaN in this layout, and all the bytes of the memory it is a part of."""
    dtype = np.dtype(dtype)
    rows, columns = shape
    parents = {
        "wider rows": (rows + 3, columns + 5),
        "wider columns": (rows + 3, columns + 5),
        "every second column": (rows, 2 * columns + 1),
        "every third row": (3 * rows + 2, columns),
        "both strided": (2 * rows + 1, 3 * columns + 2),
        "real part": (rows, 2 * columns),
    }
    parent_shape = parents.get(layout, shape)
    offset = 1 if layout == "misaligned" else 0
    size = int(np.prod(parent_shape)) * dtype.itemsize
    memory = np.full(size + offset, 0xFF, np.uint8)
    parent = memory[offset:].view(dtype)
    order = "F" if layout in ("F", "wider columns") else "C"
    parent = parent.reshape(parent_shape, order=order)
    view = {
        "wider rows": lambda: parent[1 : rows + 1, 2 : columns + 2],
        "wider columns": lambda: parent[1 : rows + 1, 2 : columns + 2],
        "every second column": lambda: parent[:, 1::2],
        "every third row": lambda: parent[1 : 3 * rows + 1 : 3],
        "both strided": lambda: parent[1::2, 1 : 3 * columns + 1 : 3],
        "reversed rows": lambda: parent[::-1],
        "reversed columns": lambda: parent[:, ::-1],
        "reversed both": lambda: parent[::-1, ::-1],
        "real part": lambda: parent[:, ::2],
    }.get(layout, lambda: parent)()
    assert view.shape == tuple(shape)
    return view, memory


def laid_out(values, layout, dtype=None):
    view, _ = room(values.shape, dtype or values.dtype, layout)
    view[...] = values
    return view


def exact(a, b):
    return a.astype(np.int64) @ b.astype(np.int64)


def assert_close_product(actual, a, b, start=0.0):
    """Within the bound of a sum in sequence, of which every term may lose half an ulp twice.

    The factor of two left covers the reference's own error where it is no wider than
    the product.
    """
    wide = [np.asarray(x, np.float64) for x in (a, b, start)]
    expected = wide[0] @ wide[1] + wide[2]
    magnitude = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(wide[2])
    bound = (wide[0].shape[1] + 1) * np.finfo(actual.dtype).eps * magnitude
    assert actual.shape == expected.shape
    assert np.all(np.abs(actual - expected) <= bound)


def bits(x):
    return np.ascontiguousarray(x).view(np.uint32 if x.dtype == np.float32 else np.uint64)


# ------------------------------------------------------------------------- right products


sizes = st.one_of(st.integers(0, 70), st.sampled_from((1, 7, 8, 14, 15, 16, 28, 32, 33, 64, 65)))
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=400)
@given(
    shape=st.tuples(sizes, sizes, sizes),
    dtype=st.sampled_from(FLOATS),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    own_out=st.booleans(),
    extra=st.sampled_from(("nothing", "bias", "relu", "bias and relu", "accumulate")),
    read_only=st.booleans(),
    seed=seeds,
)
def test_matmul_is_exact_on_whole_numbers_in_any_layout(
    shape, dtype, layouts, own_out, extra, read_only, seed
):
    rows, depth, columns = shape
    a, b = whole((rows, depth), dtype, seed), whole((depth, columns), dtype, seed + 1)
    bias = whole((1, columns), dtype, seed + 2)[0]
    expected = exact(a, b)
    left, right = laid_out(a, layouts[0]), laid_out(b, layouts[1])
    if read_only:
        left.flags.writeable = right.flags.writeable = False
    options = {}
    if "bias" in extra:
        options["bias"], expected = bias, expected + bias.astype(np.int64)
    if "relu" in extra:
        options["activation"], expected = "relu", np.maximum(expected, 0)
    out, memory = room((rows, columns), dtype, layouts[2])
    if extra == "accumulate":
        start = whole((rows, columns), dtype, seed + 3)
        out[...] = start
        options["accumulate"], expected, own_out = True, expected + start.astype(np.int64), True
    before, untouched = out.copy(), memory.copy()

    result = matmul(left, right, out if own_out else None, **options)

    assert result.dtype == dtype
    assert_array_equal(result, expected)
    assert_array_equal(left, a)
    assert_array_equal(right, b)
    if own_out:
        assert result is out
    else:
        assert_array_equal(memory, untouched)
    out[...] = before
    assert_array_equal(memory, untouched, err_msg="bytes around out were written")


@settings(deadline=None, max_examples=100)
@given(
    shape=st.tuples(sizes, sizes, sizes),
    dtype=st.sampled_from(FLOATS),
    transposed=st.tuples(st.booleans(), st.booleans()),
    with_bias=st.booleans(),
    scales=st.tuples(st.integers(-10, 10), st.integers(-10, 10)),
    seed=seeds,
)
def test_matmul_rounds_no_more_than_a_sum_in_sequence(
    shape, dtype, transposed, with_bias, scales, seed
):
    rows, depth, columns = shape
    a = normal((rows, depth), dtype, seed) * dtype(2.0) ** scales[0]
    b = normal((depth, columns), dtype, seed + 1) * dtype(2.0) ** scales[1]
    bias = normal(columns, dtype, seed + 2) if with_bias else None
    left = np.asfortranarray(a) if transposed[0] else a
    right = np.asfortranarray(b) if transposed[1] else b
    actual = matmul(left, right, bias=bias)
    assert_close_product(actual, a, b, 0.0 if bias is None else bias)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", LARGE, ids=lambda shape: "x".join(map(str, shape)))
def test_matmul_of_large_operands_in_all_transpositions(shape, dtype):
    rows, depth, columns = shape
    a, b = whole((rows, depth), dtype), whole((depth, columns), dtype, 1)
    expected = exact(a, b)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert_array_equal(matmul(left, right), expected)
            out = np.full((columns, rows), np.nan, dtype).T
            assert_array_equal(matmul(left, right, out), expected)
    a, b = normal((rows, depth), dtype), normal((depth, columns), dtype, 1)
    assert_close_product(matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_matmul_continues_and_ends_its_sums_across_blocks_of_depth(dtype):
    """Bias enters once, and the activation acts once, on the whole sum."""
    most = PANEL_DEPTH
    around = most - 1, most, most + 1, 2 * most, 2 * most + 1, 3 * most + 2
    for depth in (255, 256, 257, 319, 320, 321, 512, 600, 640, 641, 962, *around):
        a, b = whole((17, depth), dtype), whole((depth, 35), dtype, 1)
        bias = whole(35, dtype, 2)
        expected = exact(a, b)
        with_bias = expected + bias.astype(np.int64)
        assert_array_equal(matmul(a, b, bias=bias), with_bias)
        assert_array_equal(matmul(a, b, bias=bias, activation="relu"), np.maximum(with_bias, 0))
        start = whole(expected.shape, dtype, 3)
        assert_array_equal(matmul(a, b, start.copy(), accumulate=True), expected + start)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_bias", [False, True], ids=["no bias", "bias"])
def test_activation_acts_on_every_element_of_the_product(activation, with_bias, dtype):
    for shape in ((0, 3, 4), (1, 1, 1), (5, 0, 7), (20, 9, 10), (33, 40, 67), (300, 20, 290)):
        rows, depth, columns = shape
        a, b = normal((rows, depth), dtype) / 4, normal((depth, columns), dtype, 1) / 4
        bias = normal(columns, dtype, 2) if with_bias else None
        expected = FUNCTIONS[activation](matmul(a, b, bias=bias))
        assert_array_equal(matmul(a, b, bias=bias, activation=activation), expected)
        for layout in ("F", "wider rows", "every second column"):
            out, memory = room((rows, columns), dtype, layout)
            untouched = memory.copy()
            matmul(a, b, out, bias=bias, activation=activation)
            assert_array_equal(out, expected)
            out[...] = np.frombuffer(b"\xff" * out.itemsize, dtype)[0]
            assert_array_equal(memory, untouched)


@pytest.mark.parametrize("dtype", FLOATS)
def test_zero_strides(dtype):
    row, column = whole((1, 40), dtype), whole((40, 1), dtype, 1)
    rows, columns = np.broadcast_to(row, (23, 40)), np.broadcast_to(column, (40, 37))
    one = np.broadcast_to(dtype(3), (40, 40))
    assert_array_equal(matmul(rows, columns), exact(rows, columns))
    assert_array_equal(matmul(columns.T, rows.T), exact(columns.T, rows.T))
    assert_array_equal(matmul(one, one), np.full((40, 40), 360))
    bias = np.broadcast_to(dtype(2), (37,))
    assert_array_equal(matmul(rows, columns, bias=bias), exact(rows, columns) + 2)


@pytest.mark.parametrize("dtype", FLOATS)
def test_operands_made_of_vectors(dtype):
    x, y = whole(40, dtype), whole(37, dtype, 1)
    assert_array_equal(matmul(x[:, None], y[None]), np.outer(x, y))
    assert_array_equal(matmul(x[None], x[:, None]), [[x @ x]])
    out = np.empty(40, dtype)
    matmul(np.outer(x, y), y[:, None], out[:, None])
    assert_array_equal(out, x * (y @ y))
    matmul(y[None], np.outer(y, x), out[None])
    assert_array_equal(out, x * (y @ y))
    matmul(y[None], np.outer(y, x), out[None, ::-1])
    assert_array_equal(out[::-1], x * (y @ y))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("step", [2, -1, -3])
def test_bias_of_any_stride(step, dtype):
    a, b = whole((9, 4), dtype), whole((4, 35), dtype, 1)
    bias = whole(35 * abs(step), dtype, 2)[::step]
    assert_array_equal(matmul(a, b, bias=bias), exact(a, b) + bias)


def test_one_dimensional_operands_are_as_in_numpy():
    a, b = whole((6, 7), np.float32), whole((7, 5), np.float32, 1)
    x, y = whole(7, np.float32, 2), whole(7, np.float32, 3)
    for left, right in ((a, x), (x, b), (x, y), (a[:, ::2], x[::2]), (x[::-1], b)):
        actual = matmul(left, right)
        expected = np.matmul(left, right)
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        assert_array_equal(actual, expected)
    out = np.full(5, np.nan, np.float32)
    assert matmul(x, b, out) is out
    assert_array_equal(out, x @ b)
    assert_array_equal(matmul(x, b, bias=whole(5, np.float32, 4)), x @ b + whole(5, np.float32, 4))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float16, np.float16, np.float32),
        (np.float16, np.float64, np.float64),
        (np.int8, np.uint8, np.float64),
        (np.int64, np.float64, np.float64),
        (bool, np.int32, np.float64),
        (">f4", np.float32, np.float32),
        (">f8", ">f8", np.float64),
    ],
)
def test_other_dtypes_are_converted(left, right, expected):
    a, b = abs(whole((9, 12), left)), abs(whole((12, 10), right, 1))
    product = matmul(a, b)
    assert product.dtype == expected
    assert_array_equal(product, exact(a, b))
    out = np.empty((9, 10), expected)
    assert matmul(a, b, out, bias=np.arange(10)) is out
    assert_array_equal(out, exact(a, b) + np.arange(10))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("read_only", [False, True])
def test_bytes_in_another_order_are_never_taken_as_they_lie(read_only, dtype):
    """numba takes read-only arrays for native ones, whatever the order of their bytes."""
    a, b, bias = whole((9, 12), dtype), whole((12, 10), dtype, 1), whole(10, dtype, 2)
    start = whole((9, 10), dtype, 3)
    held = [x.copy() for x in (a, b, bias, start)]
    for x in held:
        x.flags.writeable = False
    matmul(*held[:2], bias=held[2])  # the types of read-only native arrays are now known
    for swapped in range(3):
        operands = [a, b, bias]
        operands[swapped] = operands[swapped].astype(np.dtype(dtype).newbyteorder())
        operands[swapped].flags.writeable = not read_only
        x, y, offset = operands
        assert_array_equal(matmul(x, y), exact(a, b))
        assert_array_equal(matmul(x, y, bias=offset), exact(a, b) + bias)
        out = start.copy()
        matmul(x, y, out, accumulate=True)
        assert_array_equal(out, exact(a, b) + start)
    sums = np.zeros(12, dtype)
    add_column_sums(a.astype(np.dtype(dtype).newbyteorder()), sums)
    assert_array_equal(sums, a.sum(0))
    with pytest.raises(ValueError, match="out has shape"):
        matmul(a, b, np.zeros((9, 10), np.dtype(dtype).newbyteorder()))


def test_nested_lists_are_operands():
    assert_array_equal(matmul([[1, 2], [3, 4]], [[1.0], [10.0]]), [[21], [43]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_products_without_depth(dtype):
    a, b = np.empty((5, 0), dtype), np.empty((0, 35), dtype)
    bias = normal(35, dtype)
    nothing = np.zeros((5, 35))
    assert_array_equal(matmul(a, b), nothing)
    assert_array_equal(matmul(a, b, np.full((5, 35), np.nan, dtype)), nothing)
    assert_array_equal(matmul(a, b, bias=bias), nothing + bias)
    assert_array_equal(matmul(a, b, bias=bias, activation="relu"), nothing + np.maximum(bias, 0))
    assert_array_equal(matmul(a, b, activation="exp"), nothing + 1)
    start = normal((5, 35), dtype, 1)
    assert_array_equal(matmul(a, b, start.copy(), accumulate=True), start)
    assert matmul(np.empty(0, dtype), np.empty(0, dtype)) == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_empty_products(dtype):
    for rows, depth, columns in ((0, 3, 4), (3, 4, 0), (0, 0, 0), (0, 0, 5), (2, 0, 0)):
        a, b = np.ones((rows, depth), dtype), np.ones((depth, columns), dtype)
        for activation in ACTIVATIONS:
            product = matmul(a, b, bias=np.ones(columns, dtype), activation=activation)
            assert product.shape == (rows, columns)
            assert product.dtype == dtype


# ------------------------------------------------------------------ the same bits everywhere


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(19, 70, 45), (57, DEEP, 75), (131, 513, 270), (31, 1024, 270), (17, 40, 1100)],
    ids=str,
)
def test_bits_do_not_depend_on_layout(shape, dtype):
    rows, depth, columns = shape
    a, b = normal((rows, depth), dtype), normal((depth, columns), dtype, 1)
    expected = bits(matmul(a, b))
    for left in LAYOUTS:
        for right in ("C", "F", "wider columns", "every second column", "reversed columns"):
            product = matmul(laid_out(a, left), laid_out(b, right))
            assert_array_equal(bits(product), expected)
    for layout in LAYOUTS:
        out, _ = room((rows, columns), dtype, layout)
        assert_array_equal(bits(matmul(a, b, out)), expected)
    assert_array_equal(bits(matmul(b.T, a.T)), expected.T)


@pytest.mark.parametrize("dtype", FLOATS)
def test_bits_do_not_depend_on_the_place_in_a_larger_product(dtype):
    a, b = normal((131, DEEP), dtype), normal((DEEP, 570), dtype, 1)
    bias = normal(570, dtype, 2)
    product = matmul(a, b, bias=bias, activation="tanh")
    random = np.random.default_rng(0)
    for _ in range(40):
        i, j = random.integers(0, 131), random.integers(0, 570)
        height, span = random.integers(1, 132 - i), random.integers(1, 571 - j)
        rows, columns = slice(i, i + height), slice(j, j + span)
        if span > NARROW:
            part = matmul(a[rows], b[:, columns], bias=bias[columns], activation="tanh")
        else:  # added to something, one or two columns are summed in order, too
            start = np.tile(bias[columns], (height, 1))
            part = kernels.tanh(matmul(a[rows], b[:, columns], start, accumulate=True))
        assert_array_equal(bits(part), bits(product[rows, columns]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", range(1, NARROW + 1))
@pytest.mark.parametrize("depth", [1, 16, 100, 2047, 2048, 2049])
def test_bits_of_narrow_products_depend_on_no_other_row(depth, columns, dtype):
    """They are summed lane by lane where they lie in rows, and in order where not."""
    a, b = normal((37, depth), dtype), normal((depth, columns), dtype, 1)
    product = matmul(a, b)
    assert_close_product(product, a, b)
    for i, j in ((0, 1), (3, 4), (5, 16), (16, 32), (20, 37)):
        assert_array_equal(bits(matmul(a[i:j], b)), bits(product[i:j]))
    for layout in LAYOUTS:
        assert_close_product(matmul(laid_out(a, layout), laid_out(b, layout)), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_bits_do_not_depend_on_how_depth_is_cut(dtype):
    """A sum continued with `accumulate` is the sum in one go: one chain of additions."""
    a, b = normal((33, DEEP), dtype), normal((DEEP, 70), dtype, 1)
    expected = bits(matmul(a, b))
    for cut in (1, 7, 255, 256, 300, 320, 513, 599, PANEL_DEPTH, DEEP - 1):
        out = matmul(a[:, :cut], b[:cut])
        matmul(a[:, cut:], b[cut:], out, accumulate=True)
        assert_array_equal(bits(out), expected)


def test_products_at_the_same_time_do_not_disturb_each_other():
    operands = [(normal((60, 80), np.float32, n), normal((80, 300), np.float32, n)) for n in (0, 1)]
    expected = [matmul(a, b) for a, b in operands]

    def repeat(n):
        a, b = operands[n % 2]
        left, right = (a, b) if n < 2 else (np.asfortranarray(a), np.asfortranarray(b))
        return all(np.array_equal(matmul(left, right), expected[n % 2]) for _ in range(200))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(repeat, range(4)))


# ----------------------------------------------------------------------------- overlap


def overlapping_operands(dtype):
    """Name, a, b, out: with out in the memory of an operand."""
    n = 40
    whole_square, other = whole((n, n), dtype), whole((n, n), dtype, 1)
    strip = whole((n + 3, n + 3), dtype, 2)

    def square():
        return whole_square.copy()

    for name, make in {
        "out is a": lambda a: (a, other, a),
        "out is b": lambda b: (other, b, b),
        "out is a and b": lambda x: (x, x, x),
        "out is the transpose of a": lambda a: (a, other, a.T),
        "out is b upside down": lambda b: (other, b, b[::-1]),
        "out is one column of a": lambda a: (a, other[:, :1], a[:, 3:4]),
        "out is one row of b": lambda b: (other[:1], b, b[5:6]),
    }.items():
        yield name, make(square())
    for shift in (1, 3):
        moved = strip.copy()
        yield f"out is {shift} right of a", (moved[:n, :n], other, moved[:n, shift : n + shift])
        moved = strip.copy()
        yield f"out is {shift} below b", (other, moved[:n, :n], moved[shift : n + shift, :n])
        moved = strip.copy()
        yield f"out is {shift} above a", (moved[shift : n + shift, :n], other, moved[:n, :n])


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_may_overlap_the_operands(dtype):
    for name, (a, b, out) in overlapping_operands(dtype):
        expected = exact(a, b)
        result = matmul(a, b, out)
        assert result is out
        assert_array_equal(out, expected, err_msg=name)
    for name, (a, b, out) in overlapping_operands(dtype):
        expected = exact(a, b) + out.astype(np.int64)
        matmul(a, b, out, accumulate=True)
        assert_array_equal(out, expected, err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_out_may_overlap_the_bias(dtype):
    a, b = whole((40, 8), dtype), whole((8, 20), dtype, 1)
    bias = whole(20, dtype, 2)
    for row in (0, 17, 39):
        out = np.empty((40, 20), dtype)
        out[row] = bias
        matmul(a, b, out, bias=out[row])
        assert_array_equal(out, exact(a, b) + bias, err_msg=f"row {row}")


# ------------------------------------------------------------------- what is not finite


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_spoils_its_row_or_column_and_no_other(dtype):
    for rows, depth, columns in ((3, 4, 5), (29, 33, 67), (60, 300, 290)):
        a, b = whole((rows, depth), dtype), whole((depth, columns), dtype, 1)
        expected = exact(a, b).astype(dtype)
        i, k, j = rows // 2, depth - 1, columns - 1
        spoiled = a.copy()
        spoiled[i, k] = np.nan
        row = expected.copy()
        row[i] = np.nan
        for activation, keep in (("identity", row), ("relu", np.where(row < 0, 0, row))):
            assert_array_equal(matmul(spoiled, b, activation=activation), keep)
        spoiled = b.copy()
        spoiled[k, j] = np.nan
        column = expected.copy()
        column[:, j] = np.nan
        assert_array_equal(matmul(a, spoiled), column)
        assert_array_equal(matmul(a, np.asfortranarray(spoiled)), column)


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinities_are_as_in_numpy(dtype):
    a = np.array([[np.inf, 1], [0, 1], [-np.inf, 1], [1, 1]], dtype)
    b = np.array([[1, -1, 0, np.inf], [1, 1, 1, -np.inf]], dtype)
    inf, nan = np.inf, np.nan
    expected = [[inf, -inf, nan, nan], [1, 1, 1, nan], [-inf, inf, nan, -inf], [2, 0, 1, nan]]
    assert_array_equal(matmul(a, b), np.array(expected, dtype))
    assert_array_equal(
        matmul(a, b, activation="relu"),
        np.array([[inf, 0, nan, nan], [1, 1, 1, nan], [0, inf, nan, 0], [2, 0, 1, nan]]),
    )
    largest = np.full((1, 2), np.finfo(dtype).max)
    assert_array_equal(matmul(largest, np.ones((2, 1), dtype)), [[inf]])
    assert_array_equal(matmul(largest, -np.ones((2, 1), dtype)), [[-inf]])


def test_what_out_held_before_does_not_matter():
    a, b = whole((20, 30), np.float32), whole((30, 40), np.float32, 1)
    for left_over in (np.nan, np.inf):
        out = np.full((20, 40), left_over, np.float32)
        assert_array_equal(matmul(a, b, out), exact(a, b))
        out = np.full((20, 40), left_over, np.float32)
        assert_array_equal(matmul(a, b, out, accumulate=True), np.full((20, 40), left_over))


# ------------------------------------------------------------------------- bad arguments


A, B, OUT = np.ones((4, 3), np.float32), np.ones((3, 5), np.float32), np.ones((4, 5), np.float32)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "told"),
    [
        ((A, A), {}, ValueError, ["a has shape (4, 3)", "b (4, 3)"]),
        ((A, B[0]), {}, ValueError, ["a has shape (4, 3)", "b (5,)"]),
        ((A[None], B), {}, ValueError, ["a has shape (1, 4, 3)", "b (3, 5)"]),
        ((A, B[None]), {}, ValueError, ["a has shape (4, 3)", "b (1, 3, 5)"]),
        ((1.0, B), {}, ValueError, ["a has shape ()", "b (3, 5)"]),
        ((A, 1.0), {}, ValueError, ["a has shape (4, 3)", "b ()"]),
        ((A.astype(complex), B), {}, TypeError, ["a has dtype complex128", "float32, float64"]),
        ((A, B.astype(np.longdouble)), {}, TypeError, ["b has dtype", "float32, float64"]),
        ((A, B.astype(str)), {}, TypeError, ["b has dtype", "float32, float64"]),
        ((None, B), {}, TypeError, ["a has dtype object"]),
        ((A, B, OUT.T), {}, ValueError, ["out has shape (5, 4)", "expected (4, 5)"]),
        ((A, B, OUT[0]), {}, ValueError, ["out has shape (5,)", "expected (4, 5)"]),
        ((A, B, OUT.astype(float)), {}, ValueError, ["out has", "dtype float64", "and float32"]),
        ((A, B.astype(float), OUT), {}, ValueError, ["out has", "dtype float32", "and float64"]),
        ((A, B, OUT.astype(int)), {}, ValueError, ["out has", "int64", "float32"]),
        ((A, B, OUT.tolist()), {}, TypeError, ["out is of type list"]),
        ((A, B, np.broadcast_to(OUT[0], (4, 5))), {}, ValueError, ["out is read-only"]),
        ((A, B), {"bias": OUT}, ValueError, ["bias has shape (4, 5)", "expected (5,)"]),
        ((A, B), {"bias": A[0]}, ValueError, ["bias has shape (3,)", "expected (5,)"]),
        ((A, B), {"bias": A[0, :0]}, ValueError, ["bias has shape (0,)", "expected (5,)"]),
        ((A, B[:, :0]), {"bias": A[0]}, ValueError, ["bias has shape (3,)", "expected (0,)"]),
        ((A[:0], B), {"bias": A[0]}, ValueError, ["bias has shape (3,)", "expected (5,)"]),
        ((A, B), {"bias": 1.0}, ValueError, ["bias has shape", "expected (5,)"]),
        ((A, B), {"bias": "none"}, TypeError, ["bias has dtype"]),
        ((A, B), {"activation": "swish"}, ValueError, ["'swish'", "identity", "relu", "exp"]),
        ((A, B), {"activation": None}, ValueError, ["None", "identity"]),
        ((A, B), {"accumulate": True}, ValueError, ["accumulate", "out"]),
        (
            (A, B, OUT),
            {"accumulate": True, "bias": OUT[0]},
            ValueError,
            ["accumulate", "bias"],
        ),
        (
            (A, B, OUT),
            {"accumulate": True, "activation": "relu"},
            ValueError,
            ["accumulate", "activation"],
        ),
    ],
)
def test_bad_arguments_are_explained(arguments, options, error, told):
    held = OUT.copy()
    with pytest.raises(error) as caught:
        matmul(*arguments, **options)
    for part in told:
        assert part in str(caught.value)
    assert_array_equal(OUT, held)


# -------------------------------------------------------------------------- guard pages


EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_operands_is_touched(guarded, before, dtype):
    random = np.random.default_rng(0)
    for columns in (*EDGES, 65, 8 * host.TILE_VECTORS * 16 + 1):
        for _ in range(4):
            rows, depth = random.choice((*EDGES, 50), 2)
            check_between_guard_pages(guarded, before, dtype, rows, depth, columns)
    for shape in (
        (15, 257, 33),
        (3, 513, 9),
        (40, 260, 290),
        (15, DEEP, 530),
        (15, 1024, 70),
        (50, DEEP, 40),
    ):
        check_between_guard_pages(guarded, before, dtype, *shape)


def check_between_guard_pages(guarded, before, dtype, rows, depth, columns):
    def held(values):
        array = guarded(values.shape, values.dtype, before)
        array[...] = values
        return array

    a, b = whole((rows, depth), dtype), whole((depth, columns), dtype, 1)
    bias, expected = held(whole(columns, dtype, 2)), exact(a, b)
    lefts = held(a), held(np.ascontiguousarray(a.T)).T, held(np.repeat(a, 2, 1)[:, :-1])[:, ::2]
    rights = held(b), held(np.ascontiguousarray(b.T)).T, held(np.repeat(b, 2, 1)[:, :-1])[:, ::2]
    outs = held(np.empty((rows, columns), dtype)), held(np.empty((columns, rows), dtype)).T
    for left in lefts:
        for right in rights:
            for out in outs:
                out[...] = np.nan
                assert_array_equal(matmul(left, right, out), expected)
                matmul(left, right, out, accumulate=True)
                assert_array_equal(out, 2 * expected)
            matmul(left, right, outs[0], bias=bias, activation="relu")
            assert_array_equal(outs[0], np.maximum(expected + bias, 0))


# ----------------------------------------------------------------- gradients and column sums


GRADIENTS = {
    "identity": lambda y, g: g,
    "relu": kernels.relu_gradient,
    "tanh": kernels.tanh_gradient,
    "sigmoid": kernels.sigmoid_gradient,
    "exp": kernels.exp_gradient,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_matmul_gradient_is_the_product_times_the_gradient(activation, dtype):
    for rows, depth, columns in ((0, 2, 3), (1, 1, 1), (7, 0, 9), (20, 10, 33), (64, 300, 70)):
        a, b = normal((rows, depth), dtype), normal((depth, columns), dtype, 1)
        y = FUNCTIONS[activation](normal((rows, columns), dtype, 2))
        expected = GRADIENTS[activation](y, matmul(a, b))
        for output in (y, np.asfortranarray(y), laid_out(y, "every second column")):
            for left, right in ((a, b), (np.asfortranarray(a), np.asfortranarray(b))):
                assert_array_equal(matmul_gradient(left, right, output, activation), expected)
        for layout in ("C", "F", "wider rows", "reversed both"):
            out, memory = room((rows, columns), dtype, layout)
            untouched = memory.copy()
            assert matmul_gradient(a, b, y, activation, out) is out
            assert_array_equal(out, expected)
            out[...] = np.frombuffer(b"\xff" * out.itemsize, dtype)[0]
            assert_array_equal(memory, untouched)


def test_matmul_gradient_of_vectors_and_integers():
    a, b, y = np.arange(3), np.arange(6.0).reshape(3, 2), np.array([0.5, -0.5])
    assert_array_equal(matmul_gradient(a, b, y, "tanh"), matmul(a, b) * 0.75)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_matmul_gradient_may_overwrite_what_it_reads(activation):
    a, b = normal((30, 30), np.float32), normal((30, 30), np.float32, 1)
    y = FUNCTIONS[activation](normal((30, 30), np.float32, 2))
    expected = matmul_gradient(a, b, y, activation)
    for name in ("a", "b", "output"):
        mine = {"a": a.copy(), "b": b.copy(), "output": y.copy()}
        result = matmul_gradient(*mine.values(), activation, mine[name])
        assert result is mine[name]
        assert_array_equal(result, expected, err_msg=f"out is {name}")


def test_matmul_gradient_explains_bad_arguments():
    with pytest.raises(ValueError, match="'swish'"):
        matmul_gradient(A, B, OUT, "swish")
    with pytest.raises(ValueError, match=r"output has shape \(5, 4\); expected \(4, 5\)"):
        matmul_gradient(A, B, OUT.T, "relu")
    with pytest.raises(ValueError, match=r"a has shape \(4, 3\) and b \(4, 3\)"):
        matmul_gradient(A, A, OUT, "relu")
    with pytest.raises(TypeError, match="output has dtype complex128"):
        matmul_gradient(A, B, OUT.astype(complex), "relu")
    with pytest.raises(ValueError, match=r"out has shape \(3, 5\)"):
        matmul_gradient(A, B, OUT, "relu", B.copy())
    with pytest.raises((TypeError, ValueError), match=r"output has .*float64"):
        matmul_gradient(A, B, OUT.astype(np.float64), "relu")


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=40)
@given(rows=st.integers(0, 60), columns=st.integers(0, 40), layout=st.sampled_from(LAYOUTS[:-1]))
def test_column_sums(rows, columns, layout, dtype):
    x, out = normal((rows, columns), dtype), normal(columns, dtype, 1)
    expected = np.asarray(out, np.float64) + np.asarray(x, np.float64).sum(axis=0)
    bound = np.finfo(dtype).eps * (rows / 4 + 4) * (np.abs(x).sum(axis=0) + np.abs(out))
    contiguous = out.copy()
    add_column_sums(x, contiguous)
    add_column_sums(laid_out(x, layout), out)
    assert np.all(np.abs(out - expected) <= bound)
    assert_array_equal(bits(out), bits(contiguous))


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (A, np.zeros(2, np.float32)),
        (A, np.zeros(4, np.float32)),
        (A, np.zeros((1, 3), np.float32)),
        (A[0], np.zeros(3, np.float32)),
        (A, np.zeros(3, np.float64)),
        (A, np.zeros(3, int)),
        (A, [0.0, 0.0, 0.0]),
        (A.astype(complex), np.zeros(3, np.float32)),
        (A, np.broadcast_to(np.float32(0), (3,))),
    ],
)
def test_column_sums_explain_bad_arguments(x, out):
    held = np.array(out)
    with pytest.raises((TypeError, ValueError), match=r"^(x|out) (has|is) "):
        add_column_sums(x, out)
    assert_array_equal(out, held)
