import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, assert_close, normal
from numpy.testing import assert_array_equal

from kernels import log_softmax, softmax, softmax_cross_entropy, softmax_gradient

sizes = st.one_of(st.integers(0, 40), st.sampled_from((63, 64, 65, 100)))
classes_ = st.one_of(st.integers(1, 40), st.sampled_from((63, 64, 65, 130)))


def ulp(dtype):
    return np.finfo(dtype).eps


def exact_log_softmax(x):
    wide = np.asarray(x, np.longdouble)
    shifted = wide - wide.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


# ------------------------------------------------------------------ softmax, log-softmax


@settings(deadline=None, max_examples=80)
@given(
    rows=sizes,
    classes=classes_,
    dtype=st.sampled_from(FLOATS),
    scale=st.sampled_from((0.1, 1.0, 10.0, 100.0)),
    offset=st.sampled_from((0.0, 1e3, -1e3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_softmax_and_its_logarithm(rows, classes, dtype, scale, offset, seed):
    x = normal((rows, classes), dtype, seed, scale) + dtype(offset)
    held = x.copy()
    expected = exact_log_softmax(x)
    # The subtraction of the largest is rounded to half an ulp of the difference, and what
    # follows (exp, a sum of `classes` terms, a logarithm or a product) to a few ulp of its own.
    spread = np.abs(np.asarray(x, np.longdouble) - x.max(-1, keepdims=True, initial=-np.inf))
    assert np.all(np.abs(log_softmax(x) - expected) <= ulp(dtype) * (classes + 4 + 2 * spread))
    relative = ulp(dtype) * (classes + 4 + spread)
    probability = np.exp(expected)
    tiny = np.finfo(dtype).smallest_normal  # below it, an ulp does not shrink with the number
    assert np.all(np.abs(softmax(x) - probability) <= relative * np.maximum(probability, tiny))
    assert_array_equal(x, held)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 8, 16, 17, 33, 100])
def test_as_torch(columns, dtype):
    x = normal((37, columns), dtype, columns, 3.0)
    assert_close(softmax(x), torch.softmax(torch.from_numpy(x), -1))
    assert_close(log_softmax(x), torch.log_softmax(torch.from_numpy(x), -1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_logits(dtype):
    half = np.log(dtype(0.5))
    for x in ([1000, 1000], [1e6, 1e6], [-1e6, -1e6], [np.finfo(dtype).max] * 2):
        row = np.array([x], dtype)
        assert_array_equal(softmax(row), [[0.5, 0.5]])
        assert_close(log_softmax(row), np.array([[half, half]]))
    row = np.array([[1000, 0], [0, -1000], [1e6, -1e6]], dtype)
    assert_array_equal(softmax(row), [[1, 0]] * 3)
    assert_array_equal(log_softmax(row), [[0, -1000], [0, -1000], [0, -2e6]])
    # The spread between the largest numbers there are is not representable.
    ends = np.array([[np.finfo(dtype).max, -np.finfo(dtype).max]])
    assert_array_equal(softmax(ends), [[1, 0]])
    assert_array_equal(log_softmax(ends), [[0, -np.inf]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_infinite_and_nan_logits_are_as_in_torch(dtype):
    inf, nan = np.inf, np.nan
    for row in (
        [-inf, 0, 1],
        [0, -inf, -inf],
        [-inf] * 3,
        [inf, 0, 1],
        [inf, inf, 0],
        [inf, -inf, 0],
        [nan, 0, 1],
        [0, 1, nan],
        [nan, inf, -inf],
        [nan, nan, nan],
    ):
        for spare in (0, 1, 6, 14, 30):
            x = np.array([[5.0] * spare + row, [0.0] * (spare + 3)], dtype)
            tensor = torch.from_numpy(x)
            assert_close(softmax(x), torch.softmax(tensor, -1))
            assert_close(log_softmax(x), torch.log_softmax(tensor, -1))


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_shift_of_all_logits_changes_nothing(dtype):
    """By numbers whose sums with the logits are exact: then not a bit changes."""
    x = np.random.default_rng(0).integers(-64, 65, (50, 33)).astype(dtype) / 8
    for shift in (1.0, -3.0, 1e3, 1e6 if dtype == np.float64 else 2.0**17):
        assert_array_equal(x + dtype(shift) - dtype(shift), x)
        assert_array_equal(softmax(x + dtype(shift)), softmax(x))
        assert_array_equal(log_softmax(x + dtype(shift)), log_softmax(x))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_a_row_does_not_depend_on_the_others(function, dtype):
    x = normal((60, 29), dtype)
    together = function(x)
    for i in range(60):
        assert_array_equal(function(x[i]), together[i])
    assert_array_equal(function(x.reshape(3, 4, 5, 29)), together.reshape(3, 4, 5, 29))


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_out_and_layouts(function):
    x = normal((20, 21), np.float32)
    expected = function(x)
    for given_ in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x[::-1].copy()[::-1]):
        assert_array_equal(function(given_), expected)
    assert_close(function(x.tolist()), expected)
    room = np.full((22, 25), 7, np.float32)
    for out in (np.empty_like(x), np.empty_like(x.T).T, room[1:21, 2:23], np.empty_like(x)[::-1]):
        assert function(x, out) is out
        assert_array_equal(out, expected)
    room[1:21, 2:23] = 7
    assert_array_equal(room, np.full_like(room, 7))
    own = x.copy()
    assert function(own, own) is own
    assert_array_equal(own, expected)
    for begin, end in ((0, 1), (1, 0)):
        shifted = np.zeros((21, 21), np.float32)
        source = shifted[begin : begin + 20]
        source[...] = x
        function(source, shifted[end : end + 20])
        assert_array_equal(shifted[end : end + 20], expected)
    square = normal((20, 20), np.float32)
    expected = function(square)
    function(square, square.T)
    assert_array_equal(square.T, expected)


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_dtypes_and_shapes(function):
    assert function(np.arange(3)).dtype == np.float64
    assert function(np.ones((2, 3), np.float16)).dtype == np.float32
    assert function(np.ones(3, ">f4")).dtype == np.float32
    for shape in ((0, 3), (2, 0, 3), (0, 0, 1)):
        assert function(np.ones(shape, np.float32)).shape == shape
    x = np.ones((2, 3), np.float32)
    for bad, error, told in (
        ((x[:, :0],), ValueError, "x has shape (2, 0)"),
        ((1.0,), ValueError, "x has shape ()"),
        ((x.astype(complex),), TypeError, "x has dtype complex128"),
        (([["a"]],), TypeError, "x has dtype"),
        ((x, x.T), ValueError, "out has shape (3, 2)"),
        ((x, x.astype(float)), ValueError, "out has shape (2, 3) and dtype float64"),
        ((x, x.tolist()), TypeError, "out is of type list"),
        ((x, np.broadcast_to(x[0], x.shape)), ValueError, "out is read-only"),
    ):
        with pytest.raises(error) as caught:
            function(*bad)
        assert told in str(caught.value)


# ---------------------------------------------------------------------- softmax gradient


@settings(deadline=None, max_examples=40)
@given(rows=sizes, classes=classes_, dtype=st.sampled_from(FLOATS), seed=st.integers(0, 2**32 - 1))
def test_softmax_gradient_is_torchs(rows, classes, dtype, seed):
    x = torch.from_numpy(normal((rows, classes), dtype, seed, 2.0)).requires_grad_()
    g = normal((rows, classes), dtype, seed + 1)
    y = torch.softmax(x, -1)
    y.backward(torch.from_numpy(g))
    own = softmax_gradient(y.detach().numpy(), g)
    assert own.dtype == dtype
    assert_close(own, x.grad)


def test_softmax_gradient_out_and_layouts():
    y, g = softmax(normal((20, 21), np.float32)), normal((20, 21), np.float32, 1)
    expected = softmax_gradient(y, g)
    assert_array_equal(softmax_gradient(np.asfortranarray(y), g[::-1].copy()[::-1]), expected)
    for out in (np.empty_like(y), np.empty_like(y.T).T, np.empty_like(y)[:, ::-1]):
        assert softmax_gradient(y, g, out) is out
        assert_array_equal(out, expected)
    for name in ("output", "gradient"):
        mine = {"output": y.copy(), "gradient": g.copy()}
        softmax_gradient(*mine.values(), mine[name])
        assert_array_equal(mine[name], expected, err_msg=f"out is {name}")
    for begin, end in ((0, 1), (1, 0)):
        shifted = np.zeros((21, 21), np.float32)
        shifted[begin : begin + 20] = g
        softmax_gradient(y, shifted[begin : begin + 20], shifted[end : end + 20])
        assert_array_equal(shifted[end : end + 20], expected)


def test_softmax_gradient_explains_bad_arguments():
    y = np.ones((2, 3), np.float32)
    for bad, error, told in (
        ((y, y.T), ValueError, "gradient has shape (3, 2) and output (2, 3)"),
        ((y[0], y[0]), ValueError, "output has shape (3,)"),
        ((y, y.astype(complex)), TypeError, "gradient has dtype complex128"),
        ((y, y, y[:1]), ValueError, "out has shape (1, 3)"),
        ((y, y, y.astype(float)), ValueError, "out has shape (2, 3) and dtype float64"),
    ):
        with pytest.raises(error) as caught:
            softmax_gradient(*bad)
        assert told in str(caught.value)


# ------------------------------------------------------------------------- cross-entropy


def torch_cross_entropy(logits, targets, weights):
    """Loss, gradient and losses of rows in float64, weighted by row, by torch."""
    z = torch.tensor(np.asarray(logits, np.float64), requires_grad=True)
    t = torch.as_tensor(np.asarray(targets))
    t = t.double() if t.ndim == 2 else t.long()
    losses = torch.nn.functional.cross_entropy(z, t, reduction="none")
    w = (
        torch.ones(len(z)).double()
        if weights is None
        else torch.tensor(np.asarray(weights, np.float64))
    )
    loss = (losses * w).sum() / w.sum()
    loss.backward()
    return loss.item(), z.grad, (losses * w).detach()


def targets_of(kind, rows, classes, dtype, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    if kind == "indices":
        return labels
    if kind == "one-hot":
        return np.eye(classes, dtype=dtype)[labels]
    shares = random.random((rows, classes)).astype(dtype)
    return shares / shares.sum(1, keepdims=True) if kind == "probabilities" else shares


@settings(deadline=None, max_examples=80)
@given(
    rows=sizes.filter(bool),
    classes=classes_,
    dtype=st.sampled_from(FLOATS),
    kind=st.sampled_from(("indices", "one-hot", "probabilities", "any sum")),
    weighted=st.booleans(),
    scale=st.sampled_from((0.1, 1.0, 30.0)),
    seed=st.integers(0, 2**32 - 1),
)
def test_cross_entropy_is_torchs(rows, classes, dtype, kind, weighted, scale, seed):
    z = normal((rows, classes), dtype, seed, scale)
    t = targets_of(kind, rows, classes, dtype, seed + 1)
    w = (
        np.random.default_rng(seed + 2).random(rows).astype(dtype) + dtype(0.1)
        if weighted
        else None
    )
    held = z.copy(), np.copy(t)
    own = softmax_cross_entropy(z, t, w)
    loss, gradient, losses = torch_cross_entropy(z, t, w)
    # Terms of opposite sign cancel in a target whose sum is not 1: what a logit loses to
    # rounding counts as often as there are classes.
    loose = {"rtol": 1e-5, "atol": 1e-4} if dtype == np.float32 and kind == "any sum" else {}
    assert_close(np.array([own.loss], dtype), [loss], **loose)
    assert_close(own.gradient, gradient)
    assert_close(own.losses, losses, **loose)
    assert own.gradient.dtype == own.losses.dtype == dtype
    assert own.gradient.shape == z.shape
    chosen = t if kind == "indices" else t.argmax(1)
    assert own.correct == (z.argmax(1) == chosen).sum()
    assert_array_equal(z, held[0])
    assert_array_equal(t, held[1])


@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_gradient_by_central_differences(kind):
    z = normal((4, 7), np.float64)
    t = targets_of(kind, 4, 7, np.float64, 1)
    w = np.array([1.0, 0.5, 2.0, 0.0])
    gradient = softmax_cross_entropy(z, t, w).gradient
    step = 1e-6
    for place in np.ndindex(z.shape):
        moved = []
        for way in (step, -step):
            x = z.copy()
            x[place] += way
            moved.append(softmax_cross_entropy(x, t, w).loss)
        # Central differences lose eps / step, here 2e-10, and step^2.
        assert abs((moved[0] - moved[1]) / (2 * step) - gradient[place]) < 1e-8


@pytest.mark.parametrize("dtype", FLOATS)
def test_indices_and_one_hot_agree(dtype):
    z, labels = normal((50, 10), dtype, scale=5.0), targets_of("indices", 50, 10, dtype, 1)
    by_index = softmax_cross_entropy(z, labels)
    one_hot = softmax_cross_entropy(z, np.eye(10)[labels])
    assert_close(one_hot.gradient, by_index.gradient)
    assert_close(one_hot.losses, by_index.losses)
    assert one_hot.correct == by_index.correct
    assert one_hot.loss == pytest.approx(by_index.loss, rel=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_of_large_logits(dtype):
    z = np.array([[1000, 1000], [1e6, -1e6], [1e6, -1e6], [-1e6, -1e6]], dtype)
    for targets in ([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1]]):
        own = softmax_cross_entropy(z, targets)
        assert_close(own.losses, [np.log(2), 0, 2e6, np.log(2)])
        assert_close(4 * own.gradient, [[-0.5, 0.5], [0, 0], [1, -1], [0.5, -0.5]])
        assert own.loss == pytest.approx((2e6 + 2 * np.log(2)) / 4)
        assert own.correct == 2


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_of_infinite_logits(dtype):
    inf = np.inf
    z = np.array([[0, -inf, 0], [-inf, 0, -inf], [0, -inf, 0]], dtype)
    own = softmax_cross_entropy(z, [0, 1, 1])
    assert_close(own.losses, [np.log(2), 0, inf])
    assert own.loss == inf
    assert_close(own.gradient * 3, [[-0.5, 0, 0.5], [0, 0, 0], [0.5, -1, 0.5]])
    assert own.correct == 2
    # A class of probability 0 adds nothing, though its logarithm is infinite.
    one_hot = softmax_cross_entropy(z, np.eye(3)[[0, 1, 1]])
    assert_close(one_hot.losses, own.losses)
    assert_close(one_hot.gradient, own.gradient)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [[np.nan, 0.0, 1.0], [np.inf, 0.0, 1.0], [-np.inf] * 3], ids=str)
def test_a_loss_that_is_not_a_number_is_not_hidden(bad, dtype):
    z = np.array([[1, 2, 3], bad, [3, 2, 1]], dtype)
    for targets in ([0, 1, 0], np.eye(3)[[0, 1, 0]]):
        own = softmax_cross_entropy(z, targets)
        assert not np.isfinite(own.loss)
        assert not np.isfinite(own.losses[1])
        assert np.isnan(own.gradient[1]).any()
        for row in (0, 2):
            alone = softmax_cross_entropy(z[[row]], np.asarray(targets)[[row]])
            assert own.losses[row] == alone.losses[0]
            assert np.isfinite(own.gradient[row]).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_correct_is_decided_by_the_first_of_the_largest(dtype):
    z = np.array([[1, 1, 0], [0, 2, 2], [3, 3, 3], [0, 0, 1], [np.nan, 1, 2]], dtype)
    assert softmax_cross_entropy(z, [0, 1, 0, 2, 2]).correct == 4
    assert softmax_cross_entropy(z, [1, 2, 1, 1, 0]).correct == 0
    for row, label in ((0, 0), (1, 1), (2, 0), (3, 2)):
        for other in range(3):
            both = [[label], [other]]
            for targets in (both, [np.eye(3)[one] for one in both]):
                wanted = int(other == label)
                assert softmax_cross_entropy(z[[row]], targets[0]).correct == 1
                assert softmax_cross_entropy(z[[row]], targets[1]).correct == wanted
    ties = np.array([[0.5, 0.5, 0]], dtype)
    assert softmax_cross_entropy(np.array([[2, 1, 0]], dtype), ties).correct == 1
    assert softmax_cross_entropy(np.array([[1, 2, 0]], dtype), ties).correct == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_with_nan_is_not_correct_wherever_it_is(dtype):
    for place in range(40):
        z = np.zeros((1, 40), dtype)
        z[0, 39 - place // 2] = 1
        label = z.argmax(1)
        assert softmax_cross_entropy(z, label).correct == 1
        z[0, place] = np.nan
        for targets in (label, np.eye(40)[label], [place]):
            assert softmax_cross_entropy(z, targets).correct == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_weights(dtype):
    z, labels = normal((6, 4), dtype), np.array([0, 1, 2, 3, 0, 1])
    plain = softmax_cross_entropy(z, labels)
    for constant in (1, 2.5):
        same = softmax_cross_entropy(z, labels, np.full(6, constant))
        assert same.loss == pytest.approx(plain.loss, rel=1e-6)
        assert_close(same.gradient, plain.gradient)
    some = softmax_cross_entropy(z, labels, [1, 1, 1, 0, 0, 0])
    part = softmax_cross_entropy(z[:3], labels[:3])
    assert some.loss == part.loss
    assert_array_equal(some.gradient[:3], part.gradient)
    assert_array_equal(some.gradient[3:], np.zeros((3, 4)))
    assert_array_equal(some.losses[3:], np.zeros(3))
    assert softmax_cross_entropy(z, labels, np.arange(6)).correct == plain.correct
    # As torch: nothing divided by nothing.
    nothing = softmax_cross_entropy(z, labels, np.zeros(6))
    assert np.isnan(nothing.loss)


def test_labels_of_all_integer_dtypes():
    z = normal((5, 3), np.float32)
    expected = softmax_cross_entropy(z, [2, 0, 1, 1, 0])
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint64, ">i4"):
        own = softmax_cross_entropy(z, np.array([2, 0, 1, 1, 0], dtype))
        assert own.loss == expected.loss
        assert_array_equal(own.gradient, expected.gradient)
    strided = np.array([2, 9, 0, 9, 1, 9, 1, 9, 0])[::2]
    assert softmax_cross_entropy(np.asfortranarray(z), strided).loss == expected.loss
    assert softmax_cross_entropy(z[:, :2], np.array([True, False] * 2 + [True])).loss > 0


def test_an_empty_batch_has_no_loss():
    for targets in (np.zeros(0, int), np.zeros((0, 3), np.float32)):
        own = softmax_cross_entropy(np.zeros((0, 3), np.float32), targets)
        assert np.isnan(own.loss)
        assert own.gradient.shape == (0, 3)
        assert own.losses.shape == (0,)
        assert own.correct == 0


Z = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((Z, [0, 1, 2, 3]), ValueError, ["targets", "from 0 to 3", "0 to 2"]),
        ((Z, [0, -1, 2, 1]), ValueError, ["targets", "from -1 to 2", "0 to 2"]),
        ((Z, np.array([0, 2**63, 0, 0], np.uint64)), ValueError, ["targets", "0 to 2"]),
        ((Z, [0.0, 1.0, 2.0, 1.0]), TypeError, ["targets has dtype float64", "integers"]),
        ((Z, list("abcd")), TypeError, ["targets has dtype"]),
        ((Z, None), TypeError, ["targets has dtype object"]),
        ((Z, [0, 1, 2]), ValueError, ["targets has shape (3,)", "(4,)"]),
        ((Z, 1), ValueError, ["targets has shape ()", "(4,)"]),
        ((Z, np.zeros((4, 2))), ValueError, ["targets has shape (4, 2)", "logits (4, 3)"]),
        ((Z, np.zeros((3, 4))), ValueError, ["targets has shape (3, 4)", "logits (4, 3)"]),
        ((Z, np.zeros((4, 3, 1), int)), ValueError, ["targets has shape (4, 3, 1)"]),
        ((Z, np.zeros((4, 3), complex)), TypeError, ["targets has dtype complex128"]),
        ((Z[0], [0]), ValueError, ["logits has shape (3,)"]),
        ((Z[:, :0], [0] * 4), ValueError, ["logits", "(4, 0)"]),
        ((Z.astype(complex), [0] * 4), TypeError, ["logits has dtype complex128"]),
        ((Z, [0] * 4, [1.0] * 3), ValueError, ["weights have shape (3,)", "(4,)"]),
        ((Z, [0] * 4, 1.0), ValueError, ["weights have shape", "(4,)"]),
        ((Z, [0] * 4, np.ones((4, 1))), ValueError, ["weights have shape (4, 1)"]),
        ((Z, [0] * 4, list("abcd")), TypeError, ["weights"]),
        ((Z, [0] * 4, np.ones(4, complex)), TypeError, ["weights"]),
    ],
)
def test_cross_entropy_explains_bad_arguments(arguments, error, told):
    with pytest.raises(error) as caught:
        softmax_cross_entropy(*arguments)
    for part in told:
        assert part in str(caught.value)


# --------------------------------------------------------------------------- guard pages


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, dtype):
    def held(values):
        array = guarded(values.shape, values.dtype, before)
        array[...] = values
        return array

    for rows in (1, 2, 5):
        for classes in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33):
            x, g = normal((rows, classes), dtype), normal((rows, classes), dtype, 1)
            y = softmax(x)
            for own, expected in (
                (softmax(held(x), held(x)), y),
                (log_softmax(held(x), held(x)), log_softmax(x)),
                (softmax_gradient(held(y), held(g), held(x)), softmax_gradient(y, g)),
            ):
                assert_array_equal(own, expected)
            labels, weights = np.arange(rows) % classes, np.ones(rows, dtype)
            expected = softmax_cross_entropy(x, labels)
            own = softmax_cross_entropy(held(x), held(labels), held(weights))
            assert_array_equal(own.gradient, expected.gradient)
            one_hot = np.eye(classes, dtype=dtype)[labels]
            expected = softmax_cross_entropy(x, one_hot)
            own = softmax_cross_entropy(held(x), held(one_hot), held(weights))
            assert_array_equal(own.gradient, expected.gradient)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40),
    classes=st.integers(1, 40),
    dtype=st.sampled_from((np.float32, np.float64)),
    smoothing=st.sampled_from((0.0, 0.1, 1.0)),
    kind=st.sampled_from(("indices", "probabilities")),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_class_weights_and_label_smoothing_are_torchs(
    rows, classes, dtype, smoothing, kind, weighted, seed
):
    random = np.random.default_rng(seed)
    z = random.normal(size=(rows, classes)).astype(dtype)
    labels = random.integers(0, classes, rows)
    t = labels if kind == "indices" else random.dirichlet(np.ones(classes), rows).astype(dtype)
    c = random.uniform(0.1, 2, classes).astype(dtype) if weighted else None
    own = softmax_cross_entropy(z, t, None, c, smoothing)
    wide = torch.tensor(np.asarray(z, np.float64), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        wide,
        torch.tensor(t if kind == "indices" else np.asarray(t, np.float64)),
        None if c is None else torch.tensor(np.asarray(c, np.float64)),
        label_smoothing=smoothing,
    )
    loss.backward()
    assert_close(np.array([own.loss], dtype), np.array([loss.item()]))
    assert_close(own.gradient, wide.grad.numpy())
    likely = labels if kind == "indices" else t.argmax(1)
    assert own.correct == (z.argmax(1) == likely).sum()
