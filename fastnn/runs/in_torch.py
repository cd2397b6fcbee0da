"""A run of `fastnn train` in PyTorch as a good user writes it, for comparison."""

from __future__ import annotations

import time
from typing import Any

import torch

from fastnn.data.dataset import Dataset
from fastnn.interop.torch_training import TorchTraining, mean_loss
from fastnn.runs.run import Run
from fastnn.runs.settings import Settings


def train(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """Train the same network from the same weights; return its last losses and its accuracy.

    PyTorch runs in eager mode on one thread, with fused updates and rows normalised beforehand.
    """
    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    run = Run(settings, dataset)
    settings = run.settings  # with all defaults
    assert settings.epochs is not None
    assert settings.batch_size is not None
    started = time.perf_counter()
    training = TorchTraining(run.model, run.loss, run.optimizer)
    (x, y), held_out = (training.tensors(*rows) for rows in run.data)
    rate = _Rate(run, training.optimizer, -(-len(x) // settings.batch_size))
    for _ in range(settings.epochs):
        found = training.train(x, y, torch.randperm(len(x)).split(settings.batch_size))
        val_loss, val_accuracy = training.evaluate(*held_out)
        rate.epoch_done(loss=mean_loss(*found), val_loss=val_loss)
    return {
        "loss": run.history.loss[-1],
        "val_loss": run.history.val_loss[-1],
        "val_accuracy": val_accuracy if run.classes else None,
        "seconds": time.perf_counter() - started,
    }


class _Rate:
    """A run's schedule, whose learning rate and momentum PyTorch's optimizer takes over."""

    def __init__(self, run: Run, optimizer: torch.optim.Optimizer, batches: int):
        self._run, self._group = run, optimizer.param_groups[0]
        self._names = [name for name in ("lr", "momentum", "betas") if name in self._group]
        if run.schedule is not None:
            assert run.settings.epochs is not None
            run.schedule.begin(run.settings.epochs, batches, validating=True)
            if run.schedule.every == "step":
                optimizer.register_step_post_hook(self._step_done)
        self._copy()

    def _copy(self) -> None:
        for name in self._names:
            self._group[name] = getattr(self._run.optimizer, name)

    def _step_done(self, *_: Any) -> None:
        """Advance a schedule of steps; the arguments that PyTorch passes are not needed."""
        self._run.schedule.step()  # type: ignore[union-attr]
        self._copy()

    def epoch_done(self, **numbers: float) -> None:
        """Add the numbers of an epoch to the history, and advance the schedule."""
        self._run.history.add(**numbers)
        if self._run.schedule is not None:
            self._run.schedule.epoch_done(self._run.history)
            self._copy()
