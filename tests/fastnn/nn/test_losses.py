import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_pinball_loss

from fastnn import (
    SGD,
    Adam,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HuberLoss,
    Identity,
    L1Loss,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    PoissonNLLLoss,
    QuantileLoss,
    Sequential,
    Softplus,
    evaluate,
    fit,
    predict,
)
from fastnn.nn.loss import Loss, as_loss, regression_targets

DTYPES = st.sampled_from([np.float32, np.float64])
ROWS, CLASSES = st.integers(1, 40), st.integers(1, 40)
few = settings(max_examples=30, deadline=None)

cross_entropy = torch.nn.functional.cross_entropy
squared_error = torch.nn.functional.mse_loss


def logits(rows, classes, dtype=np.float64, seed=0, scale=3.0):
    return (np.random.default_rng(seed).normal(size=(rows, classes)) * scale).astype(dtype)


def labels(rows, classes, dtype=np.int64):
    return np.random.default_rng(1).integers(0, classes, rows).astype(dtype)


def probabilities(rows, classes, dtype=np.float64):
    return np.random.default_rng(2).dirichlet(np.ones(classes), rows).astype(dtype)


# ---------------------------------------------------------------------- against torch


@few
@given(ROWS, CLASSES, DTYPES, st.sampled_from([0.1, 3.0, 100.0]))
def test_cross_entropy_of_labels_is_torch(same_loss_as_torch, rows, classes, dtype, scale):
    z = logits(rows, classes, dtype, scale=scale)
    same_loss_as_torch(CrossEntropyLoss(), cross_entropy, z, labels(rows, classes))


@few
@given(ROWS, CLASSES, DTYPES, st.booleans())
def test_cross_entropy_of_probabilities_is_torch(same_loss_as_torch, rows, classes, dtype, one_hot):
    targets = probabilities(rows, classes, dtype)
    if one_hot:
        targets = np.eye(classes, dtype=dtype)[labels(rows, classes)]
    same_loss_as_torch(CrossEntropyLoss(), cross_entropy, logits(rows, classes, dtype), targets)


@few
@given(ROWS, CLASSES, DTYPES, st.booleans())
def test_weighted_cross_entropy_is_torch(same_loss_as_torch, rows, classes, dtype, by_label):
    weights = np.random.default_rng(3).uniform(0.1, 2, rows).astype(dtype)
    targets = labels(rows, classes) if by_label else probabilities(rows, classes, dtype)

    def theirs(z, t):
        w = torch.from_numpy(weights)
        return (cross_entropy(z, t, reduction="none") * w).sum() / w.sum()

    ours = CrossEntropyLoss()

    class Weighted:
        backward = ours.backward

        def __call__(self, z, t):
            return ours(z, t, weights)

    same_loss_as_torch(Weighted(), theirs, logits(rows, classes, dtype), targets)


@few
@given(ROWS, CLASSES, DTYPES)
def test_mean_squared_error_is_torch(same_loss_as_torch, rows, columns, dtype):
    y, t = logits(rows, columns, dtype), logits(rows, columns, dtype, seed=1)
    same_loss_as_torch(MSELoss(), squared_error, y, t)


# --------------------------------------------------------------- the kinds of targets


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", "?"])
def test_labels_of_any_integer_type(kind):
    z, t = logits(9, 2), labels(9, 2)
    expected, loss = CrossEntropyLoss(), CrossEntropyLoss()
    assert loss(z, t.astype(kind)) == expected(z, t)
    np.testing.assert_array_equal(loss.backward(), expected.backward())


def test_lists_are_targets():
    z = logits(3, 4)
    assert CrossEntropyLoss()(z, [3, 0, 1]) == CrossEntropyLoss()(z, np.array([3, 0, 1]))
    assert MSELoss()(z.tolist(), z.tolist()) == 0.0


@few
@given(ROWS, CLASSES, DTYPES)
def test_one_hot_rows_are_their_labels(rows, classes, dtype):
    z, t = logits(rows, classes, dtype), labels(rows, classes)
    by_label, by_row = CrossEntropyLoss(), CrossEntropyLoss()
    tolerance = 1e-6 if dtype is np.float32 else 1e-12
    expected = by_label(z, t)
    assert by_row(z, np.eye(classes, dtype=np.int8)[t]) == pytest.approx(expected, rel=tolerance)
    np.testing.assert_allclose(by_row.backward(), by_label.backward(), atol=tolerance)
    assert by_row.correct == by_label.correct == (z.argmax(axis=1) == t).sum()


