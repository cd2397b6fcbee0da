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
    from fastnn.compiler.runner import get_num_threads, set_num_threads
    from fastnn.files.models import load, save
    from fastnn.interop import from_torch, to_onnx
    from fastnn.nn.activations import ELU, GELU, LeakyReLU, LogSoftmax, SiLU, Softplus
    from fastnn.nn.layers import (
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
    from fastnn.nn.losses import (
        BCEWithLogitsLoss,
        CrossEntropyLoss,
        HuberLoss,
        L1Loss,
        MSELoss,
        NLLLoss,
        PoissonNLLLoss,
    )
    from fastnn.nn.norms import BatchNorm1d, LayerNorm
    from fastnn.nn.parameters import Parameter
    from fastnn.nn.sequential import Sequential
    from fastnn.optim.optimizers import SGD, Adam, AdamW
    from fastnn.training.callbacks import Callback
    from fastnn.training.evaluation import Evaluation, evaluate, predict
    from fastnn.training.fit import Training, fit
    from fastnn.training.history import History
    from fastnn.training.steps import NonFiniteLossError

_HOMES = {
    "nn.activations": ("ELU", "GELU", "LeakyReLU", "LogSoftmax", "SiLU", "Softplus"),
    "training.callbacks": ("Callback",),
    "files.models": ("load", "save"),
    "training.evaluation": ("Evaluation", "evaluate", "predict"),
    "training.history": ("History",),
    "interop": ("from_torch", "to_onnx"),
    "nn.layers": (
        "Dropout", "Flatten", "Identity", "Layer", "Linear", "Normalize", "ReLU", "Sigmoid",
        "Softmax", "Tanh",
    ),
    "nn.losses": (
        "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "NLLLoss",
        "PoissonNLLLoss",
    ),
    "nn.norms": ("BatchNorm1d", "LayerNorm"),
    "optim.optimizers": ("SGD", "Adam", "AdamW"),
    "nn.parameters": ("Parameter",),
    "compiler.runner": ("get_num_threads", "set_num_threads"),
    "nn.sequential": ("Sequential",),
    "training.steps": ("NonFiniteLossError",),
    "training.fit": ("Training", "fit"),
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
