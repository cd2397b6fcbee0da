"""Conversion of chains from and to `torch.nn.Sequential`.

Each layer class says in `torch_twin` which module it corresponds to. Weights are copied by state
dicts, whose names are the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from fastnn.nn.kinds import LAYERS
from fastnn.nn.layer import Layer
from fastnn.nn.sequential import Sequential
from fastnn.nn.twins import TorchTwin


class Normalize(nn.Module):
    """Module for y = (x - mean) / std, column by column, as `fastnn.Normalize`.

    The input may be bytes. Mean and std are preprocessing, so they are not in the state dict.
    """

    def __init__(self, mean, std, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        for name, values in (("shift", self.mean), ("factor", 1.0 / self.std)):
            self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (x - mean) / std in the module's dtype."""
        return (x.to(self.shift.dtype) - self.shift) * self.factor

    def extra_repr(self) -> str:
        """Return mean and std for the repr."""
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"


class SmoothClip(nn.Module):
    """Module for y = x / sqrt(1 + (x / bound)^2), as `fastnn.SmoothClip`."""

    def __init__(self, bound: float = 3.0):
        super().__init__()
        self.bound = bound

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the clipped input; quotients are kept so small that their squares are finite."""
        share = (x / self.bound).clamp(-1e12, 1e12)
        return share / torch.sqrt(share * share + 1.0) * self.bound

    def extra_repr(self) -> str:
        """Return the bound for the repr."""
        return f"bound={self.bound}"


_OWN: dict[str, type[nn.Module]] = {"Normalize": Normalize, "SmoothClip": SmoothClip}
"""Modules that torch lacks, by name."""


def _module_of(twin: TorchTwin) -> type[nn.Module]:
    return _OWN.get(twin.module) or getattr(nn, twin.module)


_MODULES = {kind: _module_of(twin) for kind in LAYERS.values() if (twin := kind.torch_twin)}
"""Modules by layer classes, for those with a module in torch."""
_LAYERS = {module: kind for kind, module in _MODULES.items()}
_DTYPES: dict[torch.dtype, type] = {torch.float32: np.float32, torch.float64: np.float64}


# ---------------------------------------------------------------------------- from torch


def from_torch(module: nn.Sequential) -> Sequential:
    """Return a chain of the same layers as a module; see `fastnn.from_torch`."""
    if not _is_chain(module, nn.Sequential):
        raise TypeError(
            f"from_torch: got a {type(module).__name__}; expected a torch.nn.Sequential"
        )
    reading = _Reading(_dtype(module))
    parts = reading.parts(module, (), "")
    reading.refuse()
    model = Sequential(*parts)
    model.load_state_dict(reading.state)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(reading.state[name].requires_grad)
    model.training = module.training
    return model


class _Reading:
    """Conversion of modules into layers; collects everything that cannot be converted."""

    def __init__(self, dtype: type) -> None:
        self._dtype = dtype
        self.state: dict[str, torch.Tensor] = {}
        self._unknown: list[str] = []
        self._unfit: list[str] = []
        self._names: dict[int, str] = {}

    def parts(self, chain: nn.Sequential, place: tuple[int, ...], name: str) -> list[Layer]:
        """Return the layers of a chain's modules, given the chain's place and torch's name."""
        self._check_hooks(chain, name or "the chain")
        # named_children() would leave out repeated modules.
        return [
            self._part(module, (*place, number), f"{name}.{key}" if name else key)
            for number, (key, module) in enumerate(chain._modules.items())
        ]

    def _part(self, module: nn.Module, place: tuple[int, ...], name: str) -> Layer:
        if _is_chain(module, nn.Sequential):
            chain = Sequential(*self.parts(module, place, name))
            chain.training = module.training
            return chain
        kind = _LAYERS.get(type(module))
        if kind is None or kind.torch_twin is None:
            self._unknown.append(f"{name} ({type(module).__name__})")
            return Layer()
        self._check_hooks(module, name)
        arguments, problems = _arguments(module, kind.torch_twin)
        if kind.torch_twin.typed:
            arguments.setdefault("dtype", self._dtype)
        if not problems:
            try:
                layer = kind(**arguments).train(module.training)
            except (TypeError, ValueError) as error:
                problems = [str(error)]
        if problems:
            self._unfit += [f"{name} ({type(module).__name__}): {each}" for each in problems]
            return Layer()
        self._take_state(module, ".".join(map(str, place)), name)
        return layer

    def _take_state(self, module: nn.Module, place: str, name: str) -> None:
        for key, tensor in module.state_dict(keep_vars=True).items():
            first = self._names.setdefault(id(tensor), f"{name}.{key}")
            if first != f"{name}.{key}":
                self._unfit.append(f"{name}.{key} is {first}, and layers share no weights")
            self.state[f"{place}.{key}"] = tensor

    def _check_hooks(self, module: nn.Module, name: str) -> None:
        if module._forward_hooks or module._forward_pre_hooks:
            self._unfit.append(f"{name} ({type(module).__name__}): it has hooks on forward")

    def refuse(self) -> None:
        """Raise an error if anything cannot be converted; the message names everything."""
        problems = list(self._unfit)
        if self._unknown:
            known = ", ".join(["Sequential", *(module.__name__ for module in _LAYERS)])
            problems.insert(
                0, f"no layer for {', '.join(self._unknown)}; there are some for {known}"
            )
        if problems:
            kind = TypeError if self._unknown else ValueError
            raise kind(f"from_torch: {'; '.join(problems)}")


