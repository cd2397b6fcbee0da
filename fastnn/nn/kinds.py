"""The registry of fastnn's layers by name: the public classes of the files of layers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from fastnn.nn import activations, dropout, linear, normalize, norms, shapes, softmax
from fastnn.nn.layer import Layer, replaces_methods
from fastnn.nn.sequential import Sequential, flat_layers


def public(home: ModuleType) -> dict[str, Any]:
    """Return the public classes of a module by name, in the order of their definition."""
    return {name: kind for name, kind in vars(home).items() if name in home.__all__}


LAYERS: dict[str, type[Layer]] = {
    name: kind
    for family in (linear, activations, softmax, norms, dropout, shapes, normalize)
    for name, kind in public(family).items()
}
"""Classes of layers by name, without base classes."""


def is_known(layer: object) -> bool:
    """Return True for a layer of fastnn that computes as its class says.

    False for one of a derived class, and for one that was given a `forward` or `backward` of its
    own.
    """
    return type(layer) in LAYERS.values() and not replaces_methods(layer)


def dropouts(model: Sequential) -> list[dropout.Dropout]:
    """Return the Dropout layers of a model, in order."""
    return [layer for layer in flat_layers(model) if isinstance(layer, dropout.Dropout)]
