"""Arrays of every kind, for all functions that take arrays: the same result, or a clear error."""

import sys
import threading

import numpy as np
import pytest
from kit import normal, settings_of

import kernels

ROWS, COLUMNS = 7, 5


class Kin(np.ndarray):
    """A kind of array of somebody's own."""


def spread(x):
    """The same numbers, with others between them."""
    room = np.full([2 * size for size in x.shape], 77).astype(x.dtype)
    room[tuple(slice(None, None, 2) for _ in x.shape)] = x
    return room[tuple(slice(None, None, 2) for _ in x.shape)]


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def a_field(x):
    """A field of records whose size is no multiple of the numbers'."""
    records = np.zeros(x.shape, [("pad", "u1"), ("x", x.dtype), ("more", "u2")])
    records["x"] = x
    return records["x"]


def backwards(x):
    turned = tuple(slice(None, None, -1) for _ in x.shape)
    return x[turned].copy()[turned]


def fixed(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def mapped(x):
    """Read-only memory of the system's."""
    return np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape)


def kin(x):
    return x.copy().view(Kin)


SAME = {
    "Fortran": np.asfortranarray, "spread": spread, "misaligned": misaligned, "a field": a_field,
    "backwards": backwards, "fixed": fixed, "mapped": mapped, "kin": kin,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "swapped and spread": lambda x: spread(x.astype(x.dtype.newbyteorder())),
    "a matrix": lambda x: np.asmatrix(x) if x.ndim == 2 else x,
    "masked nowhere": lambda x: np.ma.array(x),
    "a list": lambda x: x.tolist() if x.dtype == np.float64 or x.dtype.kind in "iu" else x,
    "an object with an array": lambda x: type("Holder", (), {
        "__array__": lambda self, dtype=None, copy=None: np.array(x, dtype)
    })(),
}  # fmt: skip
"""The same numbers in other arrays."""

OTHER = {
    "empty": lambda x: x[:0],
    "without columns": lambda x: x[..., :0],
    "one more row": lambda x: np.concatenate([x, x[:1]]),
    "one more column": lambda x: np.concatenate([x, x[..., :1]], axis=-1),
    "one row": lambda x: x[:1],
    "one column": lambda x: x[..., :1],
    "a number": lambda x: x[(0,) * x.ndim],
    "more axes": lambda x: x[None],
    "fewer axes": lambda x: x.ravel(),
    "transposed": lambda x: x.T,
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "other floats": lambda x: x.astype(np.float32 if x.dtype == np.float64 else np.float64),
    "half": lambda x: x.astype(np.float16),
    "long": lambda x: x.astype(np.longdouble),
    "complex": lambda x: x.astype(complex),
    "objects": lambda x: x.astype(object),
    "texts": lambda x: x.astype(str),
    "dates": lambda x: x.astype(np.int64).astype("M8[s]"),
    "bytes": lambda x: x.astype(np.int64).astype(np.uint8),
    "negative": lambda x: -x.astype(np.float64 if x.dtype.kind == "f" else np.int64) - 1,
    "large": lambda x: x * 1e30 if x.dtype.kind == "f" else x.astype(np.int64) + 10**15,
    "nothing": lambda x: None,
    "a text": lambda x: "abc",
}  # fmt: skip
"""Arrays that do not fit everywhere."""


def rows_of(dtype, seed=0):
    return normal((ROWS, COLUMNS), dtype, seed)


def labels(dtype):
    return np.arange(ROWS) % COLUMNS


def rates(dtype):
    return np.abs(rows_of(dtype, 3)) % 1


def vector(dtype):
    return np.abs(normal(ROWS, dtype, 4))


def wide(dtype):
    return normal((COLUMNS, 9), dtype, 5)


def of_bytes(dtype):
    return np.abs(rows_of(dtype, 1) * 50).astype(np.uint8)


def mask(dtype):
    return kernels.dropout(rows_of(dtype), 0.5, seed=1)[1]


def multiplied_then(a, b, bias):
    return kernels.matmul(a, b, bias=bias, activation="tanh")


def learned(function):
    def call(*given):
        result = function(*given)
        return result.loss, result.gradient, result.correct

    return call


