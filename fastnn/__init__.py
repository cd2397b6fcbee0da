"""fastnn: small neural networks on the CPU, trained in the blink of an eye.

Names are loaded when first used, so that `import fastnn` and the command line's
`--help` do not wait for numba.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fastnn import _kernels_check

if TYPE_CHECKING:
    from fastnn.activations import ELU, GELU, LeakyReLU, LogSoftmax, SiLU, Softplus
    from fastnn.callbacks import Callback
    from fastnn.checkpoint import load, save
    from fastnn.evaluation import Evaluation, evaluate, predict
    from fastnn.history import History
    from fastnn.interop import from_torch, to_onnx
    from fastnn.layers import (
        Dropout,
        Flatten,
        Identity,
        Layer,
        Linear,
        Normalize,
        ReLU,
        Sigmoid,
        Softmax,
        Tanh,
    )
    from fastnn.losses import (
        BCEWithLogitsLoss,
        CrossEntropyLoss,
        HuberLoss,
        L1Loss,
        MSELoss,
        NLLLoss,
        PoissonNLLLoss,
    )
    from fastnn.norms import BatchNorm1d, LayerNorm
    from fastnn.optimizers import SGD, Adam, AdamW
    from fastnn.parameters import Parameter
    from fastnn.runner import get_num_threads, set_num_threads
    from fastnn.sequential import Sequential
    from fastnn.steps import NonFiniteLossError
    from fastnn.training import Training, fit

_HOMES = {
    "activations": ("ELU", "GELU", "LeakyReLU", "LogSoftmax", "SiLU", "Softplus"),
    "callbacks": ("Callback",),
    "checkpoint": ("load", "save"),
    "evaluation": ("Evaluation", "evaluate", "predict"),
    "history": ("History",),
    "interop": ("from_torch", "to_onnx"),
    "layers": (
        "Dropout", "Flatten", "Identity", "Layer", "Linear", "Normalize", "ReLU", "Sigmoid",
        "Softmax", "Tanh",
    ),
    "losses": (
        "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "NLLLoss",
        "PoissonNLLLoss",
    ),
    "norms": ("BatchNorm1d", "LayerNorm"),
    "optimizers": ("SGD", "Adam", "AdamW"),
    "parameters": ("Parameter",),
    "runner": ("get_num_threads", "set_num_threads"),
    "sequential": ("Sequential",),
    "steps": ("NonFiniteLossError",),
    "training": ("Training", "fit"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("callbacks", "datasets", "estimators", "initializers", "plots", "schedules")

__all__ = [*_HOME_OF, *_MODULES]

try:
    __version__ = version("fastnn")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

_kernels_check.check()


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"fastnn.{_HOME_OF[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fastnn.{name}")
    else:
        raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
