import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import FLOATS, assert_close, normal
from numpy.testing import assert_array_equal

from kernels import (
    binary_cross_entropy,
    huber,
    mean_absolute_error,
    mean_squared_error,
    negative_log_likelihood,
    poisson,
)
from kernels.functions.losses import compare

sizes = st.one_of(st.integers(1, 40), st.sampled_from((63, 64, 65, 130)))


@settings(deadline=None, max_examples=60)
@given(
    rows=sizes,
    columns=sizes,
    dtype=st.sampled_from(FLOATS),
    scale=st.sampled_from((1e-3, 1.0, 1e3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_mean_squared_error_is_torchs(rows, columns, dtype, scale, seed):
    y, t = (
        normal((rows, columns), dtype, seed, scale),
        normal((rows, columns), dtype, seed + 1, scale),
    )
    held = y.copy(), t.copy()
    own = mean_squared_error(y, t)
    wide = torch.tensor(np.asarray(y, np.float64), requires_grad=True)
    loss = torch.nn.functional.mse_loss(wide, torch.from_numpy(np.asarray(t, np.float64)))
    loss.backward()
    assert_close(np.array([own.loss], dtype), [loss.item()])
    assert_close(own.gradient, wide.grad)
    assert_close(own.losses, ((np.asarray(y, np.float64) - t) ** 2).sum(1))
    assert own.gradient.dtype == own.losses.dtype == dtype
    assert own.correct == (y.argmax(1) == t.argmax(1)).sum()
    assert_array_equal(y, held[0])
    assert_array_equal(t, held[1])


def test_gradient_by_central_differences():
    y, t, step = normal((3, 5), np.float64), normal((3, 5), np.float64, 1), 1e-6
    gradient = mean_squared_error(y, t).gradient
    for place in np.ndindex(y.shape):
        moved = []
        for way in (step, -step):
            x = y.copy()
            x[place] += way
            moved.append(mean_squared_error(x, t).loss)
        # Central differences lose eps / step, here 2e-10; a parabola has no third derivative.
        assert abs((moved[0] - moved[1]) / (2 * step) - gradient[place]) < 1e-8


@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_cases(dtype):
    y, t = np.array([[1, 2, 3], [4, 5, 6]], dtype), np.array([[1, 0, 3], [4, 9, 6]], dtype)
    own = mean_squared_error(y, t)
    assert own.loss == pytest.approx(20 / 6, rel=1e-15)
    assert_array_equal(own.losses, [4, 16])
    assert_close(own.gradient, np.array([[0, 4, 0], [0, -8, 0]]) / 6)
    same = mean_squared_error(y, y)
    assert same.loss == 0
    assert_array_equal(same.gradient, np.zeros((2, 3)))
    assert same.correct == 2


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_offsets_cancel_before_squaring(dtype):
    y, t = np.full((2, 20), 1e6, dtype), np.full((2, 20), 1e6 + 1, dtype)
    own = mean_squared_error(y, t)
    assert own.loss == 1
    assert_close(own.gradient, np.full((2, 20), -2 / 40))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 16, 40])
def test_what_is_not_finite_stays_in_its_row(columns, dtype):
    inf, nan = np.inf, np.nan
    for value, loss in ((nan, nan), (inf, inf), (-inf, inf)):
        y, t = np.zeros((3, columns), dtype), np.ones((3, columns), dtype)
        y[1, -1] = value
        own = mean_squared_error(y, t)
        assert_array_equal(own.loss, loss)
        assert_array_equal(own.losses, np.array([columns, loss, columns], dtype))
        assert_array_equal(own.gradient[1, -1], value)
        assert np.isfinite(own.gradient[[0, 2]]).all()
        assert np.isfinite(own.gradient[1, :-1]).all()
        swapped = mean_squared_error(t, y)
        assert_array_equal(swapped.losses, own.losses)


@pytest.mark.parametrize("dtype", FLOATS)
def test_correct_compares_the_first_of_the_largest(dtype):
    t = np.eye(3, dtype=dtype)[[0, 1, 2, 0]]
    y = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [np.nan, 0, 0]], dtype)
    assert mean_squared_error(y, t).correct == 2
    for place in range(40):
        y = np.zeros((1, 40), dtype)
        y[0, 39 - place // 2] = 1
        t = y.copy()
        y[0, place] = np.nan
        assert mean_squared_error(y, t).correct == 0


def test_layouts_and_dtypes():
    y, t = normal((9, 7), np.float32), normal((9, 7), np.float32, 1)
    expected = mean_squared_error(y, t)
    for predictions, targets in (
        (np.asfortranarray(y), t),
        (y, np.asfortranarray(t)),
        (np.repeat(y, 2, 1)[:, ::2], t[::-1].copy()[::-1]),
        (y, t.astype(np.float64)),
    ):
        own = mean_squared_error(predictions, targets)
        assert own.loss == expected.loss
        assert_array_equal(own.gradient, expected.gradient)
    whole = mean_squared_error([[1, 2]], [[0, 4]])
    assert whole.loss == 2.5
    assert whole.gradient.dtype == np.float64


def test_an_empty_batch_has_no_loss():
    for shape in ((0, 3), (3, 0), (0, 0)):
        own = mean_squared_error(np.zeros(shape), np.zeros(shape))
        assert np.isnan(own.loss)
        assert own.gradient.shape == shape
        assert_array_equal(own.losses, np.zeros(shape[0]))


Y = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((Y, Y.T), ValueError, ["targets has shape (3, 4)", "predictions (4, 3)"]),
        ((Y, Y[:3]), ValueError, ["targets has shape (3, 3)", "predictions (4, 3)"]),
        ((Y, Y[0]), ValueError, ["targets has shape (3,)"]),
        ((Y[0], Y[0]), ValueError, ["predictions has shape (3,)"]),
        ((Y, 0.0), ValueError, ["targets has shape ()"]),
        ((Y.astype(complex), Y), TypeError, ["predictions has dtype complex128"]),
        ((Y, Y.astype(str)), TypeError, ["targets has dtype"]),
        ((Y, None), TypeError, ["targets has dtype object"]),
    ],
)
def test_bad_arguments_are_explained(arguments, error, told):
    with pytest.raises(error) as caught:
        mean_squared_error(*arguments)
    for part in told:
        assert part in str(caught.value)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_the_arrays_is_touched(guarded, before, dtype):
    for shape in ((1, 1), (2, 3), (1, 7), (3, 8), (5, 9), (1, 15), (2, 16), (3, 17), (1, 33)):
        y, t = guarded(shape, dtype, before), guarded(shape, dtype, before)
        y[...], t[...] = 3, 1
        own = mean_squared_error(y, t)
        assert own.loss == 4
        assert_array_equal(own.losses, np.full(shape[0], 4 * shape[1]))