def smooth(x, labels, weights, classes):
    return kernels.softmax_cross_entropy(x, labels, weights, classes, 0.1)


CALLS = {
    **{name: (getattr(kernels, name), [rows_of]) for name in (
        "relu", "tanh", "sigmoid", "exp", "leaky_relu", "elu", "gelu", "silu", "softplus",
        "softmax", "log_softmax",
    )},
    **{name: (getattr(kernels, name), [rates, rows_of]) for name in (
        "relu_gradient", "tanh_gradient", "sigmoid_gradient", "exp_gradient", "softmax_gradient",
        "log_softmax_gradient",
    )},
    **{name: (learned(getattr(kernels, name)), [rows_of, rates, vector]) for name in (
        "mean_squared_error", "mean_absolute_error", "huber", "poisson", "binary_cross_entropy",
    )},
    "relu of a vector": (kernels.relu, [lambda dtype: normal(9, dtype)]),
    "tanh_gradient of vectors": (kernels.tanh_gradient, [vector, vector]),
    "matmul": (kernels.matmul, [rows_of, wide]),
    "matmul of a vector": (kernels.matmul, [rows_of, lambda dtype: normal(COLUMNS, dtype)]),
    "matmul of a bias": (multiplied_then, [rows_of, wide, lambda dtype: normal(9, dtype)]),
    "matmul_gradient": (
        lambda a, b, y: kernels.matmul_gradient(a, b, y, "relu"),
        [rows_of, wide, lambda dtype: normal((ROWS, 9), dtype)],
    ),
    "gradient_norm": (lambda x: kernels.gradient_norm([x]), [rows_of]),
    "dropout": (lambda x: kernels.dropout(x, 0.5, seed=3), [rows_of]),
    "dropout_gradient": (kernels.dropout_gradient, [rows_of, mask]),
    "normalize": (kernels.normalize, [rows_of, lambda d: normal(5, d), lambda d: normal(5, d)]),
    "normalize bytes": (
        kernels.normalize, [of_bytes, lambda d: normal(5, d), lambda d: normal(5, d)]
    ),
    "negative_log_likelihood": (
        learned(kernels.negative_log_likelihood), [rows_of, labels, vector]
    ),
    "cross-entropy": (learned(kernels.softmax_cross_entropy), [rows_of, labels, vector]),
    "cross-entropy of rows": (learned(kernels.softmax_cross_entropy), [rows_of, rates, vector]),
    "smooth": (learned(smooth), [rows_of, labels, vector, lambda dtype: np.abs(normal(5, dtype))]),
}  # fmt: skip


ONLY_ARRAYS = {"normalize", "normalize bytes", "dropout_gradient"}
"""Functions of tables that come from fastnn's own functions: no lists, no other byte order."""


def outcome(function, given):
    """The results as bytes with their dtypes, or the error."""
    try:
        results = function(*given)
    except (TypeError, ValueError) as error:
        return error
    results = results if isinstance(results, tuple) else (results,)
    return [(np.asarray(each).dtype, np.asarray(each).tobytes()) for each in results]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_same_numbers_in_another_array(name, dtype):
    function, makers = CALLS[name]
    plain = [make(dtype) for make in makers]
    expected = outcome(function, plain)
    assert isinstance(expected, list)
    for kind, change in SAME.items():
        for place in range(len(plain)):
            given = [x.copy() for x in plain]
            given[place] = change(given[place])
            found = outcome(function, given)
            if name in ONLY_ARRAYS and place > 0 and isinstance(found, TypeError):
                assert "expected an array of" in str(found)
            else:
                assert (kind, place, found) == (kind, place, expected)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_arrays_give_a_result_or_a_clear_error(name, dtype):
    function, makers = CALLS[name]
    for change in OTHER.values():
        for place, make in enumerate(makers):
            given = [each(dtype) for each in makers]
            try:
                given[place] = change(make(dtype))
            except (TypeError, ValueError, IndexError):
                continue
            outcome(function, given)


# -------------------------------------------------------------------------------- outputs

