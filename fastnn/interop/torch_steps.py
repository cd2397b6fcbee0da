"""Epochs in PyTorch as a good user writes them: rows gathered by index, losses read afterwards.

Imports PyTorch and nothing of fastnn, so that a process that is timed as PyTorch's loads no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def train_epoch(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    batches: Iterable[Tensor],
    clip: Callable[[], object] | None = None,
) -> None:
    """Train by one step for each batch, which is a tensor of the numbers of its rows.

    `loss_of` returns the loss of samples and targets; `clip` bounds the gradients of a step.
    """
    for rows in batches:
        optimizer.zero_grad()
        loss_of(x.index_select(0, rows), y.index_select(0, rows)).backward()
        if clip is not None:
            clip()
        optimizer.step()


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of rows, 0 to 1, whose largest output is that of the right class.

    Targets are class indices, or rows in which the right class has the largest number.
    """
    right = targets if targets.ndim == 1 else targets.argmax(1)
    return float((outputs.argmax(1) == right).double().mean())