# -------------------------------------------------------------------- the other losses


def torchs(name):
    """torch's loss of each element, or row, and ours; both by name."""
    f = torch.nn.functional
    return {
        "squares": (mean_squared_error, f.mse_loss),
        "sizes": (mean_absolute_error, f.l1_loss),
        "huber": (huber, f.huber_loss),
        "events": (poisson, f.poisson_nll_loss),
        "yes or no": (binary_cross_entropy, f.binary_cross_entropy_with_logits),
    }[name]


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(["squares", "sizes", "huber", "events", "yes or no"]),
    rows=sizes,
    columns=sizes,
    dtype=st.sampled_from(FLOATS),
    scale=st.sampled_from((1e-3, 1.0, 30.0)),
    seed=st.integers(0, 2**32 - 1),
    weighted=st.booleans(),
)
def test_losses_of_elements_are_torchs(name, rows, columns, dtype, scale, seed, weighted):
    ours, theirs = torchs(name)
    random = np.random.default_rng(seed)
    y, t = normal((rows, columns), dtype, seed, scale), normal((rows, columns), dtype, seed + 1)
    settings = {}
    if name == "huber":
        settings = {"delta": float(random.uniform(0.1, 3))}
    if name == "events":
        y, t = np.clip(y, -30, 30), random.poisson(2.0, (rows, columns)).astype(dtype)
    if name == "yes or no":
        t = random.random((rows, columns)).astype(dtype)
        settings = {"positive": random.uniform(0.1, 3, columns).astype(dtype)}
    weights = random.uniform(0.1, 2, rows).astype(dtype) if weighted else None
    own = ours(y, t, weights, **settings)
    wide = torch.tensor(np.asarray(y, np.float64), requires_grad=True)
    if "positive" in settings:
        settings = {"pos_weight": torch.tensor(np.float64(settings["positive"]))}
    w = torch.ones(rows) if weights is None else torch.tensor(np.asarray(weights, np.float64))
    each = (
        theirs(wide, torch.tensor(np.asarray(t, np.float64)), reduction="none", **settings).sum(1)
        * w
    )
    loss = each.sum() / (w.sum() * columns)
    loss.backward()
    assert_close(np.array([own.loss], dtype), [loss.item()])
    assert_close(own.gradient, wide.grad)
    assert_close(own.losses, each.detach())
    assert own.gradient.dtype == own.losses.dtype == dtype


