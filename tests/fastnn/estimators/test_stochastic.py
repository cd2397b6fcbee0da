"""Solvers sgd and adam: scikit-learn's weights, losses and stops, to rounding."""

import numpy as np
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from fastnn.callbacks import Callback
from fastnn.estimators import MLPClassifier, MLPRegressor

SETTINGS = [
    {},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (9, 20), "activation": "tanh", "batch_size": 32},
    {"activation": "logistic", "alpha": 3.0, "batch_size": 40},
    {"activation": "identity", "shuffle": False, "batch_size": 50},
    {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2, "learning_rate_init": 0.01},
    {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2},
    {"tol": 0.1, "n_iter_no_change": 3},
    {"solver": "sgd"},
    {"solver": "sgd", "momentum": 0.0, "alpha": 0.5},
    {"solver": "sgd", "momentum": 1.0, "nesterovs_momentum": False, "max_iter": 5},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3, "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-1, "n_iter_no_change": 1,
     "nesterovs_momentum": False, "max_iter": 200},
]  # fmt: skip


@pytest.mark.parametrize("name", ["iris", "cancer", "labels", "line", "lines"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_same_as_scikit_learn(name, settings, data, pair, fitted, same):
    kind, X, y = data(name)
    theirs, ours = pair(kind, **{"max_iter": 20, "random_state": 3, **settings})
    same(fitted(theirs, X, y), fitted(ours, X, y))
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["iris", "cancer", "labels", "lines"])
@pytest.mark.parametrize(
    "settings", [{}, {"early_stopping": True}, {"solver": "sgd", "alpha": 1.0}], ids=str
)
def test_weights_of_samples_are_theirs(name, settings, data, pair, fitted, same):
    kind, X, y = data(name)
    weights = np.random.default_rng(0).uniform(0, 3, len(X))
    theirs, ours = pair(kind, max_iter=15, random_state=1, batch_size=33, **settings)
    same(fitted(theirs, X, y, sample_weight=weights), fitted(ours, X, y, sample_weight=weights))


def test_a_batch_without_weight_changes_nothing(data, fitted):
    _, X, y = data("iris")
    weights = np.repeat([1.0, 0.0, 1.0], 50)
    model = MLPClassifier(max_iter=3, batch_size=50, shuffle=False, random_state=0)
    fitted(model, X, y, sample_weight=weights)
    assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("name", ["iris", "line"])
def test_float32_follows_scikit_learn(name, data, pair, fitted):
    kind, X, y = data(name)
    theirs, ours = pair(kind, max_iter=20, random_state=0)
    X = X.astype(np.float32)
    fitted(theirs, X, y)
    fitted(ours, X, y)
    assert ours.coefs_[0].dtype == np.float32
    # Two orders of summation in float32, over 20 steps.
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_as_theirs(solver, data, pair, same):
    for name in ("iris", "line"):
        kind, X, y = data(name)
        theirs, ours = pair(
            kind, solver=solver, random_state=1, batch_size=20, learning_rate="invscaling"
        )
        for part in range(5):
            here = slice(part * 20, part * 20 + 50)
            for each in (theirs, ours):
                classes = {"classes": np.unique(y)} if name == "iris" and not part else {}
                each.partial_fit(X[here], y[here], **classes)
            same(theirs, ours)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_from_weights_that_were_replaced(solver, data, pair, same):
    """With what the optimizer remembers, as in scikit-learn."""
    kind, X, y = data("iris")
    theirs, ours = pair(kind, solver=solver, random_state=1, batch_size=20)
    for part in range(3):
        for each in (theirs, ours):
            each.partial_fit(X, y, **({} if part else {"classes": np.unique(y)}))
            each.coefs_ = [0.9 * coef for coef in each.coefs_]
            each.intercepts_ = [intercept + 0.1 for intercept in each.intercepts_]
        same(theirs, ours)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_follows_another_activation(solver, data, pair, same):
    kind, X, y = data("iris")
    theirs, ours = pair(kind, solver=solver, random_state=1, batch_size=20)
    for activation in ("relu", "relu", "tanh", "logistic"):
        for each in (theirs, ours):
            each.set_params(activation=activation)
            each.partial_fit(X, y, **({} if hasattr(each, "coefs_") else {"classes": [0, 1, 2]}))
        same(theirs, ours)


def test_partial_fit_begins_anew_with_weights_of_other_shapes(data):
    _, X, y = data("iris")
    one = MLPClassifier((5,), random_state=1).partial_fit(X, y, classes=[0, 1, 2])
    one.coefs_ = [np.ones((4, 7)) / 9, np.ones((7, 3)) / 9]
    one.intercepts_ = [np.zeros(7), np.zeros(3)]
    one.hidden_layer_sizes = (7,)
    one.partial_fit(X, y)
    assert one.coefs_[0].shape == (4, 7)


def test_partial_fit_goes_on_after_pickling(data):
    import pickle

    _, X, y = data("iris")
    one = MLPClassifier(random_state=1).partial_fit(X, y, classes=[0, 1, 2])
    other = pickle.loads(pickle.dumps(one))
    for _ in range(3):
        one.partial_fit(X, y)
        other.partial_fit(X, y)
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (MLPClassifier, {}),
        (MLPClassifier, {"solver": "sgd", "dropout": 0.5}),
        (MLPRegressor, {"loss": "poisson"}),
    ],
)
def test_partial_fit_takes_what_it_is_given(make, settings, data):
    """The program of an earlier call is kept for as many samples, and starts anew."""
    _, X, y = data("iris")
    classes = {"classes": np.unique(y)} if make is MLPClassifier else {}
    one, other = (
        make(random_state=1, batch_size=20, **settings).partial_fit(X, y, **classes)
        for _ in range(2)
    )
    for call, rows in enumerate((50, 50, 30, 50, 50, 50, 50)):
        x, t = np.array(X[9 * call :][:rows]), np.array(y[9 * call :][:rows])
        weights = {"sample_weight": np.arange(rows) + 1.0} if call == 3 else {}
        for each in (one, other):
            each.partial_fit(x, t, **weights)
            if call == 4:
                each.coefs_[0][...] *= 0.5
            if call == 5:
                each.set_params(alpha=0.1, batch_size=15)
        x[:], t[:] = 0, t[0]
        assert call == 3 or one._last is not None
        other._last = None
    assert one.loss_curve_ == other.loss_curve_
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_warm_start_is_theirs(settings, data, pair, fitted, same):
    kind, X, y = data("iris")
    theirs, ours = pair(kind, max_iter=8, random_state=1, warm_start=True, **settings)
    for _ in range(3):
        fitted(theirs, X, y)
        fitted(ours, X, y)
    same(theirs, ours, 1e-6, 1e-8)  # three runs of lbfgs, one after the other


