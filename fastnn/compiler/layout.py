"""The layout of a model: its layers and their settings, as far as a program fixes them."""

from __future__ import annotations

from fastnn.nn.kinds import is_known
from fastnn.nn.layer import as_layer
from fastnn.nn.sequential import Sequential, chained_layers, every_layer


def layout(model: Sequential) -> list:
    """Return all that a program of training fixes of a model, to be compared by `==`.

    These are the layers and their settings, and which parameters decay.
    """
    layers = chained_layers(model)
    settings = ((layer, is_known(layer), as_layer(layer).settings()) for layer in layers)
    return [*settings, *((parameter, parameter.decays) for parameter in model.parameters())]


class Layout:
    """What a program of a forward pass fixes of a model of fastnn's layers, quick to compare.

    It refers to the layers, and not to the model, which may keep it.
    """

    def __init__(self, model: Sequential):
        every = list(every_layer(model.layers))
        self._layers = model.layers[:]
        self._chains = [(each, each.layers[:]) for each in every if isinstance(each, Sequential)]
        self._methods = [vars(each) for each in every]
        self._every = [each for each in every if hasattr(each, "training")]
        settings = ((each.settings, each.settings()) for each in map(as_layer, every))
        self._settings = [(current, found) for current, found in settings if found]

    def holds(self, model: Sequential) -> bool:
        """Return True if the model still has these layers with these settings."""
        if model.layers != self._layers or "forward" in model.__dict__:
            return False
        for chain, layers in self._chains:
            if chain.layers != layers:
                return False
        for attributes in self._methods:
            if "forward" in attributes:
                return False
        for settings, found in self._settings:
            if settings() != found:
                return False
        return True

    def evaluates(self) -> bool:
        """Return True if none of the layers is in training mode."""
        for layer in self._every:
            if layer.training:
                return False
        return True