@settings(deadline=None, max_examples=40)
@given(rows=sizes, classes=sizes, dtype=st.sampled_from(FLOATS), seed=st.integers(0, 2**32 - 1))
def test_negative_log_likelihood_is_torchs(rows, classes, dtype, seed):
    random = np.random.default_rng(seed)
    x, weights = normal((rows, classes), dtype, seed), random.random(rows).astype(dtype)
    labels = random.integers(0, classes, rows)
    own = negative_log_likelihood(x, labels, weights)
    wide = torch.tensor(np.asarray(x, np.float64), requires_grad=True)
    each = torch.nn.functional.nll_loss(wide, torch.tensor(labels), reduction="none")
    w = torch.tensor(np.asarray(weights, np.float64))
    ((each * w).sum() / w.sum()).backward()
    assert_close(np.array([own.loss], dtype), [((each * w).sum() / w.sum()).item()])
    assert_close(own.gradient, wide.grad)
    assert own.correct == (x.argmax(1) == labels).sum()


CASES = {
    "squares": (mean_squared_error, {}),
    "sizes": (mean_absolute_error, {}),
    "huber": (huber, {"delta": 0.8}),
    "events": (poisson, {}),
    "yes or no": (binary_cross_entropy, {"positive": [0.5, 1.0, 2.0, 3.0, 0.0]}),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_by_central_differences(name):
    function, settings = CASES[name]
    y, t, step = normal((3, 5), np.float64), normal((3, 5), np.float64, 1), 1e-6
    t = np.abs(np.sin(t))
    weights = np.array([0.5, 1.0, 2.5])
    gradient = function(y, t, weights, **settings).gradient
    for place in np.ndindex(y.shape):
        above, below = y.copy(), y.copy()
        above[place] += step
        below[place] -= step
        slope = function(above, t, weights, **settings).loss
        slope -= function(below, t, weights, **settings).loss
        assert abs(slope / (2 * step) - gradient[place]) < 1e-8


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 16, 40])
def test_logits_of_any_size(columns, dtype):
    for logit, target, loss, slope in (
        (1e4, 1, 0, 0), (1e4, 0, 1e4, 1), (-1e4, 1, 1e4, -1), (-1e4, 0, 0, 0),
        (np.inf, 1, 0, 0), (-np.inf, 0, 0, 0), (np.inf, 0, np.inf, 1), (-np.inf, 1, np.inf, -1),
        (np.nan, 1, np.nan, np.nan),
    ):  # fmt: skip
        z, t = np.full((2, columns), logit, dtype), np.full((2, columns), target, dtype)
        own = binary_cross_entropy(z, t)
        assert_close(own.losses, np.full(2, loss * columns))
        assert_close(own.gradient, np.full((2, columns), slope / (2 * columns)))
        assert own.correct == (2 if loss == 0 else 0)


def test_small_losses_keep_their_digits():
    for dtype in FLOATS:
        z = np.array([[-20.0, 10.0, -60.0]], dtype)
        own = binary_cross_entropy(z, np.array([[0, 1, 0]], dtype))
        exact = np.log1p(np.exp([-20.0, -10.0, -60.0])).sum()
        assert own.losses[0] == pytest.approx(exact, rel=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_are_right_when_all_columns_are(dtype):
    z = np.array([[1, -1, 2], [1, -1, -2], [-1, -1, -1], [0, 0, 0], [np.nan, -1, 1]], dtype)
    t = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]], dtype)
    assert binary_cross_entropy(z, t).correct == 3


@pytest.mark.parametrize("dtype", FLOATS)
def test_slopes_at_corners(dtype):
    y = np.array([[0.0, -0.0, 1.0, -1.0, 2.0, np.nan]], dtype)
    t = np.zeros_like(y)
    assert_close(mean_absolute_error(y, t).gradient * 6, [[0, 0, 1, -1, 1, np.nan]])
    assert_close(huber(y, t, delta=1.0).gradient * 6, [[0, 0, 1, -1, 1, np.nan]])
    own = huber(np.array([[np.inf, -np.inf]], dtype), np.zeros((1, 2), dtype), delta=2.0)
    assert_array_equal(own.gradient, [[1, -1]])
    assert own.loss == np.inf


