import json

import numpy as np
import pytest
from sklearn.metrics import r2_score

import fastnn
from fastnn import datasets
from fastnn.data.dataset import Dataset
from fastnn.data.tables.columns import Number
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.target import Target
from fastnn.runs.folds import Folds, fold
from fastnn.runs.run import Run
from fastnn.runs.settings import SettingError, Settings

RNG = np.random.default_rng(0)
N = 97
SETTINGS = Settings(epochs=3, batch_size=8, seed=1)


def table(classes=("a", "b", "c")):
    """A table whose first column is the number of the row."""
    x = np.stack([np.arange(N), RNG.normal(5, 2, N)], 1).astype(np.float32)
    y = (
        np.sort(RNG.choice(len(classes), N, p=[0.6, 0.3, 0.1]))
        if classes
        else 100 * x[:, 1].astype(float)
    )
    order = RNG.permutation(N)
    x, y = x[order], y[order]
    task = "classification" if classes else "regression"
    schema = Schema((Number("row"), Number("size")), Target("y", task))
    return Dataset("t", x[:80], y[:80], x[80:], y[80:], classes, 0.0, 1.0, schema=schema)


@pytest.mark.parametrize("count", [2, 5, 10, N])
@pytest.mark.parametrize("classes", [("a", "b", "c"), ()])
def test_each_row_is_held_out_once(count, classes):
    parts = Folds(table(classes), count).parts
    assert len(parts) == count
    np.testing.assert_array_equal(
        np.sort(np.concatenate([part[1] for part in parts])), np.arange(N)
    )
    assert np.ptp([len(held_out) for _, held_out in parts]) <= 1
    for part in parts:
        np.testing.assert_array_equal(np.sort(np.concatenate(part)), np.arange(N))


def test_each_fold_has_every_class_nearly_in_proportion():
    data = table()
    y = np.concatenate([data.y_train, data.y_test])
    for _, held_out in Folds(data, 5).parts:
        assert np.abs(np.bincount(y[held_out], minlength=3) - np.bincount(y) / 5).max() < 2