def test_squared_error_takes_labels_for_one_hot_rows():
    y, t = logits(7, 3), labels(7, 3)
    by_label, by_row = MSELoss(), MSELoss()
    assert by_label(y, t) == by_row(y, np.eye(3)[t])
    np.testing.assert_array_equal(by_label.backward(), by_row.backward())
    assert by_label.correct == (y.argmax(axis=1) == t).sum()


def test_squared_error_takes_numbers_for_a_single_column():
    y, t = logits(7, 1), logits(7, 1, seed=1)
    flat, column = MSELoss(), MSELoss()
    assert flat(y, t[:, 0]) == column(y, t)
    np.testing.assert_array_equal(flat.backward(), column.backward())
    assert flat(y, [1, 2, 3, 4, 5, 6, 7]) == column(y, np.arange(1.0, 8)[:, None])


def test_regression_targets_as_rows():
    rows = regression_targets([2, 0], 3, np.float32)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[0, 0, 1], [1, 0, 0]])
    assert regression_targets([0.5, 1.5], 1, np.float32).shape == (2, 1)
    assert regression_targets(np.zeros((4, 2)), 2, np.float32).shape == (4, 2)


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_correct_counts_rows_whose_largest_logit_is_right(found):
    z = np.eye(4)[found] * 5
    loss = CrossEntropyLoss()
    loss(z, np.zeros(len(found), int))
    assert loss.correct == found.count(0)


# ------------------------------------------------------------ extremes and differences


@few
@given(ROWS, st.integers(2, 40), DTYPES, st.sampled_from([1e3, 1e4, 1e6, -1e6]))
def test_a_shift_of_all_logits_changes_nothing(rows, classes, dtype, shift):
    # Small whole numbers and halves, so that adding the shift rounds nothing away.
    z = (np.random.default_rng(0).integers(-8, 9, (rows, classes)) / 2).astype(dtype)
    t, near, far = labels(rows, classes), CrossEntropyLoss(), CrossEntropyLoss()
    tolerance = 1e-6 if dtype is np.float32 else 1e-14
    assert far(z + dtype(shift), t) == pytest.approx(near(z, t), rel=tolerance)
    np.testing.assert_allclose(far.backward(), near.backward(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("z", "t"),
    [
        ([[1000.0, 1000.0]], [0]),
        ([[1e6, -1e6]], [0]),
        ([[1e6, -1e6]], [1]),
        ([[-1e6, -1e6, -1e6]], [2]),
        ([[0.0, -np.inf]], [0]),
        ([[0.0, -np.inf]], [1]),
        ([[-np.inf, 3.0, -np.inf]], [1]),
        ([[0.0, np.nan]], [0]),
        ([[0.0, np.inf]], [1]),
        ([[-np.inf, -np.inf]], [0]),
        ([[0.0]], [0]),
    ],
)
def test_extreme_logits_are_as_in_torch(same_loss_as_torch, dtype, z, t):
    same_loss_as_torch(CrossEntropyLoss(), cross_entropy, np.array(z, dtype), np.array(t))


def test_squares_overflow_to_infinity():
    y = np.array([[1e30]], np.float32)
    assert MSELoss()(y, -y) == np.inf
    assert np.isnan(MSELoss()(y * np.float32(np.nan), y))


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (CrossEntropyLoss(), labels(4, 5)),
        (CrossEntropyLoss(), probabilities(4, 5)),
        (MSELoss(), logits(4, 5, seed=1)),
        (MSELoss(), labels(4, 5)),
    ],
    ids=["labels", "probabilities", "numbers", "squared labels"],
)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100))
def test_backward_by_differences(slopes, loss, targets, seed):
    z = logits(4, 5, seed=seed)
    expected = slopes(lambda: loss(z, targets), z)
    loss(z, targets)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-6, atol=1e-8)


