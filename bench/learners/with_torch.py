"""PyTorch in eager mode, as a good user writes it; `loss_of` may be compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from bench import data
from bench.data import Samples
from bench.learners.networks import network, optimizer
from bench.workloads import Workload
from fastnn.interop.torch_steps import accuracy, train_epoch  # imports only torch


class Learner:
    """PyTorch's `bench.learners.Learner`."""

    compiles = False

    def __init__(self, workload: Workload, samples: Samples, threads: int | None = None):
        self.workload = workload
        if threads is not None:
            torch.set_num_threads(threads)
        self.x, self.y, self.x_test, self.y_test = map(torch.from_numpy, samples)
        self.loss_function: nn.Module = nn.CrossEntropyLoss()
        if workload.loss == "mse":
            self.loss_function = nn.MSELoss()
            self.y, self.y_test = (nn.functional.one_hot(y).float() for y in (self.y, self.y_test))
        self.model = network(workload, nn, torch.from_numpy)
        self._first = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.loss_of: Callable[[Tensor, Tensor], Tensor] = self._loss_of
        self.reset(0)

    def _floats(self, x: Tensor) -> Tensor:
        """Return rows as floats, normalised if they are bytes."""
        if x.dtype != torch.uint8:
            return x
        return x.float().sub_(self.workload.mean).mul_(1 / self.workload.std)

    def _loss_of(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss_function(self.model(self._floats(x)), y)

    def reset(self, seed: int) -> None:
        """Start over with the initial weights."""
        torch.manual_seed(seed)
        self.model.load_state_dict(self._first)
        self.optimizer = optimizer(self.workload, torch.optim, self.model, fused=True)

    def _orders(self, epochs: int, seed: int | None) -> Iterator[Tensor]:
        if seed is None:
            return (torch.randperm(len(self.x)) for _ in range(epochs))
        return map(torch.from_numpy, data.orders(len(self.x), epochs, seed))

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, batch by batch."""
        bound, clip = self.workload.clip_value, None
        if bound is not None:
            clip = partial(nn.utils.clip_grad_value_, list(self.model.parameters()), bound)
        for order in self._orders(epochs, seed):
            self.model.train()
            batches = order.split(self.workload.batch)
            train_epoch(self.loss_of, self.optimizer, self.x, self.y, batches, clip)
            if after_epoch is not None and after_epoch():
                break

    def score(self) -> tuple[float, float]:
        """Return the mean loss, and the accuracy in percent, over the test samples."""
        self.model.eval()
        with torch.no_grad():
            outputs = self.model(self._floats(self.x_test))
        return float(self.loss_function(outputs, self.y_test)), 100 * accuracy(outputs, self.y_test)