INTO = {
    **{name: (getattr(kernels, name), [rows_of]) for name in (
        "relu", "tanh", "sigmoid", "exp", "softmax", "log_softmax",
    )},
    **{name: (getattr(kernels, name), [rates, rows_of]) for name in (
        "relu_gradient", "tanh_gradient", "softmax_gradient", "log_softmax_gradient",
    )},
    "relu of a vector": (kernels.relu, [lambda dtype: normal(9, dtype)]),
    "tanh_gradient of vectors": (kernels.tanh_gradient, [vector, vector]),
    "matmul": (kernels.matmul, [rows_of, wide]),
    "matmul_gradient": (
        lambda a, b, y, out=None: kernels.matmul_gradient(a, b, y, "relu", out),
        [rows_of, wide, lambda dtype: normal((ROWS, 9), dtype)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(SAME))
@pytest.mark.parametrize("name", INTO)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_results_go_to_any_array_that_can_hold_them(name, kind, dtype):
    function, makers = INTO[name]
    given = [make(dtype) for make in makers]
    expected = function(*given)
    out = SAME[kind](np.full(expected.shape, 3, dtype))
    before = np.array(out).tobytes()
    around = getattr(out, "base", None)
    around = None if around is None else np.asarray(around).copy()
    error = outcome(function, [*given, out])
    if isinstance(error, Exception):
        assert "out" in str(error)
        assert np.array(out).tobytes() == before
    else:
        np.testing.assert_array_equal(out, expected)
        if kind == "spread":
            assert (out.base == around).sum() >= around.size - out.size


@pytest.mark.parametrize("name", INTO)
def test_results_go_over_their_arguments(name, dtype):
    """Or that is refused; a window that moves over the argument's memory, too."""
    function, makers = INTO[name]
    expected = function(*(make(dtype) for make in makers))
    for place in range(len(makers)):
        for shift in (0, 1, COLUMNS):
            given = [make(dtype) for make in makers]
            room = np.zeros(given[place].size + expected.size + shift, dtype)
            inside = room[: given[place].size].reshape(given[place].shape)
            inside[...] = given[place]
            given[place] = inside
            out = room[shift : shift + expected.size].reshape(expected.shape)
            try:
                function(*given, out)
            except (TypeError, ValueError):
                continue
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("kind", sorted(SAME))
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=str)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_parameters_of_any_kind_are_updated_or_refused(kind, which, dtype):
    a, b = rows_of(dtype), normal((ROWS, 9), dtype)
    settings = settings_of(learning_rate=0.1, momentum=0.9)

    def update(parameter, velocity):
        kernels.matmul_update(a, b, parameter, kernels.updates.SGD, 3, settings, velocity)
        return np.array(parameter), np.array(velocity)

    plain = [np.ones((COLUMNS, 9), dtype), np.full((COLUMNS, 9), 2, dtype)]
    given = [SAME[kind](x.copy()) if i in which else x.copy() for i, x in enumerate(plain)]
    found = outcome(update, given)
    if isinstance(found, Exception):
        for array, before in zip(given, plain, strict=True):
            np.testing.assert_array_equal(np.array(array), before)
    else:
        assert found == outcome(update, plain)


@pytest.mark.parametrize("threads", [1, 3])
def test_arrays_that_another_thread_changes_meanwhile(threads, set_threads):
    """Their shape, their flags, and labels: no byte outside is touched, and nothing hangs."""
    set_threads(threads)
    x, y = np.ones((1200, 300), np.float32), np.ones((300, 1200), np.float32)
    out, labels = np.ones((1200, 1200), np.float32), np.zeros(200_000, np.int64)
    rows = np.zeros((200_000, 2), np.float32)
    ended = threading.Event()

    def change():
        while not ended.is_set():
            for array in (x, y, out):
                shape = array.shape
                array.shape = shape[::-1]
                array.flags.writeable = False
                array.flags.writeable = True
                array.shape = shape
            labels[::1000] = 2**60
            labels[::1000] = 0

    before, thread = sys.getswitchinterval(), threading.Thread(target=change)
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(30):
            for call in (
                lambda: kernels.matmul(x, y, out),
                lambda: kernels.tanh(out, out),
                lambda: kernels.softmax_cross_entropy(rows, labels),
                lambda: kernels.negative_log_likelihood(rows, labels),
            ):
                outcome(lambda call=call: call() is None, [])
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)