def test_weights_that_are_set_are_trained_further(data, fitted):
    _, X, y = data("iris")
    model = fitted(MLPClassifier(max_iter=2, random_state=0, warm_start=True), X, y)
    model.coefs_ = [np.zeros_like(each) for each in model.coefs_]
    model.intercepts_ = [np.zeros_like(each) for each in model.intercepts_]
    assert (model.predict_proba(X) == 1 / 3).all()
    fitted(model, X, y)
    assert not model.coefs_[0].any()  # behind units that are 0, nothing learns but the last bias
    assert model.intercepts_[-1].any()


def test_it_prints_what_they_print(data, pair, fitted, capsys):
    kind, X, y = data("iris")
    for settings in ({}, {"early_stopping": True}, {"learning_rate": "adaptive", "tol": 0.1}):
        said = []
        for each in pair(kind, solver="sgd", verbose=True, random_state=0, max_iter=40,
                         n_iter_no_change=2, **settings):  # fmt: skip
            fitted(each, X, y)
            said.append(capsys.readouterr().out)
        assert said[0] == said[1] != ""


def test_warnings_are_theirs(data):
    _, X, y = data("iris")
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        MLPClassifier(max_iter=2).fit(X, y)
    with pytest.warns(UserWarning, match="`batch_size` less than 1 or larger"):
        MLPClassifier(max_iter=2, batch_size=1000).partial_fit(X, y, classes=[0, 1, 2])


def test_weights_that_are_not_finite_are_an_error(data):
    _, X, y = data("line")
    model = MLPRegressor(solver="sgd", learning_rate_init=1e200)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, y)


