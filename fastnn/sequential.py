"""A chain of layers, and its parameters by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastnn.layers import Layer
from fastnn.parameters import Parameter, place_together

if TYPE_CHECKING:
    from fastnn.schema import Schema


class Sequential(Layer):
    """Layers one after another; their parameters are moved into one block of memory.

    Names of parameters are torch's: the layer's number, a point, the layer's own name
    (`0.weight`). A layer is anything with `forward` and `backward`; one with parameters
    has `named_parameters` (see `fastnn.Layer`) or `parameters`. Raises TypeError for
    other things and ValueError for a layer that is there twice.

    `classes` names the columns of the output, where they are classes; `schema` says how rows of
    a table, or pictures, become inputs. Both are kept in the model file.
    """

    classes: tuple[str, ...] = ()
    schema: Schema | None = None

    def __init__(self, *layers: Layer):
        for place, layer in enumerate(layers):
            if isinstance(layer, type) or not (
                callable(getattr(layer, "forward", None))
                and callable(getattr(layer, "backward", None))
            ):
                raise TypeError(
                    f"Sequential: layer {place} is {layer!r}; expected an object with forward "
                    "and backward"
                )
        every = list(every_layer(layers))
        if len({id(layer) for layer in every}) < len(every):
            raise ValueError("Sequential: a layer is in the chain twice; make one for each place")
        self.layers = list(layers)
        for name, parameter in self.named_parameters():
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"Sequential: parameter {name} is a {type(parameter).__name__}; expected a "
                    "fastnn.Parameter"
                )
        place_together(self.parameters())

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Give the output of the last layer."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add to all gradients; gives the gradient with respect to the input."""
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters of all layers, in order."""
        for place, layer in enumerate(self.layers):
            for name, parameter in _own_parameters(layer):
                yield f"{place}.{name}", parameter

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Names and arrays that are kept but do not learn, of all layers, in order."""
        for place, layer in enumerate(self.layers):
            for name, buffer in getattr(layer, "named_buffers", lambda: ())():
                yield f"{place}.{name}", buffer

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters():
            parameter.gradient_memory[:] = 0

    def train(self, mode: bool = True) -> Sequential:
        """Tell all layers whether they are being trained; gives the model itself."""
        self.training = mode
        for layer in self.layers:
            if hasattr(layer, "train"):
                layer.train(mode)
        return self

    def _state(self) -> dict[str, np.ndarray]:
        """Parameters and buffers by name, as they are."""
        found: dict[str, np.ndarray] = {name: p.data for name, p in self.named_parameters()}
        return found | dict(self.named_buffers())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name, weights as (out, in)."""
        return {name: np.array(array, order="C") for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping, strict: bool = True) -> None:
        """Copy parameters and buffers from arrays (or torch tensors) by name.

        Raises KeyError, unless `strict` is false, when names are missing or unknown,
        and ValueError when a shape differs; then nothing has been copied.
        """
        own = self._state()
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if strict and (missing or unknown):
            raise KeyError(
                f"state does not fit the model: missing {sorted(missing)}, "
                f"unknown {sorted(unknown)}"
            )
        values = {
            name: np.asarray(state[name], own[name].dtype) for name in own.keys() & state.keys()
        }
        for name, value in values.items():
            if value.shape != own[name].shape:
                raise ValueError(f"{name} has shape {own[name].shape}; the state has {value.shape}")
        for name, value in values.items():
            own[name][...] = value

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, place: int) -> Layer:
        return self.layers[place]

    def __repr__(self) -> str:
        lines = [f"  ({place}): {layer!r}" for place, layer in enumerate(self.layers)]
        count = sum(parameter.size for parameter in self.parameters())
        return "\n".join(["Sequential(", *lines, f")  # {count:,} parameters"])


def every_layer(layers: Iterable) -> Iterator:
    """Layers, and those of the chains among them."""
    for layer in layers:
        yield layer
        if isinstance(layer, Sequential):
            yield from every_layer(layer.layers)


def _own_parameters(layer) -> Iterator[tuple[str, Parameter]]:
    """Names and parameters of a layer, which may give `parameters` without names."""
    if hasattr(layer, "named_parameters"):
        yield from layer.named_parameters()
    elif hasattr(layer, "parameters"):
        yield from ((str(place), each) for place, each in enumerate(layer.parameters()))
