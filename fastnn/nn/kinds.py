"""The layers that fastnn knows by name: the public classes of the files that define some."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from fastnn.nn import activations, dropout, linear, normalize, norms, shapes, softmax
from fastnn.nn.layer import Layer


def public(home: ModuleType) -> dict[str, Any]:
    """Return the public classes of a module by name, in the order of their definition."""
    return {name: kind for name, kind in vars(home).items() if name in home.__all__}


LAYERS: dict[str, type[Layer]] = {
    name: kind
    for family in (linear, activations, softmax, norms, dropout, shapes, normalize)
    for name, kind in public(family).items()
}
"""Classes by name, those that others are made from left out."""


def is_known(layer: object) -> bool:
    """Return whether a layer is one of fastnn's own, not of a class derived from one."""
    return type(layer) in LAYERS.values()
