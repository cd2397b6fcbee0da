"""What callbacks of the estimators change is followed, or refused."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn import Callback, Dropout, Linear
from fastnn.estimators import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
SOLVERS = ["sgd", "adam", "lbfgs"]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class At(Callback):
    """Calls a function after an epoch, or when the next one begins."""

    def __init__(self, change, epoch=2, event="on_epoch_end"):
        self.change, self.epoch, self.event = change, epoch, event

    def on_train_begin(self, training):
        if self.epoch == 0:
            self.change(training)

    def on_epoch_end(self, training):
        if self.event == "on_epoch_end" and training.epoch == self.epoch:
            self.change(training)

    def on_epoch_begin(self, training):
        if self.event == "on_epoch_begin" and training.epoch == self.epoch + 1:
            self.change(training)


def fitted(solver, *callbacks, kind=MLPClassifier, y=Y, **settings):
    given = {"max_iter": 5, "random_state": 0, "hidden_layer_sizes": 10} | settings
    return kind(solver=solver, callbacks=callbacks, **given).fit(X, y)


def bits(model):
    return [array.tobytes() for array in [*model.coefs_, *model.intercepts_]]


def set_weights(training):
    rng = np.random.default_rng(3)
    for parameter in training.model.parameters():
        parameter.data = rng.normal(size=parameter.shape)


def setting(**values):
    def change(training):
        for name, value in values.items():
            setattr(training.optimizer, name, value)

    return change


def drop(training):
    for layer in training.model:
        if isinstance(layer, Dropout):
            layer.p = 0.6


def decay(training):
    for parameter in training.model.parameters():
        parameter.decays = False


FOLLOWED = {
    "weights": set_weights,
    "dropout": drop,
    "decays": decay,
    "label_smoothing": lambda t: setattr(t.loss, "label_smoothing", 0.5),
    "classes": lambda t: setattr(t.loss, "weight", [1, 2, 3]),
}
OF_OPTIMIZERS = {
    "lr": setting(lr=0.1),
    "steps": setting(steps=100),
    "eps": setting(eps=0.1),
    "beta2": setting(beta2=0.5),
    "clip_value": setting(clip_value=1e-4),
    "memory": lambda t: setattr(
        t.optimizer, "memory", {k: a / 2 for k, a in t.optimizer.memory.items()}
    ),
}


@pytest.mark.parametrize("event", ["on_epoch_end", "on_epoch_begin"])
@pytest.mark.parametrize("name", {**FOLLOWED, **OF_OPTIMIZERS})
def test_changes_have_an_effect(name, event):
    change = {**FOLLOWED, **OF_OPTIMIZERS}[name]
    settings = {"dropout": 0.2, "early_stopping": True, "alpha": 1.0, "restore_best_weights": False}
    assert bits(fitted("adam", At(change, 2, event), **settings)) != bits(
        fitted("adam", **settings)
    )


@pytest.mark.parametrize("name", sorted(set(FOLLOWED) - {"dropout"}))
def test_lbfgs_begins_anew_where_a_callback_changes_the_model(name):
    """All iterations count."""
    change = FOLLOWED[name]
    model = fitted("lbfgs", At(change), alpha=1.0)
    assert model.n_iter_ == 5
    assert bits(model) != bits(fitted("lbfgs", alpha=1.0))
    if name == "weights":
        assert bits(model) == bits(fitted("lbfgs", At(change, 0), alpha=1.0, max_iter=3))


@pytest.mark.parametrize("name", ["weights", "steps", "memory", "lr"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_change_is_as_one_between_calls(name, solver):
    """`partial_fit` trains an epoch a call, by a program of its own."""
    change = {**FOLLOWED, **OF_OPTIMIZERS}[name]
    seen = []
    settings = {"solver": solver, "shuffle": False, "random_state": 0, "hidden_layer_sizes": 10}
    parts = MLPClassifier(callbacks=[At(seen.append, 0)], **settings)
    for epoch in range(5):
        parts.partial_fit(X, Y, classes=np.unique(Y))
        if epoch == 1:
            change(seen[-1])
    whole = MLPClassifier(callbacks=[At(change)], max_iter=5, **settings).fit(X, Y)
    assert bits(parts) == bits(whole)


def test_changed_moments_and_rates_are_as_in_scikit_learn():
    settings = {"solver": "adam", "shuffle": False, "random_state": 0, "hidden_layer_sizes": 10}
    theirs = Theirs(**settings)
    for epoch in range(5):
        theirs.partial_fit(X, Y, classes=np.unique(Y))
        if epoch == 1:
            adam = theirs._optimizer
            adam.learning_rate_init, adam.epsilon, adam.beta_2, adam.t = 0.02, 1e-3, 0.9, 50
    change = setting(lr=0.02, eps=1e-3, beta2=0.9, steps=50)
    ours = MLPClassifier(callbacks=[At(change)], max_iter=5, **settings).fit(X, Y)
    for one, other in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-11)


REFUSED = {
    "exchanged": lambda t: t.model.layers.__setitem__(0, Linear(4, 10, dtype=np.float64)),
    "appended": lambda t: t.model.layers.append(Linear(3, 3, dtype=np.float64)),
    "removed": lambda t: t.model.layers.pop(1),
    "moved": lambda t: t.model.layers.reverse(),
    "all": lambda t: setattr(t.model, "layers", []),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_other_layers_are_refused(name, solver, early_stopping):
    with pytest.raises(ValueError, match="a callback changed the layers of the estimator's model"):
        fitted(solver, At(REFUSED[name]), early_stopping=early_stopping)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_clipping_by_norm_is_refused(solver):
    with pytest.raises(ValueError, match="a callback set clip_norm"):
        fitted(solver, At(setting(clip_norm=1.0)))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_scale_of_gradients_stays(solver):
    """The optimizer's setter of `clip_norm` resets it, and multi-output losses need their own."""
    y = np.stack([X[:, 0], X[:, 1], X[:, 2]], axis=1)
    one, other = (
        fitted(solver, *callbacks, kind=MLPRegressor, y=y)
        for callbacks in ((), (At(setting(clip_norm=None)),))
    )
    assert bits(one) == bits(other)


def test_lbfgs_ends_where_a_callback_changes_weights_every_time():
    def shrink(training):
        for parameter in training.model.parameters():
            parameter.data *= 0.999
            seen.append(training.epoch)

    seen = []
    model = fitted("lbfgs", shrink, max_iter=20)
    assert model.n_iter_ == max(seen) == 20
    assert np.isfinite(model.loss_)
    assert fitted("lbfgs", shrink, max_iter=20, max_fun=6).n_iter_ < 8


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_chains_of_the_layers_change_nothing(solver):
    def rewrap(training):
        fastnn.Sequential(*training.model.layers, fastnn.Softmax())

    assert bits(fitted(solver, rewrap)) == bits(fitted(solver))


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_that_are_not_finite_are_refused(solver):
    def spoil(training):
        training.model[0].weight.data[0, 0] = np.nan

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="non-finite"):
            fitted(solver, At(spoil))
