"""Training in PyTorch with a model, a loss and an optimizer made from fastnn's."""

from __future__ import annotations

import inspect
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastnn.interop.torch import Normalize, to_torch
from fastnn.interop.torch_steps import accuracy, train_epoch
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential, columns_of, model_dtype
from fastnn.optim.optimizer import Optimizer

_EVALUATION_ROWS = 1024
_CLIPPING = ("clip_value", "clip_norm")


class TorchTraining:
    """PyTorch's model, loss and optimizer made from fastnn's, with copies of the weights.

    `Normalize` layers at the start of the model are applied to all samples once, and are not part
    of `module`. Raises TypeError for layers, losses and optimizers that PyTorch does not have.
    """

    def __init__(self, model: Sequential, loss: Loss, optimizer: Optimizer):
        parts = [each for each in to_torch(model).modules() if not isinstance(each, nn.Sequential)]
        opening = list(takewhile(lambda each: isinstance(each, Normalize), parts))
        self.module = nn.Sequential(*parts[len(opening) :])
        self._normalize = nn.Sequential(*opening)
        self._dtype = model_dtype(model)
        _, columns = columns_of(model)
        assert columns is not None  # layers with parameters know it
        self._columns = columns
        self._loss, self._criterion = loss, torch_loss(loss)
        self.optimizer = torch_optimizer(optimizer, self.module.parameters())
        self._clip_value, self._clip_norm = (getattr(optimizer, name) for name in _CLIPPING)

    def tensors(self, x, y) -> tuple[Tensor, Tensor]:
        """Return the normalised samples and the targets as tensors for `train` and `evaluate`."""
        return self.samples(x), self._targets(y)

    def samples(self, x) -> Tensor:
        """Return the normalised samples as a tensor for `predict`."""
        given = torch.from_numpy(np.array(x, order="C"))  # copied: torch warns of read-only arrays
        return self._normalize(given).to(getattr(torch, self._dtype.name))

    def _targets(self, y) -> Tensor:
        rows = self._loss.read_targets("y", np.asarray(y), len(y), self._columns, self._dtype)
        return torch.from_numpy(np.array(rows))

    def train(self, x: Tensor, y: Tensor, batches) -> tuple[list[Tensor], list[Tensor]]:
        """Train on batches of row numbers; return the loss and the outputs of each batch."""
        losses: list[Tensor] = []
        outputs: list[Tensor] = []

        def loss_of(some: Tensor, wanted: Tensor) -> Tensor:
            output = self.module(some)
            loss = self._criterion(output, wanted)
            losses.append(loss.detach())
            outputs.append(output.detach())
            return loss

        self.module.train()
        clips = self._clip_value is not None or self._clip_norm is not None
        train_epoch(loss_of, self.optimizer, x, y, batches, self._clip if clips else None)
        return losses, outputs

    def _clip(self) -> None:
        """Bound the gradients as fastnn's optimizer does."""
        if self._clip_value is not None:
            nn.utils.clip_grad_value_(self.module.parameters(), self._clip_value)
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self._clip_norm)

    def predict(self, x: Tensor) -> Tensor:
        """Return the outputs for samples, with dropout off."""
        self.module.eval()
        with torch.no_grad():
            return torch.cat([self.module(some) for some in x.split(_EVALUATION_ROWS)])

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Return the mean loss, and the accuracy under the assumption that targets are classes."""
        outputs = self.predict(x)
        wanted = y.double() if y.is_floating_point() else y
        loss = float(self._criterion(outputs.double(), wanted))
        return loss, accuracy(outputs, y)


def mean_loss(losses: list[Tensor], outputs: list[Tensor]) -> float:
    """Return the mean loss over all rows, from the results of `TorchTraining.train`."""
    rows = torch.tensor([len(each) for each in outputs], dtype=torch.float64)
    return float(torch.stack(losses).double() @ rows / rows.sum())


def torch_loss(loss: Loss) -> nn.Module:
    """Return PyTorch's loss of the same name and settings.

    Raises TypeError where there is none, and for weights, which `mean_loss` ignores.
    """
    settings, kind = _settings(loss), _namesake(loss, nn)
    if len(inspect.signature(kind.forward).parameters) > 3:  # more than predictions and targets
        raise TypeError(f"{type(loss).__name__} has no twin in PyTorch that takes its predictions")
    if any(isinstance(value, np.ndarray) for value in settings.values()):
        raise TypeError(f"{loss!r} has no twin in PyTorch without its weights")
    return kind(**settings)


def torch_optimizer(optimizer: Optimizer, parameters) -> torch.optim.Optimizer:
    """Return PyTorch's optimizer of the same name and settings, fused where PyTorch can.

    It does not clip gradients, since PyTorch's optimizers cannot.
    """
    settings = _settings(optimizer, without=("parameters", *_CLIPPING))
    kind = _namesake(optimizer, torch.optim)
    if "fused" in inspect.signature(kind).parameters:
        settings["fused"] = True
    return kind(parameters, **settings)


def _settings(thing: object, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the arguments of a loss or an optimizer by name."""
    names = inspect.signature(type(thing)).parameters
    return {name: getattr(thing, name) for name in names if name not in without}


def _namesake(thing: object, home: Any) -> Any:
    """Return the class of the same name in a module of PyTorch; raise TypeError if it has none."""
    name = type(thing).__name__
    if not hasattr(home, name):
        raise TypeError(f"{name} has no twin in PyTorch")
    return getattr(home, name)
