"""Descriptions of layers' equivalents in torch, ONNX and C, which are not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


@dataclass(frozen=True)
class TorchTwin:
    """The module of torch that is equivalent to a layer, and the arguments to convert one."""

    module: str
    """Name of the module's class in `torch.nn` or in `fastnn.interop.torch`."""
    arguments: tuple[str, ...] = ()
    """Names of the arguments of both constructors, which are also attributes of the module."""
    fixed: Mapping[str, tuple] = field(default_factory=dict)
    """Other arguments of the module, and their values for which the layer is equivalent."""
    typed: bool = False
    """True if both constructors take a `dtype`."""


class OnnxGraph(Protocol):
    """A graph that layers add their operators to, and whose values have names."""

    dtype: np.dtype
    """The dtype of the model."""

    def constant(self, name: str, values: ArrayLike) -> str:
        """Add an array or a number as a constant of the graph's dtype; return its name."""

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator; return the name of its result."""

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Convert a value to a dtype; return the name of the result."""


class CGraph(OnnxGraph, Protocol):
    """A C function that layers add their operators to, for one row."""

    def function(self, name: str, x: str, *parameters: float) -> str:
        """Apply a function of the kernels to each element of x; return the name of the result."""