def test_weighted_backward_by_differences(slopes):
    z, t, weights, loss = logits(4, 5), labels(4, 5), np.array([0.0, 1, 2, 0.5]), CrossEntropyLoss()
    expected = slopes(lambda: loss(z, t, weights), z)
    loss(z, t, weights)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-6, atol=1e-8)
    assert not loss.backward()[0].any()


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), MSELoss()])
def test_backward_before_a_loss(loss):
    with pytest.raises(RuntimeError, match=rf"{type(loss).__name__}: backward\(\) before a loss"):
        loss.backward()
    assert repr(loss) == f"{type(loss).__name__}()"


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([0, 1, 3], ValueError, "targets ranges from 0 to 3; expected class indices from 0 to 2"),
        ([0, -1, 2], ValueError, "targets ranges from -1 to 2; expected class indices from 0 to 2"),
        ([0.0, 1.0, 2.0], TypeError, "targets has dtype float64; expected integers"),
        (["a", "b", "c"], TypeError, "targets has dtype <U1; expected integers"),
        ([0, 1], ValueError, r"targets has shape \(2,\); expected \(3,\)"),
        (np.zeros((3, 2)), ValueError, r"targets has shape \(3, 2\) and logits \(3, 3\)"),
        (np.zeros((3, 1), int), ValueError, r"targets has shape \(3, 1\) and logits \(3, 3\)"),
        (np.zeros((3, 3), complex), TypeError, "targets has dtype complex128"),
        (np.zeros((3, 3, 1), int), ValueError, r"targets has shape \(3, 3, 1\)"),
    ],
)
def test_cross_entropy_refuses_targets(targets, error, message):
    loss = CrossEntropyLoss()
    with pytest.raises(error, match=message):
        loss(logits(3, 3), targets)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (np.zeros((3, 2)), ValueError, r"targets has shape \(3, 2\) and predictions \(3, 3\)"),
        (np.zeros((2, 3)), ValueError, r"targets has shape \(2, 3\) and predictions \(3, 3\)"),
        (np.zeros(3), ValueError, r"targets has shape \(3,\); expected two dimensions"),
        ([0, 1, 3], ValueError, "expected class indices from 0 to 2"),
        (np.full((3, 3), "a"), TypeError, "targets has dtype <U1"),
    ],
)
def test_squared_error_refuses_targets(targets, error, message):
    with pytest.raises(error, match=message):
        MSELoss()(logits(3, 3), targets)


