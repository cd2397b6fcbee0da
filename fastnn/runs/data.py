"""Data of a run, from its settings."""

from __future__ import annotations

from typing import Any

from fastnn.data import datasets
from fastnn.data.dataset import Dataset
from fastnn.data.names import is_path
from fastnn.runs.settings import OF_TABLES, Settings


def read_data(settings: Settings, table: Any = None) -> Dataset:
    """Return the data set, or the table in a file, that settings name; raise as `load` does."""
    options: dict[str, Any] = {"subset": settings.subset}
    if is_path(settings.dataset):
        own = "target", *OF_TABLES, "test", "dtype"
        options |= {name: getattr(settings, name) for name in own}
        options |= {"missing": settings.missing or None, "seed": settings.seed_of_split}
    return datasets.load(settings.dataset if table is None else table, **options)
