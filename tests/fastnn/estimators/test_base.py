"""At home in scikit-learn: its checks of estimators, its parameters, its tools."""

import copy
import inspect
import io
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
import sklearn.neural_network
from packaging.version import Version
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

from fastnn.estimators import MLPClassifier, MLPRegressor
from fastnn.estimators.base import BaseMLP

OWN = ("dropout", "callbacks", "dtype", "threads", "restore_best_weights")


# As many iterations as scikit-learn gives its own; it lists no expected failures for them,
# and there are none here.
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier(max_iter=100, solver="lbfgs"),
        MLPRegressor(max_iter=100, solver="sgd", tol=1e-2, random_state=42),
    ],
    ids=repr,
)
def test_weights_stand_for_repetitions(estimator):
    # With these parameters scikit-learn checks its own.
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_parameters_are_theirs_and_our_own(kind, pair):
    theirs, ours = (inspect.signature(type(each)).parameters for each in pair(kind))
    own = [*(["class_weight"] if kind == "MLPClassifier" else []), *OWN]
    assert list(ours) == [*theirs, *own]
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default
        assert ours[name].kind == parameter.kind


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_fitted_attributes_are_theirs(kind, settings, data, pair, fitted):
    _, X, y = data("iris")
    theirs, ours = (fitted(each, X, y) for each in pair(kind, max_iter=5, **settings))

    def public(estimator):
        return {name for name in vars(estimator) if name.endswith("_") and name[0] != "_"}

    lacking = set() if settings.get("solver") == "lbfgs" else {"validation_loss_curve_"}
    assert public(ours) - lacking == public(theirs)
    assert lacking <= public(ours)
    assert type(ours.n_iter_) is type(theirs.n_iter_)


@pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_samples(container, solver, data, pair, fitted, same):
    kind, X, y = data("digits")
    X = container(np.where(np.abs(X[:300]) < 1, 0.0, X[:300]))
    theirs, ours = pair(kind, solver=solver, max_iter=5, random_state=0)
    same(fitted(theirs, X, y[:300]), fitted(ours, X, y[:300]), 1e-7, 1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)


def test_many_samples_are_predicted_in_parts(data, fitted):
    _, X, y = data("iris")
    model = fitted(MLPClassifier(max_iter=3, random_state=0), X, y)
    many = np.tile(X, (60, 1))
    np.testing.assert_array_equal(model.predict_proba(many)[-150:], model.predict_proba(X))
    sparse = model.predict_proba(scipy.sparse.csr_array(many))
    np.testing.assert_array_equal(sparse, model.predict_proba(many))


def _by_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each)), _by_joblib],
    ids=["deepcopy", "pickle", "joblib"],
)
def test_copies_predict_the_same_and_are_their_own(copied, solver, data, fitted):
    _, X, y = data("iris")
    model = fitted(MLPClassifier(solver=solver, max_iter=5, random_state=0, warm_start=True), X, y)
    other, before = copied(model), model.predict_proba(X)
    np.testing.assert_array_equal(other.predict_proba(X), before)
    fitted(other, X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_clones_have_parameters_and_no_weights(data, fitted):
    _, X, y = data("iris")
    model = fitted(MLPClassifier(max_iter=3, dropout=0.1, dtype="float32"), X, y)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "coefs_")


