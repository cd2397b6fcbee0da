"""PyTorch eager, as a good user writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from bench import data
from bench.peers import Case, compile_seconds
from bench.workloads import Workload

VERSIONS = {"torch": torch.__version__}


def set_threads(count: int | None) -> None:
    """Compute on so many threads; None is what torch takes by itself."""
    torch.set_num_threads(count or _OWN_CHOICE)


_OWN_CHOICE = torch.get_num_threads()


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """A product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    call = partial(torch.mm, torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(c))
    return Case(call, lambda: {"error": data.product_error(a, b, call().numpy())})


_FUNCTIONS: dict[str, Callable] = {
    "relu": partial(torch.clamp_min, min=0),  # torch.relu has no out=
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
}


def activation(function: str, size: int) -> Case:
    """An activation of float32 numbers."""
    x = data.numbers(size)
    given = torch.from_numpy(x)
    call = partial(_FUNCTIONS[function], given, out=torch.empty_like(given))
    return Case(call, lambda: {"ulps": data.ulps(function, x, call().numpy())})


_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "": nn.Identity}


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


def _floats(x: Tensor) -> Tensor:
    """Rows as the network takes them; bytes are converted."""
    if x.dtype != torch.uint8:
        return x
    return x.float().sub_(data.BYTE_MEAN).mul_(1 / data.BYTE_STD)


def training(compiled: Callable[[Callable], Callable] | None = None, **settings) -> Case:
    """Epochs of training a workload, shuffling included.

    `compiled` is what makes something faster of the function from a batch to its loss.
    """
    workload = Workload(**settings)
    x, y, x_test, y_test = map(torch.from_numpy, data.samples(workload))
    loss_function = nn.MSELoss() if workload.loss == "mse" else nn.CrossEntropyLoss()
    if workload.loss == "mse":
        y, y_test = (nn.functional.one_hot(each).float() for each in (y, y_test))
    model = network(workload)
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return loss_function(model(_floats(x)), y)

    if compiled is not None:
        loss_of = compiled(loss_of)

    def train(optimizer: torch.optim.Optimizer, epochs: Iterable[Tensor]) -> None:
        model.train()
        parameters = list(model.parameters())
        for order in epochs:
            for rows in order.split(workload.batch):
                optimizer.zero_grad()
                loss_of(x.index_select(0, rows), y.index_select(0, rows)).backward()
                if workload.clip_value is not None:
                    nn.utils.clip_grad_value_(parameters, workload.clip_value)
                optimizer.step()

    def score() -> tuple[float, float]:
        model.eval()
        with torch.no_grad():
            outputs = model(_floats(x_test))
            right = outputs.argmax(1) == (y_test.argmax(1) if y_test.ndim > 1 else y_test)
            return float(loss_function(outputs, y_test)), 100 * float(right.float().mean())

    def check() -> dict[str, float]:
        facts, scores = {}, []
        if compiled is not None:
            order = torch.arange(len(x))
            once = partial(train, optimizer_of(workload, model), [order])
            facts["compile_seconds"] = compile_seconds(once)
        for seed in range(workload.seeds):
            torch.manual_seed(seed)
            model.load_state_dict(start)
            orders = data.orders(len(x), workload.epochs_to_learn, seed)
            train(optimizer_of(workload, model), map(torch.from_numpy, orders))
            scores.append(score())
        loss, accuracy = np.mean(scores, axis=0)
        return facts | {"loss": loss, "accuracy": accuracy}

    optimizer = optimizer_of(workload, model)
    return Case(
        lambda: train(optimizer, (torch.randperm(len(x)) for _ in range(workload.epochs))), check
    )


OPERATIONS = {"matmul": matmul, "activation": activation, "training": training}
