"""The layout of a model: its layers and their settings, as far as a program fixes them."""

from __future__ import annotations

from fastnn.nn.layer import as_layer
from fastnn.nn.sequential import Sequential, every_layer


class Layout:
    """What a program fixes of a model, quick to compare with the model later.

    These are the layers and their settings, and in `training` also their backward passes, and
    which parameters decay. It refers to the layers, and not to the model, which may keep it.
    """

    def __init__(self, model: Sequential, training: bool = False):
        every = list(every_layer(model.layers))
        self._layers, self._names = model.layers[:], ("forward", "backward")[: 1 + training]
        self._own = [each in vars(model) for each in self._names]
        self._chains = [(each, each.layers[:]) for each in every if isinstance(each, Sequential)]
        self._every, self._kinds = every, list(map(type, every))
        attributes = [vars(each) for each in every if hasattr(each, "__dict__")]
        self._methods = [(each, name, name in each) for each in attributes for name in self._names]
        self._modes = [each for each in every if hasattr(each, "training")]
        settings = ((each.settings, each.settings()) for each in map(as_layer, every))
        self._settings = [(current, found) for current, found in settings if found]
        parameters = model.parameters() if training else ()
        self._decays = [(each, each.decays) for each in parameters]

    def holds(self, model: Sequential) -> bool:
        """Return True if the model still has these layers with these settings."""
        if model.layers != self._layers or [*map(type, self._every)] != self._kinds:
            return False
        for name, replaced in zip(self._names, self._own, strict=True):
            if (name in model.__dict__) != replaced:
                return False
        for chain, layers in self._chains:
            if chain.layers != layers:
                return False
        for attributes, name, replaced in self._methods:
            if (name in attributes) != replaced:
                return False
        for settings, found in self._settings:
            if settings() != found:
                return False
        for parameter, decays in self._decays:
            if parameter.decays != decays:
                return False
        return True

    def evaluates(self) -> bool:
        """Return True if none of the layers is in training mode."""
        for layer in self._modes:
            if layer.training:
                return False
        return True
