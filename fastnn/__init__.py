"""fastnn: small neural networks on the CPU, trained in the blink of an eye.

Names are loaded when first used, so that `import fastnn` and the command line's
`--help` do not wait for numba. Type checkers find them in `__init__.pyi`.
"""

from __future__ import annotations

import importlib
from typing import Any

from fastnn import _kernels_check, _provided

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
    elif name == "__version__":  # which takes longer to find than all else here
        value = importlib.import_module("fastnn._version").__version__
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