def _arguments(module: nn.Module, twin: TorchTwin) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of a module's layer, and a list of settings that layers lack."""
    problems = [
        f"{name} is {getattr(module, name)!r}; expected {allowed[0]!r}"
        for name, allowed in twin.fixed.items()
        if getattr(module, name) not in allowed
    ]
    arguments = {name: getattr(module, name) for name in twin.arguments}
    if "bias" in arguments:
        arguments["bias"] = arguments["bias"] is not None
    tensors = _floating(module)
    for tensor in tensors:
        if tensor.dtype not in _DTYPES:
            problems.append(f"its numbers are {tensor.dtype}; expected float32 or float64")
        elif tensor.is_meta:
            problems.append("it has no numbers: it lies on the device meta")
        elif tensor.dtype is not tensors[0].dtype:
            problems.append("it mixes float32 and float64")
        else:
            arguments["dtype"] = _DTYPES[tensor.dtype]
    return arguments, list(dict.fromkeys(problems))


def _floating(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *(each for each in module.buffers() if each.is_floating_point())]


def _dtype(chain: nn.Module) -> type:
    """Return the dtype of a chain's first tensor, for layers that have no tensors."""
    return next(
        (_DTYPES[each.dtype] for each in _floating(chain) if each.dtype in _DTYPES), np.float32
    )


def _is_chain(part: Any, kind: Any) -> bool:
    """Return whether a module or layer is a chain; derived classes must not override forward."""
    return isinstance(part, kind) and type(part).forward is kind.forward


# ------------------------------------------------------------------------------ to torch


def to_torch(model: Sequential) -> nn.Sequential:
    """Return a module of the same layers as a chain; see `fastnn.interop.to_torch`."""
    if not _is_chain(model, Sequential):
        raise TypeError(f"to_torch: got a {type(model).__name__}; expected a fastnn.Sequential")
    if unknown := list(_unknown(model, "")):
        raise TypeError(
            f"to_torch: no module of torch for {', '.join(unknown)}; there are some for "
            f"{', '.join(['Sequential', *(kind.__name__ for kind in _MODULES)])}"
        )
    with torch.random.fork_rng(devices=[]):  # random initial weights, which are overwritten
        chain = _module(model)
    chain.load_state_dict({n: torch.from_numpy(array) for n, array in model.state_dict().items()})
    learning = {name: each.requires_grad for name, each in model.named_parameters()}
    for name, tensor in chain.named_parameters():
        tensor.requires_grad_(learning[name])
    return chain


def _unknown(chain: Any, name: str) -> Iterator[str]:
    """Yield the places and classes of layers that torch lacks."""
    for number, layer in enumerate(chain):
        place = f"{name}.{number}" if name else str(number)
        if _is_chain(layer, Sequential):
            yield from _unknown(layer, place)
        elif type(layer) not in _MODULES:
            yield f"{place} ({type(layer).__name__})"


def _module(layer: Any) -> Any:
    """Return a layer's module, with random weights."""
    if isinstance(layer, Sequential):
        module = nn.Sequential(*map(_module, layer))
    else:
        twin, described = layer.torch_twin, layer.describe()
        arguments = {name: described[name] for name in twin.arguments}
        arguments |= {name: allowed[0] for name, allowed in twin.fixed.items()}
        if twin.typed:
            arguments["dtype"] = getattr(torch, layer.dtype.name)
        module = _MODULES[type(layer)](**arguments)
    module.training = layer.training
    return module
