"""PyTorch eager, as a good user writes it; `loss_of` may be compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from bench import data
from bench.data import Samples
from bench.workloads import Workload

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def network(workload: Workload) -> nn.Sequential:
    """The network of a workload, with the weights that all begin with."""
    layers: list[nn.Module] = []
    linears = list(data.parameters(workload))
    if workload.dropout and len(linears) == 1:
        layers.append(nn.Dropout(workload.dropout))
    for place, (weight, bias) in enumerate(linears, 1):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers.append(linear)
        if place < len(linears):
            layers.append(_ACTIVATIONS[workload.activation]())
            if workload.dropout:
                layers.append(nn.Dropout(workload.dropout))
        elif workload.output:
            layers.append(_ACTIVATIONS[workload.output]())
    return nn.Sequential(*layers)


def optimizer_of(workload: Workload, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a workload, as fast as torch has it."""
    if workload.optimizer == "Adam":
        return torch.optim.Adam(model.parameters(), lr=workload.lr, fused=True)
    return torch.optim.SGD(
        model.parameters(), lr=workload.lr, momentum=workload.momentum, fused=True
    )


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
        self.model = network(workload)
        self._first = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.loss_of: Callable[[Tensor, Tensor], Tensor] = self._loss_of
        self.reset(0)

    def _floats(self, x: Tensor) -> Tensor:
        """Rows as the network takes them; bytes are converted."""
        if x.dtype != torch.uint8:
            return x
        return x.float().sub_(self.workload.mean).mul_(1 / self.workload.std)

    def _loss_of(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss_function(self.model(self._floats(x)), y)

    def reset(self, seed: int) -> None:
        """Begin anew."""
        torch.manual_seed(seed)
        self.model.load_state_dict(self._first)
        self.optimizer = optimizer_of(self.workload, self.model)

    def _orders(self, epochs: int, seed: int | None) -> Iterator[Tensor]:
        if seed is None:
            return (torch.randperm(len(self.x)) for _ in range(epochs))
        return map(torch.from_numpy, data.orders(len(self.x), epochs, seed))

    def train(
        self, epochs: int, seed: int | None = None, after_epoch: Callable[[], bool] | None = None
    ) -> None:
        """Train, batch by batch."""
        optimizer, bound = self.optimizer, self.workload.clip_value
        parameters = list(self.model.parameters())
        for order in self._orders(epochs, seed):
            self.model.train()
            for rows in order.split(self.workload.batch):
                optimizer.zero_grad()
                self.loss_of(self.x.index_select(0, rows), self.y.index_select(0, rows)).backward()
                if bound is not None:
                    nn.utils.clip_grad_value_(parameters, bound)
                optimizer.step()
            if after_epoch is not None and after_epoch():
                break

    def score(self) -> tuple[float, float]:
        """Mean loss, and accuracy in percent, over the test samples."""
        self.model.eval()
        with torch.no_grad():
            outputs = self.model(self._floats(self.x_test))
            right = self.y_test.argmax(1) if self.y_test.ndim > 1 else self.y_test
            hits = (outputs.argmax(1) == right).float().mean()
            return float(self.loss_function(outputs, self.y_test)), 100 * float(hits)
