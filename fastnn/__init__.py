"""fastnn: small neural networks on the CPU, trained in the blink of an eye.

Names are loaded when first used, so that `import fastnn` and the command line's
`--help` do not wait for numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastnn import _kernels_check, _provided
from fastnn._version import __version__

if TYPE_CHECKING:  # the same modules as below, for type checkers
    from fastnn.compiler.runner import *
    from fastnn.files.models import *
    from fastnn.interop import *
    from fastnn.nn.activations import *
    from fastnn.nn.dropout import *
    from fastnn.nn.layer import *
    from fastnn.nn.linear import *
    from fastnn.nn.losses import *
    from fastnn.nn.normalize import *
    from fastnn.nn.norms import *
    from fastnn.nn.parameters import *
    from fastnn.nn.seeds import *
    from fastnn.nn.sequential import *
    from fastnn.nn.shapes import *
    from fastnn.nn.softmax import *
    from fastnn.optim.optimizers import *
    from fastnn.training.callbacks.callback import *
    from fastnn.training.evaluation import *
    from fastnn.training.fit import *
    from fastnn.training.history import *
    from fastnn.training.prediction import *
    from fastnn.training.predictor import *
    from fastnn.training.steps import *
    from fastnn.training.training import *

_HOMES = (
    "nn.activations",
    "nn.dropout",
    "nn.layer",
    "nn.linear",
    "nn.losses",
    "nn.normalize",
    "nn.norms",
    "nn.parameters",
    "nn.seeds",
    "nn.sequential",
    "nn.shapes",
    "nn.softmax",
    "optim.optimizers",
    "files.models",
    "interop",
    "compiler.runner",
    "training.callbacks.callback",
    "training.evaluation",
    "training.fit",
    "training.history",
    "training.prediction",
    "training.predictor",
    "training.steps",
    "training.training",
)
"""Modules whose public names, those in their `__all__`, are fastnn's."""
_MODULES = ("callbacks", "datasets", "estimators", "initializers", "plots", "schedules", "tables")


_kernels_check.check()
_provided.HOMES |= {
    "History.plot": "fastnn.plots:curves",
    "Sequential.__call__": "fastnn.compiler.forward:output_of",
    "Sequential.step": "fastnn.compiler.by_hand:output_of",
    "Sequential.step.backward": "fastnn.compiler.by_hand:gradient_of",
    "Sequential.predict_frame": "fastnn.runs.predicting:predict_frame",
    "Sequential.to_torch": "fastnn.interop:to_torch",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        value: Any = [each for home in map(_home, _HOMES) for each in home.__all__] + [*_MODULES]
    elif name in _MODULES:
        value = importlib.import_module(f"fastnn.{name}")
    else:
        value = _find(name)
    globals()[name] = value
    return value


def _find(name: str) -> Any:
    """Return the value of a public name from the module that defines it."""
    if not name.startswith("_"):
        for home in map(_home, _HOMES):
            if name in home.__all__:
                return getattr(home, name)
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def _home(name: str) -> Any:
    return importlib.import_module(f"fastnn.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
