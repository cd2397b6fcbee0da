"""Weights of samples and classes, and clipping, as `fit` and `evaluate` take them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import fastnn
from fastnn import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from fastnn.nn.loss import Loss
from fastnn.training.sample_weights import read_weights, total_weight
from own_layers import compiled_and_eager, ignore_own

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 50)
W = np.random.default_rng(2).uniform(0.1, 2, 50)
ROWS = np.eye(3)[Y]


def trained(own=(), x=X, y=Y, loss=None, epochs=2, outputs=3, **changes):
    model = fastnn.Sequential(fastnn.Linear(x.shape[1], outputs, seed=0), *own)
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    history = fastnn.fit(
        model, x, y, loss=loss or CrossEntropyLoss(), optimizer=optimizer, epochs=epochs,
        batch_size=8, seed=3, **changes,
    )  # fmt: skip
    return [array.tobytes() for array in model.state_dict().values()], history, model


def read(y, **given):
    y = np.asarray(y)
    classes = y.shape[1] if y.ndim == 2 else 3
    return read_weights(CrossEntropyLoss(), y, **given, classes=classes, dtype=np.dtype("f4"))


# ----------------------------------------------------------------- what weights there are


def test_none_weighs_nothing():
    assert read(Y) is None
    assert total_weight(None, 7) == 7.0
    assert total_weight(np.array([1, 2], np.float32), 2) == 3.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_balanced_is_scikit_learns(labels):
    present = np.unique(labels)
    theirs = compute_class_weight("balanced", classes=present, y=labels)
    by_class = dict(zip(present, theirs, strict=True))
    np.testing.assert_allclose(
        read(labels, class_weight="balanced"), [by_class[label] for label in labels], rtol=1e-6
    )


@pytest.mark.parametrize("given_", [{0: 1, 2: 0.5}, [1, 1, 0.5], np.array([1, 1, 0.5])])
def test_weights_of_classes(given_):
    expected = np.where(Y == 2, 0.5, 1).astype(np.float32)
    for targets in (Y, ROWS.astype(np.float32)):
        np.testing.assert_array_equal(read(targets, class_weight=given_), expected)
    both_ = read(Y, class_weight=given_, sample_weight=W)
    np.testing.assert_array_equal(both_, (W * expected).astype(np.float32))


def test_weights_of_a_single_column():
    yes = (Y == 1)[:, None].astype(np.float32)
    found = read_weights(
        BCEWithLogitsLoss(), yes, class_weight={1: 3.0}, classes=1, dtype=np.dtype("f8")
    )
    np.testing.assert_array_equal(found, np.where(Y == 1, 3.0, 1.0))


# ------------------------------------------------------------------------------ in training


@ignore_own
@compiled_and_eager
def test_whole_weights_are_repeated_samples(own):
    counts = np.arange(50) % 3
    _, history, model = trained(own, sample_weight=counts)
    again = np.repeat(np.arange(50), counts)
    evaluation = fastnn.evaluate(model, X, Y, loss=CrossEntropyLoss(), sample_weight=counts)
    expected = fastnn.evaluate(model, X[again], Y[again], loss=CrossEntropyLoss())
    assert evaluation.loss == pytest.approx(expected.loss, rel=1e-6)
    assert np.isfinite(history.loss).all()


@ignore_own
@compiled_and_eager
def test_ones_change_nothing(own):
    expected = trained(own)
    for given_ in ({"sample_weight": np.ones(50)}, {"class_weight": [1, 1, 1]},
                   {"loss": CrossEntropyLoss([1, 1, 1])}):  # fmt: skip
        assert trained(own, **given_)[0] == expected[0]


@ignore_own
@compiled_and_eager
def test_class_weights_of_fit_and_of_the_loss_are_the_same(own):
    by_fit = trained(own, class_weight=[0.5, 1, 3])
    by_loss = trained(own, loss=CrossEntropyLoss([0.5, 1, 3]))
    assert by_fit[0] == by_loss[0]
    np.testing.assert_allclose(by_fit[1].loss, by_loss[1].loss, rtol=1e-12)
    assert trained(own, class_weight=[0.5, 1, 3], sample_weight=W)[0] != by_fit[0]


@ignore_own
@compiled_and_eager
def test_batches_without_weight_are_passed_over(own):
    weights = np.ones(50)
    weights[8:24] = 0
    bits, history, _ = trained(own, sample_weight=weights, shuffle=False)
    keep = weights > 0
    expected = trained(own, x=X[keep], y=Y[keep], shuffle=False)
    assert bits == expected[0]
    np.testing.assert_allclose(history.loss, expected[1].loss, rtol=1e-6)


@ignore_own
@compiled_and_eager
def test_means_are_weighted_and_accuracies_are_not(own):
    _, history, model = trained(own, validation_data=(X, Y, W))
    found = fastnn.evaluate(model, X, Y, loss=CrossEntropyLoss(), sample_weight=W)
    plain = fastnn.evaluate(model, X, Y, loss=CrossEntropyLoss())
    z = model.eval()(X).astype(float)
    losses = np.log(np.exp(z).sum(1)) - z[np.arange(50), Y]
    assert found.loss == pytest.approx((losses * W).sum() / W.sum(), rel=1e-5)
    assert history.val_loss[-1] == pytest.approx(found.loss, rel=1e-12)
    assert found.accuracy == plain.accuracy == history.val_accuracy[-1]


@ignore_own
@compiled_and_eager
def test_losses_of_one_s_own_may_take_weights(own):
    class Weighted(Loss):
        def __init__(self):
            self.inner = CrossEntropyLoss()

        def __call__(self, predictions, targets, weights=None):
            value = self.inner(predictions, targets.argmax(axis=1), weights)
            self._gradient, self.correct = self.inner.backward(), self.inner.correct
            return value

    class Plain(Weighted):
        def __call__(self, predictions, targets):
            return super().__call__(predictions, targets)

    with pytest.warns(UserWarning, match="Weighted is not a loss"):
        found = trained(y=ROWS, loss=Weighted(), sample_weight=W)
    assert found[0] == trained(sample_weight=W)[0]
    with pytest.raises(TypeError, match="does not take any"):
        trained(own, y=ROWS, loss=Plain(), sample_weight=W)


# ------------------------------------------------------------------------------- clipping


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize("name", ["clip_norm", "clip_value"])
def test_clipping_for_one_run(own, name):
    optimizer = None

    def run(given_, setting):
        nonlocal optimizer
        model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0), *own)
        optimizer = fastnn.SGD(model.parameters(), lr=0.1, **setting)
        fastnn.fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2,
                   batch_size=8, seed=0, **given_)  # fmt: skip
        return [array.tobytes() for array in model.state_dict().values()]

    expected = run({}, {name: 0.02})
    assert run({name: 0.02}, {}) == expected
    assert getattr(optimizer, name) is None
    assert run({name: 0.02}, {name: 5.0}) == expected
    assert getattr(optimizer, name) == 5.0
    assert run({}, {}) != expected


def test_clipping_ends_with_a_run_that_fails():
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)

    def fail(training):
        assert training.optimizer.clip_norm == 0.5
        raise KeyError

    with pytest.raises(KeyError):
        fastnn.fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=2,
                   batch_size=8, clip_norm=0.5, callbacks=[fail])  # fmt: skip
    assert optimizer.clip_norm is None


# -------------------------------------------------------------------------- bad arguments


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sample_weight": W[:3]}, ValueError, r"sample_weight has shape \(3,\); expected \(50,\)"),
        ({"sample_weight": -W}, ValueError, "sample_weight holds -.* at 0; expected finite"),
        ({"sample_weight": W * np.nan}, ValueError, "sample_weight holds nan at 0"),
        ({"sample_weight": W * 0}, ValueError, "the weights add up to 0; expected more than 0"),
        ({"sample_weight": W * 1e60}, ValueError, "the weights add up to inf"),
        ({"sample_weight": ["a"] * 50}, TypeError, "sample_weight has dtype"),
        ({"class_weight": "even"}, ValueError, "class_weight is 'even'; expected 'balanced'"),
        ({"class_weight": {3: 1.0}}, ValueError, "weight for 3; expected class indices from 0 to"),
        ({"class_weight": {"a": 1.0}}, ValueError, "weight for 'a'"),
        ({"class_weight": {0: -1.0}}, ValueError, "class_weight holds -1 at 0"),
        ({"validation_data": (X, Y, -W)}, ValueError, "sample_weight holds -.* at 0"),
        ({"class_weight": [1.0]}, ValueError, r"class_weight has shape \(1,\); expected \(3,\)"),
        ({"class_weight": {0: 2}, "y": ROWS / 2, "loss": MSELoss()}, ValueError,
         "the targets are no classes; give sample_weight"),
        ({"loss": CrossEntropyLoss([1, 2])}, ValueError, "weight has 2 numbers; expected 3"),
        ({"loss": NLLLoss([1, 2])}, ValueError, "NLLLoss: weight has 2 numbers; expected 3"),
        ({"loss": NLLLoss(), "y": ROWS}, TypeError, "y has dtype float64; expected integers"),
        ({"loss": BCEWithLogitsLoss([1, 2]), "y": ROWS}, ValueError, "pos_weight has 2 numbers"),
        ({"loss": BCEWithLogitsLoss(), "y": ROWS * 2}, ValueError,
         "y ranges from 0 to 2; BCEWithLogitsLoss expects numbers from 0 to 1"),
        ({"clip_norm": -1}, ValueError, "clip_norm is -1; expected a number of 0 or more"),
        ({"clip_value": np.nan}, ValueError, "clip_value is nan"),
        ({"clip_value": "1"}, TypeError, "clip_value is '1'"),
    ],
)  # fmt: skip
def test_fit_refuses(own, changes, error, message):
    heard = []
    with pytest.raises(error, match=message):
        trained(own, callbacks=[heard.append], **changes)
    assert heard == []


def test_evaluate_refuses_weights():
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        fastnn.evaluate(model, X, Y, loss=CrossEntropyLoss(), sample_weight=[1.0])
    with pytest.raises(ValueError, match="sample_weight holds -"):
        fastnn.evaluate(model, X, Y, loss=CrossEntropyLoss(), sample_weight=-W)