@pytest.mark.parametrize("name", CASES)
def test_weights_of_rows(name):
    function, settings = CASES[name]
    y, t = normal((6, 5), np.float32), np.abs(np.sin(normal((6, 5), np.float32, 1)))
    some, part = function(y, t, [1, 1, 1, 0, 0, 0], **settings), function(y[:3], t[:3], **settings)
    assert some.loss == part.loss
    assert_array_equal(some.gradient[:3], part.gradient)
    assert_array_equal(some.gradient[3:], np.zeros((3, 5)))
    nothing = function(y, t, np.zeros(6), **settings)
    assert np.isnan(nothing.loss)
    assert_array_equal(nothing.gradient, np.zeros((6, 5)))


# ------------------------------------------------------------------ quantiles, and variances


def pinball_of(y, t, quantiles):
    """The loss of each element, of tensors; at corners torch takes the slope midway."""
    return torch.maximum(quantiles * (t - y), (quantiles - 1) * (t - y))


@settings(deadline=None, max_examples=60)
@given(
    rows=sizes,
    columns=sizes,
    dtype=st.sampled_from(FLOATS),
    scale=st.sampled_from((1e-3, 1.0, 30.0)),
    seed=st.integers(0, 2**32 - 1),
)
def test_pinball_is_torch_s_larger_of_two_lines(rows, columns, dtype, scale, seed):
    random = np.random.default_rng(seed)
    y, t = normal((rows, columns), dtype, seed, scale), normal((rows, columns), dtype, seed + 1)
    y[random.random(y.shape) < 0.1] = 0
    t[y == 0] = 0
    quantiles = random.uniform(0.01, 0.99, columns).astype(dtype)
    weights = random.uniform(0.1, 2, rows).astype(dtype)
    own = compare("pinball", y, t, weights, quantiles)
    wide, w = (
        torch.tensor(np.asarray(y, np.float64), requires_grad=True),
        torch.tensor(np.asarray(weights, np.float64)),
    )
    each = pinball_of(
        wide,
        torch.tensor(np.asarray(t, np.float64)),
        torch.tensor(np.asarray(quantiles, np.float64)),
    )
    loss = (each.sum(1) * w).sum() / (w.sum() * columns)
    loss.backward()
    assert_close(np.array([own.loss], dtype), [loss.item()])
    assert_close(own.gradient, wide.grad)


@settings(deadline=None, max_examples=60)
@given(
    rows=sizes,
    columns=sizes,
    dtype=st.sampled_from(FLOATS),
    least=st.sampled_from((1e-2, 0.5)),
    constant=st.sampled_from((0.0, 0.9189385332046727)),
    seed=st.integers(0, 2**32 - 1),
)
def test_gaussian_is_torchs(rows, columns, dtype, least, constant, seed):
    random = np.random.default_rng(seed)
    y, t = normal((rows, 2 * columns), dtype, seed), normal((rows, columns), dtype, seed + 1)
    y[:, columns:] = abs(y[:, columns:])
    weights = random.uniform(0.1, 2, rows).astype(dtype)
    factors = np.repeat([least, constant], columns)
    own = compare("gaussian", y, t, weights, factors)
    wide, w = (
        torch.tensor(np.asarray(y, np.float64), requires_grad=True),
        torch.tensor(np.asarray(weights, np.float64)),
    )
    each = torch.nn.functional.gaussian_nll_loss(
        wide[:, :columns], torch.tensor(np.asarray(t, np.float64)), wide[:, columns:],
        full=constant > 0, eps=float(dtype(least)), reduction="none",
    )  # fmt: skip
    loss = (each.sum(1) * w).sum() / (w.sum() * columns)
    loss.backward()
    assert_close(np.array([own.loss], dtype), [loss.item()])
    # A slope is a difference of terms as large as 1 / least^2, of which an ulp is lost.
    slack = float(np.finfo(dtype).eps) * 16 / least**2
    np.testing.assert_allclose(own.gradient, wide.grad, rtol=2e-6, atol=max(slack, 1e-7))
    assert own.gradient.shape == y.shape
    assert own.correct == 0


