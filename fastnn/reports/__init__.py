"""The five reports that fastnn grew from, each run again by fastnn and by PyTorch from one start.

Every experiment is a file here with a `run(study)`; what they share lies beside them.
"""

from __future__ import annotations

import importlib
from types import ModuleType

EXPERIMENTS = {
    "single-layer": "single_layer",
    "two-layer": "two_layer",
    "digits-tanh": "digits_tanh",
    "disk": "disk",
    "mnist-linear": "mnist_linear",
}
"""Modules by the names of their experiments, in the order in which `all` runs them."""


def load(name: str) -> ModuleType:
    """Give the module of an experiment; raises KeyError for a name that is not in `EXPERIMENTS`."""
    return importlib.import_module(f"fastnn.reports.{EXPERIMENTS[name]}")