def test_a_training_that_diverges_keeps_the_best_weights(data):
    X, y = data("iris")[1:]
    settings = {
        "hidden_layer_sizes": 100, "activation": "identity", "solver": "sgd", "max_iter": 20,
        "learning_rate_init": 1, "early_stopping": True, "random_state": 0,
    }  # fmt: skip
    with pytest.warns(ConvergenceWarning, match="Training diverged in iteration"):
        ours = MLPRegressor(**settings).fit(X, y)
    with np.errstate(all="ignore"):
        theirs = sklearn.neural_network.MLPRegressor(**settings).fit(X, y)
    scores = ours.validation_scores_
    assert np.isnan([scores[-1], ours.loss_curve_[-1], ours.validation_loss_curve_[-1]]).all()
    assert_allclose(scores, theirs.validation_scores_[: len(scores)], rtol=1e-6)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)
    ours.set_params(restore_best_weights=False)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.fit(X, y)


class _Interrupter(Callback):
    def on_epoch_end(self, training):
        if training.epoch == 3:
            raise KeyboardInterrupt


def test_an_interruption_keeps_the_weights(data):
    _, X, y = data("iris")
    model = MLPClassifier(callbacks=[_Interrupter()])
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert model.predict(X).shape == y.shape


# ------------------------------------------------------------------ what theirs lacks


def test_callbacks_hear_of_epochs_and_may_stop(data):
    _, X, y = data("iris")
    heard = []

    def stop(training):
        heard.append((training.epoch, training.history.loss[-1], training.history.val_loss[-1]))
        training.stop = training.epoch == 4

    model = MLPClassifier(callbacks=[stop], early_stopping=True).fit(X, y)
    assert model.n_iter_ == 4
    expected = zip(range(1, 5), model.loss_curve_, model.validation_loss_curve_, strict=True)
    assert heard == list(expected)


def test_validation_loss_is_that_of_the_held_back_samples(data, fitted):
    for name in ("iris", "cancer", "labels", "line"):
        kind, X, y = data(name)
        model = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind](
            early_stopping=True, max_iter=30, random_state=0, restore_best_weights=False
        )
        fitted(model, X, y)
        curve = model.validation_loss_curve_
        assert len(curve) == model.n_iter_ == len(model.validation_scores_)
        assert curve[-1] < curve[0]
    # The last is the regression: the same samples again, by scikit-learn's own split.
    from sklearn.model_selection import train_test_split

    rng = np.random.RandomState(0)
    rng.uniform(size=X.shape[1] * 100), rng.uniform(size=100 + 100 + 1)
    _, held, _, truth = train_test_split(X, y, random_state=rng, test_size=0.1)
    assert curve[-1] == pytest.approx(0.5 * np.mean((model.predict(held) - truth) ** 2))


def test_last_weights_are_kept_where_the_best_are_not_wanted(data, fitted):
    _, X, y = data("cancer")
    settings = {"early_stopping": True, "random_state": 0, "max_iter": 60}
    best = fitted(MLPClassifier(**settings), X, y)
    last = fitted(MLPClassifier(restore_best_weights=False, **settings), X, y)
    assert best.validation_scores_ == last.validation_scores_
    assert (best.coefs_[0] != last.coefs_[0]).any()


def test_dropout_is_repeatable_and_hinders_fitting_by_heart(data, fitted):
    _, X, y = data("iris")
    settings = {"random_state": 0, "max_iter": 200, "hidden_layer_sizes": (50, 50)}
    plain = fitted(MLPClassifier(**settings), X, y)
    one, other = (fitted(MLPClassifier(dropout=0.5, **settings), X, y) for _ in range(2))
    assert one.loss_curve_ == other.loss_curve_
    assert one.loss_ > plain.loss_
    assert one.score(X, y) > 0.9
    np.testing.assert_array_equal(one.predict_proba(X), one.predict_proba(X))


def test_threads_do_not_change_the_bits(data, fitted):
    _, X, y = data("cancer")
    found = [
        fitted(MLPClassifier(threads=count, max_iter=5, random_state=0), X, y) for count in (1, 3)
    ]
    assert found[0].loss_curve_ == found[1].loss_curve_
    for one, other in zip(found[0].coefs_, found[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
