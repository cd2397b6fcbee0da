import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn.data.dataset import Dataset
from fastnn.data.tables.columns import Column, Target
from fastnn.data.tables.schema import Schema
from fastnn.runs import recipe
from fastnn.runs.run import Run
from fastnn.runs.settings import SettingError, Settings, from_plain


def table(x, y, classes=(), columns=None, test=10):
    """A table as a file gives it; the last rows are for the test."""
    x, y = np.asarray(x, np.float32), np.asarray(y)
    columns = columns or [Column(f"c{i}") for i in range(x.shape[1])]
    train = y[:-test]
    target = Target("y", "classification")
    if not classes:
        target = Target("y", "regression", float(train.mean()), float(train.std()) or 1.0)
    wide = x[:-test].astype(np.float64)
    std = wide.std(axis=0)
    return Dataset(
        "table", x[:-test], train, x[-test:], y[-test:], classes, wide.mean(axis=0),
        np.where(std > 0, std, 1.0), None, Schema(tuple(columns), target),
    )  # fmt: skip


def numbers(rows=60, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    return x, 100 + 20 * x[:, 0] + rng.normal(size=rows)


def trained(data, **settings):
    run = Run(Settings(recipe="tables", **settings), data)
    run.train()
    run.evaluate()
    return run


# --------------------------------------------------------------------------- the settings


def test_files_are_trained_by_the_recipe_and_named_data_sets_plainly(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n")
    assert Settings(str(path)).recipe == "tables"
    plain = Settings("digits")
    assert plain.recipe == "plain"
    assert (plain.hidden, plain.optimizer, plain.lr) == ((100,), "sgd", 0.05)
    assert (plain.batch_size, plain.epochs, plain.validation) == (32, 30, 0.1)
    with pytest.raises(SettingError, match="unknown name 'table'"):
        Settings(recipe="table")


def test_settings_of_files_that_know_no_recipe_are_plain(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n")
    assert from_plain({"dataset": str(path)}).recipe == "plain"


def test_each_explicit_setting_overrides_its_part():
    given = {
        "hidden": (7, 5), "optimizer": "sgd", "lr": 0.01, "batch_size": 9, "epochs": 3,
        "schedule": "constant", "validation": 0.25, "activation": "tanh",
    }  # fmt: skip
    run = trained(table(*numbers()), **given)
    for name, value in given.items():
        assert getattr(run.settings, name) == value
    assert (run.networks, len(run.history)) == (1, 3)
    assert [each.shape for each in run.model.parameters()] == [
        (7, 3),
        (7,),
        (5, 7),
        (5,),
        (1, 5),
        (1,),
    ]


def test_an_optimizer_of_another_kind_has_its_own_rate():
    assert Settings(recipe="tables").lr == 0.002
    assert Settings(recipe="tables", optimizer="adam").lr == Settings(optimizer="adam").lr


def test_epochs_fall_as_rows_grow():
    for some in ((10, 1_000, 5_000), (20_000, 100_000, 500_000)):
        epochs = [recipe.sizes(rows, 1)["epochs"] for rows in some]
        assert epochs == sorted(epochs, reverse=True)


# ------------------------------------------------------------------------------ the inputs


def test_numbers_are_scaled_by_median_and_quartiles_and_categories_are_left():
    x = np.c_[[0.0, 1, 2, 3, 4] * 4, np.eye(2)[[0, 1] * 10]]
    columns = [Column("a"), Column("b", ("p", "q"))]
    data = table(x, np.arange(20.0), columns=columns, test=5)
    normalize, clip = recipe.scaling(data, "float32")
    assert_array_equal(normalize.mean, [2, 0, 0])
    assert_array_equal(normalize.std, [2, 1, 1])
    assert repr(clip) == "SmoothClip(bound=3.0)"


def heavy_tailed(rows=400):
    x = np.random.default_rng(0).lognormal(sigma=2.0, size=(rows, 2))
    return x, x[:, 0] + 0.5 * x[:, 1]


def test_the_bound_is_wider_where_what_is_far_out_tells_of_the_target():
    x, y = heavy_tailed()
    bound = recipe.scaling(table(x, y), "float32")[1].bound
    assert bound > 3
    run = trained(table(x, y))
    assert run.model[1].bound == bound
    assert run.scores["r2"] > 0.99
    untold = np.random.default_rng(1).normal(size=len(y))
    assert recipe.scaling(table(x, untold), "float32")[1].bound == 3


def test_half_the_range_is_left_where_the_bound_is_wider():
    x, y = heavy_tailed()
    run = trained(table(x, y))
    low, high = y[:-10].min(), y[:-10].max()
    beyond = (high - low) / 2
    np.testing.assert_allclose(
        [run.model[-1].min_val, run.model[-1].max_val], [low - beyond, high + beyond], rtol=1e-6
    )


def test_pixels_keep_their_common_scale():
    data = Dataset("p", np.ones((5, 4), np.float32), np.zeros(5), np.ones((2, 4), np.float32),
                   np.zeros(2), (), 0.0, 255.0)  # fmt: skip
    assert [repr(each) for each in recipe.scaling(data, "float32")] == [
        "Normalize(mean=0.0, std=255.0)"
    ]


most, least = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
ODD = {
    "constant": lambda x: np.full(len(x), 7.0),
    "huge": lambda x: np.where(x > 0, most, -most),
    "huge for some": lambda x: np.where(np.arange(len(x)) % 9 == 0, most, x),
    "tiny": lambda x: np.where(x > 0, least, 0),
    "a distant outlier": lambda x: np.where(np.arange(len(x)) == 4, 1000.0, x),
    "an outlier in the test": lambda x: np.where(np.arange(len(x)) == len(x) - 1, 1e30, x),
    "mostly one value": lambda x: np.where(np.arange(len(x)) % 20 == 0, x * 1e6, 0.0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("odd", ODD)
def test_no_column_makes_a_number_that_is_not_finite(odd, dtype):
    x, y = numbers()
    x[:, 1] = ODD[odd](x[:, 1])
    run = trained(table(x, y), dtype=dtype)
    assert run.outcome == "finished"
    assert np.isfinite(run.history.val_loss).all()
    assert run.scores["r2"] > 0.9


@pytest.mark.parametrize("rows", [2, 3, 5, 10])
def test_a_few_rows_are_enough(rows):
    x, y = numbers(rows + 10)
    run = trained(table(x, y))
    assert run.outcome == "finished"
    assert np.isfinite(fastnn.predict(run.model, x)).all()


@pytest.mark.parametrize("counts", [(20, 2), (20, 1, 1), (2, 2), (10, 0)])
def test_rare_classes_are_no_obstacle(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.permutation(y), np.zeros(4, np.int64)])
    x = rng.normal(size=(len(y), 2)) + 3 * y[:, None]
    run = trained(table(x, y, tuple("abc"[: len(counts)]), test=4))
    assert run.outcome == "finished"
    assert np.isfinite(run.history.loss).all()
    assert run.test.accuracy > 0.7


def test_rare_classes_may_be_weighted_as_much_as_others():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [40, 8, 2]))
    x = rng.normal(size=(50, 2)) + 2 * y[:, None]
    run = trained(table(x, y, ("a", "b", "c"), test=5), class_weight="balanced")
    assert run.outcome == "finished"
    assert np.isfinite(run.history.val_loss).all()


def test_many_columns_are_no_obstacle():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2_000))
    run = trained(table(x, 5 * x[:, :200].sum(axis=1)), epochs=2)
    assert run.scores["r2"] > -0.2


