"""How layers tell what they are in torch and in ONNX, while neither is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


@dataclass(frozen=True)
class TorchTwin:
    """The module of torch that does the same as a layer, and how the one is made from the other."""

    module: str
    """Name of its class in `torch.nn`, or in `fastnn.interop.torch`."""
    arguments: tuple[str, ...] = ()
    """Names of what both are made with; the module has attributes of the same names."""
    fixed: Mapping[str, tuple] = field(default_factory=dict)
    """Other arguments of the module, and the values for which the layer does the same."""
    typed: bool = False
    """Whether both are made with a `dtype`."""


class OnnxGraph(Protocol):
    """A graph that layers add their operators to; values in it are known by name."""

    dtype: np.dtype
    """The dtype of the model."""

    def constant(self, name: str, values: ArrayLike) -> str:
        """Keep an array, or a number, of the graph's dtype; return its name."""

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Add an operator; return the name of its result."""

    def cast(self, value: str, dtype: DTypeLike) -> str:
        """Convert a value to a dtype; return the name of the result."""