def test_losses_refuse_predictions():
    with pytest.raises(ValueError, match=r"logits has shape \(3,\); expected two dimensions"):
        CrossEntropyLoss()(np.zeros(3), [0, 0, 0])
    with pytest.raises(ValueError, match=r"logits have shape \(3, 0\); expected at least one"):
        CrossEntropyLoss()(np.zeros((3, 0)), [0, 0, 0])
    with pytest.raises(ValueError, match=r"weights have shape \(2,\); expected \(3,\)"):
        CrossEntropyLoss()(logits(3, 2), [0, 1, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"predictions has shape \(\); expected two dim"):
        MSELoss()(3.0, np.zeros((1, 1)))


# ------------------------------------------------------------------- the other losses

f = torch.nn.functional


def wide(numbers, tensor):
    """Numbers as a tensor of another one's dtype."""
    return None if numbers is None else torch.tensor(numbers, dtype=tensor.dtype)


@few
@given(ROWS, CLASSES, DTYPES, st.booleans(), st.booleans(), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_with_settings_is_torch(
    same_loss_as_torch, rows, classes, dtype, by_label, weighted, smoothing
):
    weight = np.random.default_rng(4).uniform(0.1, 2, classes) if weighted else None
    targets = labels(rows, classes) if by_label else probabilities(rows, classes, dtype)
    same_loss_as_torch(
        CrossEntropyLoss(weight, smoothing),
        lambda z, t: cross_entropy(z, t, wide(weight, z), label_smoothing=smoothing),
        logits(rows, classes, dtype),
        targets,
    )


@few
@given(ROWS, CLASSES, DTYPES, st.booleans())
def test_negative_log_likelihood_is_torch(same_loss_as_torch, rows, classes, dtype, weighted):
    weight = np.random.default_rng(4).uniform(0.1, 2, classes) if weighted else None
    same_loss_as_torch(
        NLLLoss(weight),
        lambda x, t: f.nll_loss(x, t, wide(weight, x)),
        logits(rows, classes, dtype),
        labels(rows, classes),
    )


@few
@given(ROWS, CLASSES, DTYPES, st.booleans(), st.sampled_from([0.1, 3.0, 100.0]))
def test_binary_cross_entropy_is_torch(same_loss_as_torch, rows, columns, dtype, weighted, scale):
    weight = np.random.default_rng(4).uniform(0.1, 2, columns) if weighted else None
    same_loss_as_torch(
        BCEWithLogitsLoss(weight),
        lambda z, t: f.binary_cross_entropy_with_logits(z, t, pos_weight=wide(weight, z)),
        logits(rows, columns, dtype, scale=scale),
        np.random.default_rng(5).random((rows, columns)).astype(dtype),
    )


@few
@given(ROWS, CLASSES, DTYPES, st.sampled_from([0.1, 1.0, 10.0]))
def test_absolute_and_huber_are_torch(same_loss_as_torch, rows, columns, dtype, delta):
    y, t = logits(rows, columns, dtype), logits(rows, columns, dtype, seed=1)
    same_loss_as_torch(L1Loss(), f.l1_loss, y, t)
    same_loss_as_torch(PoissonNLLLoss(), f.poisson_nll_loss, y, abs(t))
    same_loss_as_torch(HuberLoss(delta), lambda a, b: f.huber_loss(a, b, delta=delta), y, t)


def test_yes_or_no_takes_labels_and_single_columns():
    z, t = logits(7, 3), labels(7, 3)
    by_label, by_row = BCEWithLogitsLoss(), BCEWithLogitsLoss()
    assert by_label(z, t) == by_row(z, np.eye(3)[t])
    assert BCEWithLogitsLoss()(z[:, :1], t > 1) == BCEWithLogitsLoss()(z[:, :1], (t > 1)[:, None])
    assert BCEWithLogitsLoss(2.0)(z, np.ones((7, 3))) == pytest.approx(
        2 * BCEWithLogitsLoss()(z, np.ones((7, 3)))
    )


# ------------------------------------------------------------------ quantiles, and variances

COLUMNS = st.integers(1, 9)


@few
@given(ROWS, COLUMNS, DTYPES, st.booleans(), st.booleans())
def test_quantile_loss_is_scikit_learn_s(rows, columns, dtype, flat, weighted):
    rng = np.random.default_rng(0)
    y, t = logits(rows, columns, dtype), logits(rows, 1, dtype, seed=1)
    quantiles = rng.uniform(0.05, 0.95, columns)
    weights = rng.uniform(0.1, 2, rows) if weighted else None
    expected = np.mean([
        mean_pinball_loss(t, y[:, i], sample_weight=weights, alpha=quantile)
        for i, quantile in enumerate(quantiles)
    ])  # fmt: skip
    found = QuantileLoss(quantiles)(y, t[:, 0] if flat else t, weights)
    assert found == pytest.approx(expected, rel=1e-6 if dtype is np.float32 else 1e-12)


def torch_pinball(quantiles):
    """The loss of tensors, a number for all columns or one for each."""

    def loss(y, t):
        q, error = torch.tensor(quantiles, dtype=y.dtype), t.reshape(len(t), -1) - y
        return torch.maximum(q * error, (q - 1) * error).mean()

    return loss


@few
@given(ROWS, COLUMNS, DTYPES)
def test_quantile_loss_is_torch_s_larger_of_two_lines(same_loss_as_torch, rows, columns, dtype):
    y, t = logits(rows, columns, dtype), logits(rows, columns, dtype, seed=1)
    y[::3, 0], t[::3, 0] = 1, 1  # corners
    same_loss_as_torch(QuantileLoss(0.3), torch_pinball(0.3), y, t)
    quantiles = np.linspace(0.1, 0.9, columns)
    for targets in (t[:, 0], t[:, :1]):
        same_loss_as_torch(QuantileLoss(quantiles), torch_pinball(quantiles), y, targets)


def test_targets_of_quantiles_are_numbers():
    y = logits(4, 3)
    several, one = QuantileLoss([0.2, 0.5, 0.8]), QuantileLoss([0.5])
    counts = np.array([3, 0, 7, 1])
    assert several(y, counts) == several(y, counts[:, None] * 1.0)  # no class indices
    assert not several.classifies(counts, 3)
    assert several.target_columns(3) == 1
    assert one.target_columns(3) == 3
    assert one(y[:, :1], counts) == pytest.approx(0.5 * L1Loss()(y[:, :1], counts))
    read = several.read_targets("y", counts, 4, 3, np.dtype("f4"))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, np.repeat(counts[:, None], 3, axis=1))
    for targets in (np.zeros((4, 3)), np.zeros((4, 2)), np.zeros((3, 1))):
        with pytest.raises(ValueError, match=r"y has shape .*; expected \(4, 1\)"):
            several.read_targets("y", targets, 4, 3, np.dtype("f4"))
    with pytest.raises(ValueError, match="2 columns of predictions; expected 3, one a quantile"):
        several.read_targets("y", counts, 4, 2, np.dtype("f4"))
    with pytest.raises(ValueError, match="2 columns of predictions; expected 3, one a quantile"):
        several(y[:, :2], counts)


@few
@given(ROWS, COLUMNS, DTYPES, st.booleans(), st.sampled_from([0.5, 1e-6]))
def test_gaussian_likelihood_is_torch(same_loss_as_torch, rows, columns, dtype, full, eps):
    y, t = logits(rows, 2 * columns, dtype), logits(rows, columns, dtype, seed=1)
    y[:, columns:] = abs(y[:, columns:]) + dtype(0.1)
    theirs = torch.nn.GaussianNLLLoss(full=full, eps=eps)
    # The slope of a variance is a difference of two terms, of up to 10 and 1e4 here.
    tolerance = (1e-5, 1e-4) if dtype is np.float32 else None
    same_loss_as_torch(
        GaussianNLLLoss(full=full, eps=eps),
        lambda y, t: theirs(y[:, :columns], t, y[:, columns:]),
        y,
        t,
        gradient=tolerance,
    )


def test_variances_below_eps_count_as_eps(same_loss_as_torch):
    y, t = np.array([[1.0, 0.2], [2.0, 0.0]]), np.array([1.5, 2.5])

    def theirs(y, t):
        return torch.nn.GaussianNLLLoss(eps=0.5)(y[:, 0], t, y[:, 1])

    same_loss_as_torch(GaussianNLLLoss(eps=0.5), theirs, y, t)
    loss = GaussianNLLLoss(eps=0.5)
    expected = loss(y, t), loss.backward()
    y[:, 1] = -3.0
    assert loss(y, t) == expected[0]
    np.testing.assert_array_equal(loss.backward(), expected[1])


def test_targets_of_means_and_variances():
    loss = GaussianNLLLoss()
    assert loss.target_columns(6) == 3
    assert not loss.classifies(np.array([0, 1]), 4)
    assert loss.read_targets("y", np.array([0, 1]), 2, 2, np.dtype("f4")).tolist() == [[0], [1]]
    with pytest.raises(ValueError, match=r"y has shape \(2, 4\); expected \(2, 2\)"):
        loss.read_targets("y", np.zeros((2, 4)), 2, 4, np.dtype("f4"))
    for call in (
        lambda: loss(logits(2, 3), [1.0, 2.0]),
        lambda: loss.read_targets("y", np.zeros(2), 2, 3, np.dtype("f4")),
    ):
        with pytest.raises(
            ValueError, match="3 columns of predictions; expected as many variances"
        ):
            call()


@pytest.mark.parametrize(
    "loss", [QuantileLoss([0.1, 0.6, 0.7, 0.9]), GaussianNLLLoss(full=True, eps=0.01)]
)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100))
def test_backward_of_quantiles_and_variances_by_differences(slopes, loss, seed):
    y, t = logits(4, 4, seed=seed), logits(4, loss.target_columns(4), seed=200)
    y[:, 2:] = abs(y[:, 2:]) + 0.1
    weights = np.array([0.0, 1, 2, 0.5])
    expected = slopes(lambda: loss(y, t, weights), y)
    loss(y, t, weights)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantiles_are_learned(dtype):
    rng = np.random.default_rng(0)
    x, y = np.ones((4000, 1), dtype), rng.exponential(size=4000).astype(dtype)
    quantiles = np.array([0.1, 0.5, 0.9])
    model = Sequential(Linear(1, 3, dtype=dtype, seed=0))
    loss = QuantileLoss(quantiles)
    optimizer = Adam(model.parameters(), lr=0.01)
    history = fit(model, x, y, loss=loss, optimizer=optimizer, epochs=30, batch_size=100, seed=0)
    assert history.accuracy[-1] is None
    np.testing.assert_allclose(predict(model, x[:1])[0], np.quantile(y, quantiles), atol=0.1)
    below = (y[:, None] < predict(model, x)).mean(axis=0)
    np.testing.assert_allclose(below, quantiles, atol=0.02)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_and_variances_are_learned_with_weights(dtype):
    rng = np.random.default_rng(0)
    x, y = np.ones((4000, 1), dtype), rng.normal(2.0, 0.5, 4000)
    weights = rng.uniform(0.1, 2, 4000)
    model = Sequential(Linear(1, 2, dtype=dtype, seed=0), Softplus())
    loss, optimizer = GaussianNLLLoss(), SGD(model.parameters(), lr=0.05)
    how = {"loss": loss, "sample_weight": weights}
    fit(model, x, y, optimizer=optimizer, epochs=200, batch_size=1000, seed=0, **how)
    mean = np.average(y, weights=weights)
    variance = np.average((y - mean) ** 2, weights=weights)
    np.testing.assert_allclose(predict(model, x[:1])[0], [mean, variance], atol=0.02)
    result = evaluate(model, x, y, **how)
    assert result.accuracy is None
    assert result.loss == pytest.approx(0.5 * (np.log(variance) + 1), abs=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantileLoss(0), r"QuantileLoss: quantiles is \[0.0\]; expected numbers above 0"),
        (lambda: QuantileLoss([0.5, 1]), "QuantileLoss: quantiles is"),
        (lambda: QuantileLoss([]), "QuantileLoss: quantiles is"),
        (lambda: QuantileLoss([np.nan]), "QuantileLoss: quantiles is"),
        (lambda: QuantileLoss([[0.5]]), "QuantileLoss: quantiles is"),
        (lambda: GaussianNLLLoss(eps=0), "GaussianNLLLoss: eps is 0; expected a number above 0"),
        (lambda: GaussianNLLLoss(eps=np.inf), "GaussianNLLLoss: eps is inf"),
        (lambda: CrossEntropyLoss([1, -1]), "CrossEntropyLoss: weight is .*expected finite"),
        (lambda: CrossEntropyLoss([[1, 1]]), "one a class"),
        (lambda: CrossEntropyLoss(label_smoothing=1.5), "CrossEntropyLoss: label_smoothing is 1.5"),
        (lambda: NLLLoss([np.nan]), "NLLLoss: weight is"),
        (lambda: BCEWithLogitsLoss([-1]), "BCEWithLogitsLoss: pos_weight is .*one a column"),
        (lambda: HuberLoss(0), "HuberLoss: delta is 0; expected a number above 0"),
        (lambda: CrossEntropyLoss([1, 2])(logits(2, 3), [0, 1]), "weight has 2 numbers; expected"),
        (lambda: BCEWithLogitsLoss([1, 2])(logits(2, 3), logits(2, 3)), "pos_weight has 2"),
    ],
)
def test_settings_of_losses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_repr_of_losses():
    assert repr(CrossEntropyLoss([1, 2], 0.1)) == (
        "CrossEntropyLoss(weight=[1.0, 2.0], label_smoothing=0.1)"
    )
    assert repr(CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(NLLLoss()) == "NLLLoss()"
    assert repr(HuberLoss(2)) == "HuberLoss(delta=2.0)"
    assert repr(BCEWithLogitsLoss(3.0)) == "BCEWithLogitsLoss(pos_weight=[3.0])"
    assert repr(L1Loss()) == "L1Loss()"
    assert repr(QuantileLoss(0.5)) == "QuantileLoss(quantiles=[0.5])"
    assert repr(GaussianNLLLoss(full=True)) == "GaussianNLLLoss(full=True, eps=1e-06)"


# ------------------------------------------------------------------- what a loss tells of itself

WANT_CLASSES = (CrossEntropyLoss(), NLLLoss())
WANT_NUMBERS = (MSELoss(), L1Loss(), HuberLoss(), PoissonNLLLoss(), BCEWithLogitsLoss())


class Bare:
    """A loss of a user's own that derives from nothing."""

    def __call__(self, predictions, targets):
        return 0.0

    def backward(self):
        return np.zeros(0)


class Median(Loss):
    """Several columns of predictions for one of targets."""

    by_element = True

    def target_columns(self, columns):
        return 1


def read(loss, y, columns, dtype=np.float32):
    return loss.read_targets("y", np.asarray(y), len(y), columns, np.dtype(dtype))


@pytest.mark.parametrize("loss", WANT_CLASSES)
def test_classes_are_read_as_indices(loss):
    found = read(loss, np.array([0, 2, 1], np.uint8), 3)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 2, 1]
    assert loss.of_classes
    assert loss.classifies(found, 3)
    assert loss.terms(found) == 1
    with pytest.raises(ValueError, match="y ranges from 0 to 2; expected class indices from 0 to"):
        read(loss, [0, 2, 1], 2)
    with pytest.raises(TypeError, match="y has dtype float64; expected integers"):
        read(loss, [0.0, 2.0], 3)