def test_grid_search_in_processes_and_threads(data):
    _, X, y = data("iris")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=150))
    grid = {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__dropout": [0.0, 0.2]}
    found = []
    for backend, jobs in (("sequential", 1), ("threading", 2), ("loky", 2)):
        with joblib.parallel_backend(backend, n_jobs=jobs):
            search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
            with pytest.warns():  # of iterations that do not suffice
                search.fit(X, y)
        found.append(search.cv_results_["mean_test_score"])
        assert search.best_score_ > 0.9
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_set_output_and_names_of_features(data, fitted):
    pandas = pytest.importorskip("pandas")
    _, X, y = data("iris")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    scaler = StandardScaler().set_output(transform="pandas")
    pipeline = fitted(make_pipeline(scaler, MLPClassifier(max_iter=5, random_state=0)), frame, y)
    np.testing.assert_array_equal(pipeline[-1].feature_names_in_, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="feature names"):
        pipeline[-1].predict(frame.rename(columns={"a": "z"}))


@pytest.mark.skipif(
    Version(sklearn.__version__) < Version("1.8"),
    reason="scikit-learn routed no weights to the score of a pipeline",
)
def test_weights_are_routed(data):
    _, X, y = data("iris")
    weights = np.where(y == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=60, random_state=0, learning_rate_init=0.01)
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        found = cross_validate(
            make_pipeline(scaler, model), X, y, params={"sample_weight": weights},
            return_estimator=True, error_score="raise",
        )  # fmt: skip
        assert all(0 not in each.predict(X) for each in found["estimator"])
        request = MLPClassifier().set_partial_fit_request(classes=True, sample_weight=False)
        assert request.get_metadata_routing().partial_fit.requests["classes"] is True


def test_in_other_estimators(data, fitted):
    _, X, y = data("iris")
    bag = BaggingClassifier(MLPClassifier(max_iter=50, learning_rate_init=0.01), n_estimators=3)
    assert fitted(bag, X, y).score(X, y) > 0.9
    _, X, y = data("line")
    model = TransformedTargetRegressor(
        MLPRegressor(random_state=0, learning_rate_init=0.01), transformer=StandardScaler()
    )
    assert fitted(model, X, y).score(X, y) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "iris", "wine", "cancer", "line"])
def test_scores_are_theirs(name, data, pair, fitted):
    from sklearn.model_selection import train_test_split

    kind, X, y = data(name)
    scores = np.empty((5, 2))
    for seed in range(5):
        train, test, labels, truth = train_test_split(X, y, random_state=seed)
        for side, each in enumerate(pair(kind, random_state=seed)):
            scores[seed, side] = fitted(each, train, labels).score(test, truth)
    assert abs(np.diff(scores.mean(axis=0))) < 0.005


# ----------------------------------------------------------------- without scikit-learn's checks

ROWS = np.random.default_rng(3).standard_normal((60, 4))
LABELS = {
    "classes": np.arange(60) % 3,
    "texts": np.array(["no", "yes"])[np.arange(60) % 2],
    "labels": np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], axis=1).astype(int),
    "numbers": ROWS[:, 0] * 2,
}


def estimator_of(kind):
    return MLPRegressor if kind == "numbers" else MLPClassifier


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x.astype(np.float32),
        np.asfortranarray,
        lambda x: x[::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.round(x).astype(int),
        lambda x: x.tolist(),
    ],
)
def test_calls_skip_only_checks_that_find_nothing(kind, convert, monkeypatch):
    y, found = LABELS[kind], []
    for plain in (True, False):
        if not plain:
            monkeypatch.setattr(BaseMLP, "_is_plain", lambda self, X: False)
        one = estimator_of(kind)(hidden_layer_sizes=5, random_state=0)
        classes = {} if kind == "numbers" else {"classes": np.unique(y)}
        one.partial_fit(ROWS, y, **classes)
        for part in (slice(0, 1), slice(5, 40)):
            one.partial_fit(convert(ROWS[part]), y[part])
        found.append([one.predict(convert(ROWS)), *one.coefs_, one.loss_curve_])
    for fast, slow in zip(*found, strict=True):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize(
    ("X", "error"),
    [
        (np.full((2, 4), np.nan), ValueError),
        (np.full((2, 4), np.inf), ValueError),
        (np.ones((2, 3)), ValueError),
        (np.ones((0, 4)), ValueError),
        (np.ones(4), ValueError),
        (np.ones((2, 4), complex), ValueError),
    ],
)
def test_samples_that_do_not_fit_are_refused_as_before(kind, X, error):
    one = estimator_of(kind)(hidden_layer_sizes=5, random_state=0)
    with pytest.raises(NotFittedError):
        one.predict(ROWS)
    one.fit(ROWS, LABELS[kind])
    with pytest.raises(error):
        one.predict(X)
    with pytest.raises(error):
        one.partial_fit(X, LABELS[kind][: len(X)])


