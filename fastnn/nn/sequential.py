"""Sequential, the chain of layers that is a model."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fastnn._html import table
from fastnn._provided import provided
from fastnn.nn.layer import Layer, as_layer, replaces_methods
from fastnn.nn.parameters import Parameter
from fastnn.nn.seeds import fresh_seed, seed_at
from fastnn.nn.state_dicts import IncompatibleKeys, compare
from kernels.base import arrays

if TYPE_CHECKING:
    import torch

__all__ = ["Sequential"]

_OF_CALLS = "_plans", "_passed", "_step"  # attributes that belong to this very model


class Sequential(Layer):
    """Model that applies layers one after another.

    Names of parameters are torch's: the layer's number, a dot, and the name in the layer
    (`0.weight`). Chains may share layers: what one of them learns, all of them know.

    Parameters
    ----------
    *layers : Layer
        The layers, objects with `forward` and `backward`; a layer with parameters also has
        `named_parameters` (see `fastnn.Layer`) or `parameters`.
    seed : int, optional
        Seed of all initial parameters and of dropout. Layers that were made with a seed of their
        own keep their parameters, and so do those whose parameters were set, loaded or trained
        since. None leaves all layers as they are.

    Attributes
    ----------
    classes : tuple of str
        Names of the output's columns if they are classes; saved in the model file.
    schema : Schema or None
        Conversion of table rows or images to inputs; saved in the model file.

    Raises
    ------
    TypeError
        If an argument is no layer, or a parameter is not a `fastnn.Parameter`.
    ValueError
        If a layer is in the chain twice.

    Examples
    --------
    >>> from fastnn import Linear, ReLU, Sequential
    >>> Sequential(Linear(784, 32), ReLU(), Linear(32, 10))
    Sequential(
      (0): Linear(in_features=784, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=10, bias=True)
    )  # 25,450 parameters
    """

    classes: tuple[str, ...] = ()
    schema: Any = None
    link: str | None = None
    """Function that makes probabilities of the outputs: that of the loss of the last `fit`."""
    _plans: Any = None  # of the forward pass, kept by `fastnn.compiler.forward`
    _passed: Any = None  # rows that a plan was applied to, for `backward`
    _step: Any = None  # plan of the last call in training mode, for `backward`

    def __init__(self, *layers: Layer, seed: int | None = None):
        self.layers = list(layers)
        check_chain(self)
        if seed is not None:
            self._seed_layers(seed, lambda layer: layer.begins_anew())

    def _seed_layers(self, seed: int, wanted: Callable[[Layer], bool]) -> None:
        """Reset the parameters of the layers that are wanted, each by a seed of its own."""
        seed = arrays.count("Sequential: seed", seed, 0, math.inf)
        for place, layer in enumerate(self.layers):
            if isinstance(layer, Sequential):
                layer._seed_layers(seed_at(seed, place), wanted)
            elif isinstance(layer, Layer) and wanted(layer):
                layer.reset_parameters(seed_at(seed, place))

    def reset_parameters(self, seed: int | None = None) -> None:
        """Draw the initial parameters of all layers anew, in place, whatever they are now.

        Parameters
        ----------
        seed : int, optional
            Seed of all of them, of which a layer at a place of the chain always makes the same
            parameters; None draws one.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn import Linear, Sequential
        >>> model, other = Sequential(Linear(3, 2), seed=0), Sequential(Linear(3, 2))
        >>> other.reset_parameters(0)
        >>> np.array_equal(model[0].weight, other[0].weight)
        True
        """
        self._seed_layers(fresh_seed() if seed is None else seed, lambda layer: True)

    def __getstate__(self) -> dict:
        """Return the attributes for copies and pickles, without what makes calls fast."""
        return {each: value for each, value in vars(self).items() if each not in _OF_CALLS}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the output for a batch, as `forward` does.

        Layers are computed together where that is possible, with the same result. In evaluation
        mode they keep nothing for their own `backward` then, but that of the chain works.
        """
        if self.training:
            output = provided("Sequential.step")(self, x)
        else:
            output = provided("Sequential.__call__")(self, x)
        if output is None:
            return self.forward(x)
        self._passed = None if self.training else x
        return output

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the output of the last layer."""
        self._passed = self._step = None
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Add to all gradients; return the gradient with respect to the input."""
        if self._passed is not None:
            Sequential.forward(self, self._passed)
        if self._step is not None:
            below = provided("Sequential.step.backward")(self, gradient)
            if below is not None:
                return below
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return names and parameters of all layers, in order."""
        for place, layer in enumerate(self.layers):
            for name, parameter in _own_parameters(layer):
                yield f"{place}.{name}", parameter

    def parameters(self) -> Iterator[Parameter]:
        """Return the parameters of all layers, in order."""
        for layer in self.layers:
            if hasattr(layer, "parameters"):
                yield from layer.parameters()

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return names and arrays of state that does not learn, of all layers, in order."""
        for place, layer in enumerate(self.layers):
            for name, buffer in _own_buffers(layer):
                yield f"{place}.{name}", buffer

    def zero_grad(self) -> None:
        """Set all gradients to zero."""
        for parameter in self.parameters():
            parameter.gradient_memory.fill(0)

    def train(self, mode: bool = True) -> Sequential:
        """Set the training or evaluation mode of all layers; return the model itself."""
        self.training = mode
        for layer in self.layers:
            if hasattr(layer, "train"):
                layer.train(mode)
        return self

    def _state(self) -> dict[str, np.ndarray]:
        """Return parameters and buffers by name, in torch's order, without copying."""
        found: dict[str, np.ndarray] = {}
        for place, layer in enumerate(self.layers):
            if isinstance(layer, Sequential):
                inner = layer._state()
            else:
                inner = {name: p.data for name, p in _own_parameters(layer)}
                inner |= dict(_own_buffers(layer))
            found |= {f"{place}.{name}": array for name, array in inner.items()}
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers by name; weights are (out, in)."""
        return {name: np.array(array, order="C") for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping, strict: bool = True) -> IncompatibleKeys:
        """Copy parameters and buffers by name from arrays or from a torch state dict.

        Parameters
        ----------
        state : mapping of str to array
            NumPy arrays or torch tensors; numbers of another dtype are converted.
        strict : bool, default True
            Whether the names must be exactly the model's; else only the names that both have are
            copied.

        Returns
        -------
        IncompatibleKeys
            `missing_keys` and `unexpected_keys`, the names that only one of the two has.

        Raises
        ------
        KeyError
            If names are missing or unknown; the message lists every mismatch. This and the other
            errors are raised before anything is copied.
        ValueError
            If shapes differ; the message lists every mismatch.
        TypeError
            If a value holds no numbers.
        """
        own = self._state()
        arrays, keys = compare(own, state, strict)
        for name, array in arrays.items():
            own[name][...] = array
        return keys

    def to_torch(self) -> torch.nn.Sequential:
        """Return a `torch.nn.Sequential` with the same weights; see `fastnn.interop.to_torch`."""
        return provided("Sequential.to_torch")(self)

    def predict_frame(self, frame: Any) -> dict[str, np.ndarray]:
        """Return predictions for the rows of a table, by a model that was trained on one.

        Parameters
        ----------
        frame : frame, mapping, str or path-like
            Table with the columns of the training, in any order; others are ignored. It may be
            all that `fastnn.datasets.load` takes: a frame of pandas or polars, a dict of columns,
            the path of a file.

        Returns
        -------
        dict of str to numpy.ndarray
            Columns (rows,). For numbers: "prediction". For classes: "prediction", the names of the
            most probable classes, "probability", theirs, and "probability of ..." for each class.

        Raises
        ------
        ValueError
            If the model was not trained on a table, or the columns do not fit (`TableError`).

        Warns
        -----
        UnseenCategoryWarning
            For texts that the training rows did not have.

        Examples
        --------
        >>> import fastnn
        >>> model = fastnn.load("runs/wine/model.safetensors")  # doctest: +SKIP
        >>> model.predict_frame("new.csv")["prediction"]  # doctest: +SKIP
        array(['red', 'white'], dtype=object)
        """
        return provided("Sequential.predict_frame")(self, frame)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @overload
    def __getitem__(self, place: int) -> Layer: ...

    @overload
    def __getitem__(self, place: slice) -> Sequential: ...

    def __getitem__(self, place: int | slice) -> Layer | Sequential:
        """Return a layer, or for a slice a chain of these layers, which both chains share."""
        if not isinstance(place, slice):
            return self.layers[place]
        part = Sequential(*self.layers[place])
        part.training = self.training
        return part

    def __repr__(self) -> str:
        inner = (f"({place}): {layer!r}" for place, layer in enumerate(self.layers))
        lines = [textwrap.indent(each, "  ") for each in inner]
        count = sum(parameter.size for parameter in self.parameters())
        return "\n".join(["Sequential(", *lines, f")  # {count:,} parameters"])

    def _repr_html_(self) -> str:
        """Return a table of the layers, which notebooks show."""
        rows = list(_told_layers(self))
        count = sum(parameter.size for parameter in self.parameters())
        return table(["", "layer", "parameters"], rows, f"Sequential, {count:,} parameters")


def check_chain(model: Sequential) -> None:
    """Raise TypeError or ValueError for layers that make no chain; `layers` may be changed."""
    if not isinstance(model.layers, (list, tuple)):
        raise TypeError(f"Sequential: layers is {model.layers!r}; expected a list of layers")
    for place, layer in enumerate(model.layers):
        if isinstance(layer, type) or not (
            callable(getattr(layer, "forward", None)) and callable(getattr(layer, "backward", None))
        ):
            raise TypeError(
                f"Sequential: layer {place} is {layer!r}; expected an object with forward and "
                "backward"
            )
    every = list(every_layer(model.layers))
    if len({id(layer) for layer in every}) < len(every):
        raise ValueError("Sequential: a layer is in the chain twice; make one for each place")
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, Parameter):
            raise TypeError(
                f"Sequential: parameter {name} is a {type(parameter).__name__}; expected a "
                "fastnn.Parameter"
            )


def every_layer(layers: Iterable, within: tuple[Sequential, ...] = ()) -> Iterator:
    """Yield all layers, and for each chain among them also its layers.

    Raises ValueError for a chain that is in itself.
    """
    for layer in layers:
        yield layer
        if isinstance(layer, Sequential):
            if any(layer is chain for chain in within):
                raise ValueError("Sequential: a chain is in itself; expected a chain of others")
            yield from every_layer(layer.layers, (*within, layer))


def model_dtype(model: Sequential) -> np.dtype:
    """Return the dtype that a model computes in, float32 if no layer has one.

    Raises ValueError for a model of two dtypes.
    """
    dtypes = set()
    for layer in flat_layers(model):
        if (told := as_layer(layer).computes_in) is not None:
            dtypes.add(told)
        elif hasattr(layer, "parameters"):
            dtypes |= {parameter.dtype for parameter in layer.parameters()}
    if len(dtypes) > 1:
        raise ValueError("the model mixes float32 and float64 layers; make all of one dtype")
    return dtypes.pop() if dtypes else np.dtype(np.float32)


def flat_layers(model: Sequential) -> list:
    """Return the layers of a model in order, with inner chains replaced by their layers."""
    return [each for each in every_layer(model.layers) if not isinstance(each, Sequential)]


def chained_layers(model: Sequential) -> list:
    """Return the layers of a model in order, as `flat_layers`, but only plain chains taken apart.

    A chain with a `forward` or `backward` of its own is one layer, which may do anything.
    """
    if type(model).forward is not Sequential.forward or (
        type(model).backward is not Sequential.backward or replaces_methods(model)
    ):
        return [model]
    inner = (chained_layers(each) if isinstance(each, Sequential) else [each] for each in model)
    return [layer for layers in inner for layer in layers]


def columns_of(model: Sequential) -> tuple[int | None, int | None]:
    """Return the columns of a model's input and output, each None if no layer fixes them."""
    layers = [as_layer(each) for each in flat_layers(model)]
    taken = [each.columns_in for each in layers if each.columns_in is not None]
    given = [each.columns_out for each in layers if each.columns_out is not None]
    return (taken[0] if taken else None), (given[-1] if given else None)


def _told_layers(model: Sequential, before: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the place, the text and the number of parameters of each layer, inner chains' too."""
    for place, layer in enumerate(model.layers):
        if isinstance(layer, Sequential):
            yield from _told_layers(layer, f"{before}{place}.")
        else:
            size = sum(parameter.size for _, parameter in _own_parameters(layer))
            yield f"{before}{place}", repr(layer), f"{size:,}"


def _own_parameters(layer) -> Iterator[tuple[str, Parameter]]:
    """Return names and parameters of a layer; without `named_parameters`, names are numbers."""
    if hasattr(layer, "named_parameters"):
        yield from layer.named_parameters()
    elif hasattr(layer, "parameters"):
        yield from ((str(place), each) for place, each in enumerate(layer.parameters()))


def _own_buffers(layer) -> Iterator[tuple[str, np.ndarray]]:
    if hasattr(layer, "named_buffers"):
        yield from layer.named_buffers()