def test_test_rows_that_validate_choose_no_epoch():
    run = trained(table(*numbers()), validation=0.0, epochs=3)
    assert (run.networks, run.best_epochs, len(run.history)) == (1, [], 3)


def test_training_may_stop_early():
    run = trained(table(*numbers(500)), early_stopping=2, validation=0.2)
    assert len(run.history) == run.best_epochs[0] + 2 < run.settings.epochs


def test_a_rate_that_blows_up_leaves_the_best_finite_weights():
    x, y = numbers(20_000)
    for rows in (60, 20_000):
        run = trained(table(x[:rows], y[:rows]), lr=1e30)
        assert run.outcome == "finished"
        assert run.scores["r2"] > 0.9


def test_nothing_outside_the_targets_range_is_predicted():
    x, y = numbers()
    run = trained(table(x, y))
    low, high = np.float32([y[:-10].min(), y[:-10].max()])
    far = fastnn.predict(run.model, 100 * x)
    assert (far.min(), far.max()) == (low, high)


# --------------------------------------------------------------------------- the networks


@pytest.mark.parametrize("hidden", [(), (8,), (8, 7)])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_network_begins_as_the_linear_model(classes, hidden):
    x, y = load_iris(return_X_y=True)
    if classes == 2:
        x, y = x[y > 0], y[y > 0] - 1
    if not classes:
        y = x[:, 0] + np.sin(x[:, 1])
    data = table(x, y, tuple("abc"[:classes]))
    outputs = classes or 1
    scaling = recipe.scaling(data, "float64")
    layers, columns = list(scaling), 4
    for width in hidden:
        layers += [fastnn.Linear(columns, width, dtype=np.float64), fastnn.ReLU()]
        columns = width
    model = fastnn.Sequential(*layers, fastnn.Linear(columns, outputs, dtype=np.float64))
    assert recipe.begin_linear(model, data.x_train, data.y_train, classes, None)
    scaled = fastnn.predict(fastnn.Sequential(*scaling), x)
    linear = LogisticRegression(tol=1e-3) if classes else RidgeCV(np.logspace(-3, 4, 15))
    whole = make_pipeline(StandardScaler(), linear)
    whole.fit(scaled[: len(data.x_train)], data.y_train)
    got = fastnn.predict(model, x)
    if classes == 0:
        np.testing.assert_allclose(got[:, 0], whole.predict(scaled), rtol=1e-6)
    else:
        shares = np.exp(got) / np.exp(got).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares, whole.predict_proba(scaled), rtol=1e-6, atol=1e-12)