@pytest.mark.parametrize("loss", [CrossEntropyLoss([1, 2]), NLLLoss([1, 2])])
def test_weights_are_as_many_as_classes(loss):
    with pytest.raises(ValueError, match="weight has 2 numbers; expected 3, one a class"):
        read(loss, [0, 1], 3)


def test_probabilities_are_read_as_rows():
    found = read(CrossEntropyLoss(), [[0.5, 0.5], [1, 0]], 2)
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="y holds -1; CrossEntropyLoss expects probabilities"):
        read(CrossEntropyLoss(), [[2.0, -1.0]], 2)
    with pytest.raises(ValueError, match=r"y has shape \(1, 2\); expected \(1,\)"):
        read(NLLLoss(), [[1, 0]], 2)


@pytest.mark.parametrize("loss", [*WANT_NUMBERS, as_loss(Bare()), Loss()])
def test_numbers_are_read_as_rows(loss):
    assert read(loss, [0, 1, 1], 1).tolist() == [[0], [1], [1]]
    assert read(loss, [0, 1], 2).tolist() == [[1, 0], [0, 1]]
    found = read(loss, np.asfortranarray([[0.5, 1], [0, 0.25]]), 2, np.float64)
    assert found.flags.c_contiguous
    assert found.dtype == np.float64
    assert loss.terms(found) == (2 if loss.by_element else 1)
    assert not loss.of_classes
    with pytest.raises(ValueError, match=r"y has shape \(2, 3\); expected \(2, 2\)"):
        read(loss, np.zeros((2, 3)), 2)
    with pytest.raises(ValueError, match="y holds numbers that are not finite in float32"):
        read(loss, [[1e300, 0.0]], 2)


