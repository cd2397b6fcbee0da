"""The layout of a model: its layers and their settings, as far as a program fixes them."""

from __future__ import annotations

from fastnn.nn.layer import as_layer
from fastnn.nn.sequential import Sequential, every_layer


class Layout:
    """What a program fixes of a model, quick to compare with the model later.

    These are the layers and their settings, and in `training` also their backward passes, and
    which parameters decay and learn. It refers to the layers, and not to the model, which may
    keep it.
    """

    def __init__(self, model: Sequential, training: bool = False):
        every = list(every_layer(model.layers))
        self._layers, self._training = model.layers[:], training
        self._own, self._own_backward = (each in vars(model) for each in ("forward", "backward"))
        self._chains = [(each, each.layers[:]) for each in every if isinstance(each, Sequential)]
        attributes = [getattr(each, "__dict__", {}) for each in every]
        self._methods = [
            (each, each.__class__, own, "forward" in own)
            for each, own in zip(every, attributes, strict=True)
        ]
        self._backwards = [(each, "backward" in each) for each in attributes if training]
        self._modes = [each for each in every if hasattr(each, "training")]
        settings = ((each.settings, each.settings()) for each in map(as_layer, every))
        self._settings = [(current, found) for current, found in settings if found]
        parameters = model.parameters() if training else ()
        self._parameters = [(each, each.decays, each.requires_grad) for each in parameters]

    def holds(self, model: Sequential) -> bool:
        """Return True if the model still has these layers with these settings."""
        if model.layers != self._layers or ("forward" in model.__dict__) != self._own:
            return False
        if self._training and ("backward" in model.__dict__) != self._own_backward:
            return False
        for chain, layers in self._chains:
            if chain.layers != layers:
                return False
        for layer, kind, attributes, replaced in self._methods:
            if layer.__class__ is not kind or ("forward" in attributes) != replaced:
                return False
        for attributes, replaced in self._backwards:
            if ("backward" in attributes) != replaced:
                return False
        for settings, found in self._settings:
            if settings() != found:
                return False
        for parameter, decays, learns in self._parameters:
            if parameter.decays != decays or parameter.requires_grad != learns:
                return False
        return True

    def evaluates(self) -> bool:
        """Return True if none of the layers is in training mode."""
        for layer in self._modes:
            if layer.training:
                return False
        return True