def test_a_network_too_narrow_for_that_stays_as_it_is():
    data = table(*numbers())
    model = fastnn.Sequential(
        *recipe.scaling(data, "float32"), fastnn.Linear(3, 1), fastnn.ReLU(), fastnn.Linear(1, 1)
    )
    before = model.state_dict()
    assert not recipe.begin_linear(model, data.x_train, data.y_train, 0, None)
    for name, array in model.state_dict().items():
        assert_array_equal(array, before[name])


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)])
def test_networks_are_joined_to_the_mean_of_their_outputs(hidden):
    def network(seed):
        rng, layers, columns = np.random.default_rng(seed), [fastnn.SmoothClip()], 3
        for width in hidden:
            layers += [fastnn.Linear(columns, width, seed=rng), fastnn.Tanh()]
            columns = width
        return fastnn.Sequential(*layers, fastnn.Linear(columns, 2, seed=rng))

    networks = [network(seed) for seed in range(4)]
    x = np.random.default_rng(9).normal(size=(20, 3)).astype(np.float32)
    mean = np.mean([fastnn.predict(each, x) for each in networks], axis=0)
    torch.testing.assert_close(fastnn.predict(recipe.joined(networks), x), mean)


@pytest.mark.parametrize("rows", [2, 7, 100, 500])
def test_each_row_is_held_out_once_in_a_round(rows):
    parts = recipe.folds(np.arange(rows) % 3, of_classes=True, seed=0)
    rounds = len(parts) // min(5, rows)
    held_out = np.sort(np.concatenate([held for _, held in parts]))
    assert_array_equal(held_out, np.repeat(np.arange(rows), rounds))
    for train, held in parts:
        assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(rows))


def test_each_fold_has_its_share_of_every_class():
    y = np.array([0] * 50 + [1] * 10)
    for _, held_out in recipe.folds(y, of_classes=True, seed=0):
        assert_array_equal(np.bincount(y[held_out]), [10, 2])


@pytest.mark.parametrize(
    ("losses", "is_better"),
    [
        ([[1.0, 0.5, 0.9], [1.1, 0.7, 0.8], [0.9, 0.3, 0.7]], True),
        ([[1.0, 0.5], [1.0, 1.6], [1.0, 0.7]], False),
        ([[1.0, 1.5], [1.1, 1.7], [0.9, 1.3]], False),
        ([[1.0, 0.5], [1.1, 0.7, 0.8], [0.9, 0.3]], True),
    ],
)
def test_linear_models_stay_unless_networks_are_clearly_better(losses, is_better):
    trained, starts = [], []
    for each in losses:
        network = fastnn.Sequential(fastnn.Linear(2, 1))
        starts.append(fastnn.Sequential(fastnn.Linear(2, 1)).state_dict())
        trained.append(recipe.Trained(network, starts[-1], each, 1))
    ends = [each.network.state_dict() for each in trained]
    for each, start, end in zip(recipe.chosen(trained), starts, ends, strict=True):
        assert each.best_epoch == is_better
        for name, array in each.network.state_dict().items():
            assert_array_equal(array, (end if is_better else start)[name])


def test_what_is_not_linear_is_learned():
    x, _ = numbers(2_000)
    run = trained(table(x, np.abs(x[:, 0]) + x[:, 1] * x[:, 2], test=400))
    assert run.scores["r2"] > 0.9


def test_a_small_table_is_predicted_as_well_as_by_the_linear_model():
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    run = trained(table(x, y, test=88))
    linear = make_pipeline(StandardScaler(), RidgeCV()).fit(x[:-88], y[:-88])
    assert run.scores["r2"] > linear.score(x[-88:], y[-88:]) - 0.03


def test_seeds_decide_and_threads_do_not():
    data = table(*numbers())
    models = [trained(data, **how).model for how in ({}, {"threads": 2}, {"seed": 1})]
    one, same, other = ([p.data.tobytes() for p in model.parameters()] for model in models)
    assert one == same
    assert one != other


def test_a_resumed_run_has_the_bits_of_a_whole_one(tmp_path):
    data, path = table(*numbers()), tmp_path / "checkpoint"
    settings = Settings(recipe="tables", epochs=4)
    whole = Run(settings, data)
    whole.train()
    half = Run(settings, data)

    def interrupt(training):
        if half.model is half._networks[-1] and training.epoch == 3:
            raise KeyboardInterrupt

    half.on_epoch_end = interrupt
    with pytest.raises(KeyboardInterrupt):
        half.train(checkpoint=path, every=2)
    again = Run(settings, data)
    again.train(checkpoint=path, resume=True)
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert one.data.tobytes() == other.data.tobytes()


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_the_model_is_saved_and_goes_to_torch(tmp_path, classes):
    x, y = numbers()
    if classes:
        y = (y > 100).astype(np.int64)
    x[3, 2] = 1e20
    run = trained(table(x, y, classes))
    fastnn.save(run.model, tmp_path / "m")
    x = x.astype(np.float32)
    expected = fastnn.predict(run.model, x)
    assert_array_equal(fastnn.predict(fastnn.load(tmp_path / "m"), x), expected)
    with torch.no_grad():
        theirs = run.model.to_torch()(torch.tensor(x)).numpy()
    torch.testing.assert_close(theirs, expected)