def test_yes_or_no_is_from_0_to_1():
    with pytest.raises(ValueError, match="y ranges from 0 to 2; BCEWithLogitsLoss expects numbers"):
        read(BCEWithLogitsLoss(), [[0.0, 2.0]], 2)


@pytest.mark.parametrize(
    ("y", "columns", "of_numbers", "yes_or_no"),
    [
        ([0, 1, 2], 3, True, True),
        ([0, 1, 2], 1, False, False),
        ([0, 1, 1], 1, False, True),
        ([0.5, 1.5, 1.0], 3, False, True),
        ([[1, 0], [0, 1]], 2, True, True),
        ([[1, 1], [0, 1]], 2, False, True),
        ([[0.5, 0.5]], 2, False, False),
    ],
)
def test_when_accuracy_means_something(y, columns, of_numbers, yes_or_no):
    y = np.array(y)
    assert MSELoss().classifies(y, columns) is of_numbers
    assert as_loss(Bare()).classifies(y, columns) is of_numbers
    assert BCEWithLogitsLoss().classifies(y, columns) is yes_or_no


def test_targets_of_fewer_columns_than_predictions():
    loss = Median()
    assert read(loss, [0, 1, 2], 5).shape == (3, 1)
    assert read(loss, [[0.5], [1.5]], 5).shape == (2, 1)
    with pytest.raises(ValueError, match=r"y has shape \(2, 5\); expected \(2, 1\)"):
        read(loss, np.zeros((2, 5)), 5)
    assert loss.terms(np.zeros((2, 1))) == 1