@pytest.mark.parametrize("name", ["pinball", "gaussian"])
def test_gradients_of_quantiles_and_variances_by_central_differences(name):
    y, t, step = normal((3, 6), np.float64), normal((3, 6), np.float64, 1), 1e-6
    factors = np.linspace(0.1, 0.9, 6)
    if name == "gaussian":
        y[:, 3:], t = np.abs(y[:, 3:]) + 0.2, t[:, :3]
    weights = np.array([0.5, 1.0, 2.5])
    factors[:3] = 0.1
    gradient = compare(name, y, t, weights, factors).gradient
    for place in np.ndindex(y.shape):
        above, below = y.copy(), y.copy()
        above[place] += step
        below[place] -= step
        slope = compare(name, above, t, weights, factors).loss
        slope -= compare(name, below, t, weights, factors).loss
        assert abs(slope / (2 * step) - gradient[place]) < 1e-8


@pytest.mark.parametrize("dtype", FLOATS)
def test_pinball_at_corners_and_beyond(dtype):
    y = np.array([[0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]], dtype)
    own = compare("pinball", y, np.zeros_like(y), None, 0.25)
    assert_close(own.gradient * 7, [[0.25, 0.25, 0.75, -0.25, 0.75, -0.25, np.nan]])
    for i, loss in enumerate((0, 0, 0.75, 0.25, np.inf, np.inf, np.nan)):
        own = compare("pinball", y[:, i : i + 1], np.zeros((1, 1), dtype), None, 0.25)
        assert_array_equal(own.loss, loss)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 16, 40])
def test_small_variances_count_as_the_least(columns, dtype):
    t = np.zeros((2, columns), dtype)
    half = 0.5 * np.log(0.5)
    for variance in (0.5, 0.25, 0.0, -1.0, -np.inf):
        y = np.hstack([np.ones_like(t), np.full_like(t, variance)])
        own = compare("gaussian", y, t, None, np.repeat([0.5, 0.0], columns))
        assert_close(own.losses, np.full(2, columns * (half + 1)))
        assert_close(own.gradient[:, :columns], np.full_like(t, 2 / (2 * columns)))
        assert_close(own.gradient[:, columns:], np.full_like(t, -1 / (2 * columns)))
    for place in (0, columns):
        y = np.ones((2, 2 * columns), dtype)
        y[1, place] = np.nan
        own = compare("gaussian", y, t, None, np.repeat([0.5, 0.0], columns))
        assert np.isfinite(own.losses[0])
        assert np.isnan(own.losses[1])
        assert np.isfinite(own.gradient[0]).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("before", [False, True], ids=["page after", "page before"])
def test_no_byte_outside_is_touched_by_means_and_variances(guarded, before, dtype):
    for rows, columns in ((1, 1), (2, 3), (1, 7), (3, 8), (5, 9), (1, 15), (2, 16), (3, 17)):
        y, t = guarded((rows, 2 * columns), dtype, before), guarded((rows, columns), dtype, before)
        y[...], t[...] = 1, 3
        own = compare("gaussian", y, t, None, np.repeat([0.5, 0.0], columns).astype(dtype))
        assert own.loss == 2
        assert_array_equal(own.losses, np.full(rows, 2 * columns))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda y: compare("gaussian", y, y), ValueError, r"predictions \(2, 3\); expected 2 col"),
        (lambda y: huber(y, y, delta=0), ValueError, "delta is 0; expected a number above 0"),
        (lambda y: huber(y, y, delta=np.nan), ValueError, "delta is nan"),
        (lambda y: mean_absolute_error(y, y[:1]), ValueError, "targets has shape"),
        (lambda y: mean_absolute_error(y, y, [1.0]), ValueError, r"weights have shape \(1,\)"),
        (lambda y: binary_cross_entropy(y, y, positive=[1.0]), ValueError, "positive has shape"),
        (lambda y: binary_cross_entropy(y[0], y[0]), ValueError, "logits has shape"),
        (lambda y: negative_log_likelihood(y, [0, 5]), ValueError, "targets ranges from 0 to 5"),
        (lambda y: negative_log_likelihood(y, y), TypeError, "targets has dtype float32"),
    ],
)
def test_bad_arguments_of_the_other_losses(call, error, message):
    with pytest.raises(error, match=message):
        call(np.zeros((2, 3), np.float32))
