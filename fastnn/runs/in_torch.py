"""What a run of `fastnn train` does, done by PyTorch as a good user writes it: to compare with."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastnn.data.dataset import Dataset
from fastnn.interop import to_torch
from fastnn.nn.normalize import Normalize
from fastnn.nn.sequential import Sequential
from fastnn.optim.optimizers import SGD, Adam
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings, choices

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
    loss_function, optimizer = _loss(run.settings), _optimizer(run.settings, model)
    rate = _Rate(run, optimizer, -(-len(x) // settings.batch_size))
    for _ in range(settings.epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(settings.batch_size):
            optimizer.zero_grad()
            loss = loss_function(model(x.index_select(0, rows)), y.index_select(0, rows))
            loss.backward()
            optimizer.step()
            rate.step_done()
            total += float(loss.detach()) * len(rows)
        val_loss, hits = _evaluate(model, loss_function, x_val, y_val)
        rate.epoch_done(loss=total / len(x), val_loss=val_loss)
    return {
        "loss": run.history.loss[-1],
        "val_loss": run.history.val_loss[-1],
        "val_accuracy": hits / len(x_val) if run.classes else None,
        "seconds": time.perf_counter() - started,
    }


class _Rate:
    """Has torch's optimizer learn at the rate and with the momentum that a schedule says."""

    def __init__(self, run: Run, optimizer: torch.optim.Optimizer, batches: int):
        self._run, self._group = run, optimizer.param_groups[0]
        if run.schedule is not None:
            run.schedule.begin(run.settings.epochs, batches, validating=True)
        self._copy()

    def _copy(self) -> None:
        ours = self._run.optimizer
        self._group["lr"] = ours.lr
        if isinstance(ours, SGD):
            self._group["momentum"] = ours.momentum
        elif isinstance(ours, Adam):
            self._group["betas"] = ours.betas

    def step_done(self) -> None:
        """After a batch."""
        if self._run.schedule is not None and self._run.schedule.every == "step":
            self._run.schedule.step()
            self._copy()

    def epoch_done(self, **numbers: float) -> None:
        """After an epoch."""
        self._run.history.add(**numbers)
        if self._run.schedule is not None:
            self._run.schedule.epoch_done(self._run.history)
            self._copy()


def _twin(model: Sequential) -> tuple[nn.Sequential, Normalize | None]:
    """The same chain in torch, with copies of the weights, and the normalisation before it."""
    twin, first = to_torch(model), model[0]
    return (twin[1:], first) if isinstance(first, Normalize) else (twin, None)


def _loss(settings: Settings) -> nn.Module:
    options = {"label_smoothing": settings.label_smoothing} if settings.label_smoothing else {}
    return getattr(nn, choices("loss")[settings.loss or ""].__name__)(**options)


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
    kind = getattr(torch.optim, choices("optimizer")[settings.optimizer].__name__)
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