def test_a_loss_of_a_user_s_own_answers_in_one_place():
    own, derived = Bare(), Median()
    assert as_loss(derived) is derived
    assert not as_loss(own).by_element
    rows, weights = np.zeros((2, 3)), np.ones(2)
    assert as_loss(own).masses(rows, weights, np.float32) is weights
    assert as_loss(own).terms(rows) == 1
    own.by_element = True
    assert as_loss(own).terms(rows) == 3
    own.masses = lambda targets, weights, dtype: 2 * weights
    assert as_loss(own).masses(rows, weights, np.float32).tolist() == [2, 2]


@pytest.mark.parametrize("shape", [(2, 1), (2, 2), (3, 3)])
def test_several_quantiles_take_one_column_of_targets(shape):
    with pytest.raises(
        ValueError, match=rf"has shape \({shape[0]}, {shape[1]}\); expected \(3, 1\)"
    ):
        QuantileLoss([0.1, 0.9])(np.zeros((3, 2)), np.zeros(shape))


def test_arguments_have_the_names_of_what_they_are():
    z, t = np.array([[0.5], [-1.0]]), np.array([0.0, 1.0])
    loss = BCEWithLogitsLoss()
    assert loss(logits=z, targets=t) == loss(z, t)
    assert MSELoss()(predictions=z, targets=t) == MSELoss()(z, t)


# ------------------------------------------------------------------------- ignored rows


