"""Experiments of five reports, repeated by fastnn and by PyTorch from the same initial weights.

Every experiment is a module with a function `run(study)`; the other modules are shared.
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
"""Modules by the names of their experiments, in the order in which `fastnn reproduce all` runs."""


def load(name: str) -> ModuleType:
    """Return the module of an experiment; raise KeyError for a name not in `EXPERIMENTS`."""
    return importlib.import_module(f"fastnn.reports.{EXPERIMENTS[name]}")
