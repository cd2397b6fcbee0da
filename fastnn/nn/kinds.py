"""The layers that fastnn knows by name: what files may hold, and what tells its shape."""

from __future__ import annotations

from fastnn.nn import activations, layers, norms
from fastnn.nn.activations import Rectifier
from fastnn.nn.layers import Activation, Layer

LAYERS: dict[str, type[Layer]] = {
    name: kind
    for home in (layers, activations, norms)
    for name, kind in vars(home).items()
    if isinstance(kind, type)
    and issubclass(kind, Layer)
    and not name.startswith("_")
    and kind not in (Layer, Activation, Rectifier)
}
"""Classes by name, those that others are made from left out."""
