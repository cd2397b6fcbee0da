"""What a run of `fastnn train` does, done by PyTorch as a good user writes it: to compare with."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastnn.datasets import Dataset
from fastnn.layers import Normalize
from fastnn.program import flat_layers
from fastnn.runs import Run
from fastnn.sequential import Sequential
from fastnn.settings import LOSSES, OPTIMIZERS, Settings

_EVALUATION_BATCH = 1024


def train(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """Train the same network from the same weights; give its last loss and its score.

    Eager, on one thread, with fused updates and rows normalised once beforehand.
    """
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    run = Run(settings, dataset)
    started = time.perf_counter()
    model, normalize = _twin(run.model)
    (x, y), (x_val, y_val) = (_tensors(rows, normalize, run) for rows in run.data)
    loss_function = getattr(nn, LOSSES[run.settings.loss or ""])()
    optimizer = _optimizer(run.settings, model)
    loss, val_loss, hits = torch.tensor(0.0), 0.0, 0
    for epoch in range(settings.epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(settings.batch_size):
            optimizer.zero_grad()
            loss = loss_function(model(x.index_select(0, rows)), y.index_select(0, rows))
            loss.backward()
            optimizer.step()
        if settings.schedule == "linear":
            assert settings.lr is not None
            optimizer.param_groups[0]["lr"] = settings.lr * (1 - (epoch + 1) / settings.epochs)
        val_loss, hits = _evaluate(model, loss_function, x_val, y_val)
    return {
        "loss": float(loss.detach()),
        "val_loss": val_loss,
        "val_accuracy": hits / len(x_val) if run.classes else None,
        "seconds": time.perf_counter() - started,
    }


def _twin(model: Sequential) -> tuple[nn.Sequential, Normalize | None]:
    """The same chain in torch, with copies of the weights, and the normalisation before it."""
    layers = flat_layers(model)
    normalize = layers.pop(0) if isinstance(layers[0], Normalize) else None
    twin = nn.Sequential(*(getattr(nn, type(each).__name__)(**each.describe()) for each in layers))
    for layer, theirs in zip(layers, twin, strict=True):
        dtype = next((str(each.dtype) for each in layer.parameters()), "float32")
        theirs.to(getattr(torch, dtype)).load_state_dict(
            {name: torch.from_numpy(np.array(p.data)) for name, p in layer.named_parameters()}
        )
    return twin, normalize


def _tensors(rows, normalize: Normalize | None, run: Run) -> tuple[Tensor, Tensor]:
    """Rows and targets as torch's losses take them."""
    x, y = rows
    x = np.array(x) if normalize is None else normalize.forward(np.array(x))
    dtype = next(iter(run.model.parameters())).dtype
    if run.settings.loss == "cross-entropy":
        return torch.from_numpy(x.astype(dtype)), torch.from_numpy(np.array(y, np.int64))
    columns = np.eye(len(run.classes))[y] if run.classes else np.reshape(y, (len(x), -1))
    return torch.from_numpy(x.astype(dtype)), torch.from_numpy(columns.astype(dtype))


def _optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.momentum is not None:
        options["momentum"] = settings.momentum
    kind = getattr(torch.optim, OPTIMIZERS[settings.optimizer])
    return kind(model.parameters(), fused=True, **options)


@torch.no_grad()
def _evaluate(model: nn.Module, loss_function, x: Tensor, y: Tensor) -> tuple[float, int]:
    """Mean loss, and rows whose largest output is the right one."""
    model.eval()
    total, hits = 0.0, 0
    for some, wanted in zip(x.split(_EVALUATION_BATCH), y.split(_EVALUATION_BATCH), strict=True):
        output = model(some)
        total += float(loss_function(output, wanted)) * len(some)
        classes = wanted if wanted.ndim == 1 else wanted.argmax(1)
        hits += int((output.argmax(1) == classes).sum())
    return total / len(x), hits