def test_the_seed_decides_the_folds():
    data = table()
    first, again, other = (
        [held_out for _, held_out in Folds(data, 5, seed).parts] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


@pytest.mark.parametrize("classes", [("a", "b", "c"), ()])
def test_a_fold_trains_on_the_other_rows_and_learns_their_means(classes):
    data = table(classes)
    kept, held_out = Folds(data, 4).parts[1]
    part = fold(data, kept, held_out)
    whole = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_array_equal(part.x_test, whole[held_out])
    rows = np.concatenate([part.x_train[:, 0], part.x_test[:, 0]])
    np.testing.assert_array_equal(np.sort(rows), np.arange(N))
    y = dict(zip(whole[:, 0], np.concatenate([data.y_train, data.y_test]), strict=True))
    assert [y[row] for row in rows] == [*part.y_train, *part.y_test]
    np.testing.assert_allclose(part.mean, part.x_train.mean(axis=0, dtype=float))
    np.testing.assert_allclose(part.std, part.x_train.std(axis=0, dtype=float))
    if not classes:
        assert part.schema.target.mean == pytest.approx(part.y_train.mean())
        assert part.schema.target.std == pytest.approx(part.y_train.std())


def trained(data):
    run = Run(SETTINGS, data)
    run.train()
    return run.model


def test_each_fold_is_an_ordinary_run_of_the_settings():
    data = table(())
    folds = Folds(data, 3)
    assert len(list(folds.train(trained))) == 3
    for rows, found in zip(folds.parts, folds.scores, strict=True):
        run = Run(SETTINGS, part := fold(data, *rows))
        run.train()
        told = fastnn.predict(run.model, part.x_test)[:, 0].astype(float)
        assert found["r2"] == r2_score(part.y_test, told)
    r2 = [each["r2"] for each in folds.scores]
    assert folds.summary()["r2"] == pytest.approx((np.mean(r2), np.std(r2, ddof=1)))
    plain = json.loads(json.dumps(folds.to_dict()))
    assert plain["r2"] == {
        "folds": r2,
        "mean": np.mean(r2),
        "std": pytest.approx(np.std(r2, ddof=1)),
    }


def test_a_score_that_a_fold_lacks_has_no_mean():
    data = table()
    data.y_train[:], data.y_test[:] = 0, 0
    data.y_train[0] = 1  # is held out in one fold alone, and class 2 nowhere
    folds = Folds(data, 3)
    list(folds.train(trained))
    assert np.isnan(folds.summary()["roc_auc"]).all()
    assert np.isfinite(folds.summary()["accuracy"]).all()


@pytest.mark.parametrize("count", [-1, 0, 1, N + 1])
def test_another_number_of_folds_is_an_error(count):
    with pytest.raises(SettingError, match=f"{count}; expected 2 to 97, the rows there are"):
        Folds(table(), count)


# rows that belong together, and rows in time

PERSON = np.arange(N) % 13
FRAME = {
    "row": np.arange(N) + 0.5,
    "size": RNG.normal(5, 2, N),
    "person": [f"p{each}" for each in PERSON],
    "year": 2000 + np.arange(N) // 9,
    "y": np.where(PERSON % 3, "a", "b"),
}


def rows_of(x):
    return np.rint(x[:, 0] - 0.5).astype(int)


@pytest.mark.parametrize("target", ["y", "size"])
def test_no_group_is_in_two_folds(target):
    data = datasets.load(FRAME, target=target, group="person", drop=["year"])
    folds = Folds(data, 4)
    owners = []
    for parts in folds.parts:
        part = fold(data, *parts)
        kept, held_out = ({*PERSON[rows_of(x)]} for x in (part.x_train, part.x_test))
        assert not kept & held_out
        assert kept | held_out == {*PERSON}
        groups = part.groups  # whatever number each has
        assert len({*zip(groups, PERSON[rows_of(part.x_train)], strict=True)}) == len(kept)
        if target == "y":
            assert {*part.y_test} == {0, 1}
        owners += held_out
    assert sorted(owners) == [*range(13)]
    assert len(list(folds.train(trained))) == 4


@pytest.mark.parametrize("share", [None, 0.2])
def test_validation_rows_are_of_other_groups(share):
    data = datasets.load(FRAME, target="size", group="person", drop=["year"])
    for table in (data, fold(data, *Folds(data, 4).parts[0])):
        run = Run(Settings(epochs=1, validation=share, recipe="tables"), table)
        for place in range(run.networks):
            (x, _), (held_out, _) = run._rows_of(place)
            owners = [{*PERSON[rows_of(part)]} for part in (x, held_out)]
            assert all(owners)
            assert not set.intersection(*owners)
        assert (run.networks > 1) == (share is None)


def test_a_single_group_is_divided_to_validate():
    data = datasets.load(FRAME | {"person": ["p"] * 80 + ["q"] * 17}, target="size", group="person")
    for share in (None, 0.2):
        run = Run(Settings(epochs=1, validation=share, recipe="tables"), data)
        assert all(len(part) for part, _ in run.data)


def test_folds_of_times_are_trained_on_what_is_before():
    data = datasets.load(FRAME, target="size", time="year", drop=["person", "y"], test=0.1)
    folds = Folds(data, 5)
    seen = []
    for kept, held_out in folds.parts:
        part = fold(data, kept, held_out)
        rows = [rows_of(x) for x in (part.x_train, part.x_test)]
        assert max(rows[0] // 9) < min(rows[1] // 9)
        seen += [*rows[1]]
        (x, _), (later, _) = Run(Settings(epochs=1, recipe="tables"), part).data
        assert rows_of(x).max() < rows_of(later).min()
    assert len(seen) == len({*seen}) == N - len(folds.parts[0][0])
    assert len(list(folds.train(trained))) == 5


def test_more_folds_than_groups_or_times_are_an_error():
    data = datasets.load(FRAME, target="size", group="person")
    with pytest.raises(
        SettingError, match="14; expected 2 to 13, the groups of 'person' there are"
    ):
        Folds(data, 14)
    data = datasets.load(FRAME, target="size", time="year")
    with pytest.raises(SettingError, match="11; expected 2 to 10, since 'year' has 11 different"):
        Folds(data, 11)
    assert len(Folds(data, 10).parts) == 10