def test_labels_that_do_not_fit_are_refused_as_before():
    one = MLPClassifier((5,), random_state=0).fit(ROWS, LABELS["classes"])
    for y in ([5], [-1], [0.5], ["a"], [0, 1], [np.nan]):
        with pytest.raises(ValueError, match=r"."):
            one.partial_fit(ROWS[:1], np.array(y))
    other = MLPRegressor(hidden_layer_sizes=5, random_state=0).fit(ROWS, LABELS["numbers"])
    for numbers in ([np.nan], [np.inf], [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"."):
            other.partial_fit(ROWS[:1], np.array(numbers))


def test_names_of_columns_are_still_compared():
    frame = pytest.importorskip("pandas").DataFrame(ROWS, columns=list("abcd"))
    one = MLPClassifier((5,), random_state=0).fit(frame, LABELS["classes"])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        one.predict(ROWS)


THEIRS = {
    MLPClassifier: sklearn.neural_network.MLPClassifier,
    MLPRegressor: sklearn.neural_network.MLPRegressor,
}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
@pytest.mark.parametrize("fitted", [np.float32, np.float64, np.int64, np.float16])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64, np.int8, np.float16])
def test_predictions_have_their_dtype_and_digits(method, fitted, given):
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(50, 3))
    y = (X.sum(axis=1) > 0) * 1
    kind = MLPRegressor if method == "predict" else MLPClassifier
    settings = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    ours = kind(**settings).fit(X.astype(fitted), y)
    theirs = THEIRS[kind](**settings).fit(X.astype(fitted), y)
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    found, expected = (getattr(each, method)(X.astype(given)) for each in (ours, theirs))
    assert found.dtype == expected.dtype
    bound = 64 * np.finfo(found.dtype).eps  # absolute, too: sums of terms about 1 may cancel out
    np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)


def test_a_dtype_that_was_asked_for_stays():
    X = np.random.default_rng(0).normal(size=(50, 3))
    ours = MLPRegressor(hidden_layer_sizes=4, max_iter=2, dtype="float32")
    assert ours.fit(X, X[:, 0]).predict(X).dtype == np.float32


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("sizes", [7, (4, 4), (), [5]])
def test_a_warm_start_of_other_sizes(kind, sizes):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    estimator = kind(hidden_layer_sizes=(4,), warm_start=True, max_iter=2)
    estimator.fit(X, y).set_params(hidden_layer_sizes=[4]).fit(X, y)
    before = copy.deepcopy(estimator.coefs_)
    estimator.set_params(hidden_layer_sizes=sizes)
    message = r"hidden_layer_sizes is .*, and the previous call had \[4\]; expected the same"
    for again in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=message):
            again(X, y)
    assert all(map(np.array_equal, before, estimator.coefs_))
    estimator.set_params(warm_start=False).fit(X, y)
    assert len(estimator.coefs_) == np.size(sizes) + 1


def test_a_warm_start_of_another_loss():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = np.exp(X[:, 0])
    estimator = MLPRegressor(hidden_layer_sizes=4, warm_start=True, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="would be 'exp', and the previous call had 'id"):
        estimator.set_params(loss="poisson").fit(X, y)


@pytest.mark.parametrize("first", [{"solver": "lbfgs"}, {"early_stopping": True}, {}])
@pytest.mark.parametrize("then", [{"early_stopping": True}, {}, {"solver": "sgd"}])
def test_a_warm_start_begins_the_curves_that_it_lacks(first, then):
    X = np.random.default_rng(0).normal(size=(40, 3))
    estimator = MLPRegressor(hidden_layer_sizes=4, warm_start=True, max_iter=2, **first)
    estimator.fit(X, X[:, 0])
    estimator.set_params(**{"solver": "adam", "early_stopping": False} | then).fit(X, X[:, 0])
    assert len(estimator.loss_curve_) >= 2
    assert (estimator.validation_scores_ is not None) == ("early_stopping" in then)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("row", range(0, 40, 5))
def test_early_stopping_without_any_weight(kind, row):
    """All weights of the rows to validate on are 0, or all those of the rows to train on."""
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    estimator = kind(hidden_layer_sizes=4, max_iter=2, early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero"):
        estimator.fit(X, y, sample_weight=np.arange(40) == row)
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero"):
        THEIRS[kind](max_iter=2).fit(X, y, sample_weight=np.zeros(40))  # their words
