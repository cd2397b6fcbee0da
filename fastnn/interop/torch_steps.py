"""Epochs in PyTorch as a good user writes them: rows gathered by index, losses read afterwards.

The module imports PyTorch alone, so that timing PyTorch in a process loads nothing else.
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
    """Train with one step for each batch, a tensor of row numbers.

    `loss_of` returns the loss of samples and targets; `clip` clips the gradients before a step.
    """
    for rows in batches:
        optimizer.zero_grad()
        loss_of(x.index_select(0, rows), y.index_select(0, rows)).backward()
        if clip is not None:
            clip()
        optimizer.step()


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of rows, from 0 to 1, whose largest output is in the column of their class.

    Targets are class indices, or rows with the largest number in the column of the class.
    """
    right = targets if targets.ndim == 1 else targets.argmax(1)
    return float((outputs.argmax(1) == right).double().mean())