@few
@given(
    ROWS, CLASSES, DTYPES, st.sampled_from([-100, -1, 0, 255]), st.booleans(),
    st.sampled_from([None, 0.0, 0.2]),
)  # fmt: skip
def test_ignored_rows_are_torch_s(rows, classes, dtype, ignored, weighted, smoothing):
    z, t = logits(rows, classes, dtype), labels(rows, classes)
    t[::3] = ignored
    weight = np.linspace(0.5, 2.0, classes) if weighted else None
    likelihood = smoothing is None
    options = {} if likelihood else {"label_smoothing": smoothing}
    loss = (NLLLoss if likelihood else CrossEntropyLoss)(weight, ignore_index=ignored, **options)
    theirs = torch.nn.functional.nll_loss if likelihood else cross_entropy
    there = torch.tensor(z, requires_grad=True)
    given = None if weight is None else torch.tensor(weight.astype(dtype))
    expected = theirs(there, torch.tensor(t), given, ignore_index=ignored, **options)
    found = loss(z, t)
    if (t == ignored).all():
        assert np.isnan(found)
        assert torch.isnan(expected)
        assert not loss.backward().any()
        return
    torch.testing.assert_close(torch.tensor(found, dtype=expected.dtype), expected)
    expected.backward()
    torch.testing.assert_close(torch.tensor(loss.backward()), there.grad)
    assert not loss.backward()[t == ignored].any()
    assert loss.correct == ((z.argmax(axis=1) == t) & (t != ignored)).sum()


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss])
def test_other_indices_are_no_less_wrong(kind):
    z = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"from -1 to 1; .* 0 to 1, or ignore_index, which"):
        kind()(z, [-100, -1, 1])
    with pytest.raises(ValueError, match=r"from -100 to 0; .* or ignore_index, which is 1"):
        kind(ignore_index=1)(z, [-100, 0, 1])
    with pytest.raises(TypeError, match=r"ignore_index is 0\.5; expected an integer"):
        kind(ignore_index=0.5)
    assert repr(kind(ignore_index=1)) == f"{kind.__name__}(ignore_index=1)"


@pytest.mark.parametrize("ignored", [-100, -1, 0, 7])
@pytest.mark.parametrize("classes", [3, 40])
def test_training_ignores_rows_as_torch_does(bits, ignored, classes):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.integers(0, classes, 60)
    y[rng.random(60) < 0.3] = ignored
    y[10:20] = ignored  # a whole batch
    found = []
    for loss in (CrossEntropyLoss(ignore_index=ignored), NLLLoss(ignore_index=ignored)):
        last = [LogSoftmax()] if type(loss) is NLLLoss else []
        model = Sequential(Linear(5, classes, dtype=np.float64, seed=1), *last)
        run = {"loss": loss, "epochs": 3, "batch_size": 10, "shuffle": False}
        twin = model.to_torch()
        copies = [copy.deepcopy(model) for _ in range(2)]
        copies[1].layers.append(type("Own", (Identity,), {})())  # which no program expresses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            histories = [
                fit(each, x, y, optimizer=SGD(each.parameters(), lr=0.1), **run) for each in copies
            ]
        assert bits(copies[0]) == bits(copies[1])
        np.testing.assert_allclose(*(each["loss"] for each in histories), rtol=1e-12)
        assert histories[0]["accuracy"] == histories[1]["accuracy"]
        counted, theirs = y != ignored, torch.optim.SGD(twin.parameters(), lr=0.1)
        for _ in range(3):
            for i in range(0, 60, 10):
                rows = np.arange(i, i + 10)[counted[i : i + 10]]
                if len(rows):
                    theirs.zero_grad()
                    their_loss = (
                        cross_entropy
                        if type(loss) is CrossEntropyLoss
                        else (torch.nn.functional.nll_loss)
                    )
                    their_loss(twin(torch.tensor(x[rows])), torch.tensor(y[rows])).backward()
                    theirs.step()
        outputs = predict(copies[0], x)
        torch.testing.assert_close(torch.tensor(outputs), twin(torch.tensor(x)).detach())
        result = evaluate(copies[0], x, y, loss=loss)
        known = evaluate(copies[0], x[counted], y[counted], loss=loss)
        np.testing.assert_allclose(result, known, rtol=1e-12)
        assert result.accuracy == (outputs.argmax(axis=1) == y)[counted].mean()
        found.append(result)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_weights_of_classes_know_nothing_of_ignored_rows():
    x, y = logits(60, 3), labels(60, 3)
    kept = np.arange(60) % 4 > 0
    model, weights = Sequential(Linear(3, 3, seed=0)), []
    for rows in (slice(None), kept):
        given = np.where(kept, y, -100)[rows]
        copied = copy.deepcopy(model)
        fit(copied, x[rows], given, loss=CrossEntropyLoss(), optimizer=SGD(copied.parameters()),
            epochs=1, batch_size=60, shuffle=False, class_weight="balanced")  # fmt: skip
        weights.append(copied.state_dict()["0.weight"])
    np.testing.assert_allclose(*weights, rtol=1e-6)


def test_nothing_but_ignored_rows():
    model = Sequential(Linear(3, 2))
    with pytest.raises(ValueError, match="y holds nothing but ignore_index, -100; expected"):
        evaluate(model, np.ones((2, 3)), [-100, -100], loss=CrossEntropyLoss())
