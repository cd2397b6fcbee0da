"""PyTorch eager, as a good user writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from bench import data
from bench.peers import Case
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


_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def _model(workload: Workload) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in data.parameters(workload):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [linear, _ACTIVATIONS[workload.activation]()]
    return nn.Sequential(*layers[:-1])


def _floats(x: Tensor) -> Tensor:
    """Rows as the network takes them; bytes are converted."""
    if x.dtype != torch.uint8:
        return x
    return x.float().sub_(data.BYTE_MEAN).mul_(1 / data.BYTE_STD)


def training(**settings) -> Case:
    """Epochs of training a workload, shuffling included."""
    workload = Workload(**settings)
    x, y, x_test, y_test = map(torch.from_numpy, data.samples(workload))
    model = _model(workload)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=workload.lr, momentum=workload.momentum, fused=True
    )

    def train(epochs: Iterable[Tensor]) -> None:
        model.train()
        for order in epochs:
            for rows in order.split(workload.batch):
                optimizer.zero_grad()
                logits = model(_floats(x.index_select(0, rows)))
                loss_function(logits, y.index_select(0, rows)).backward()
                optimizer.step()

    def check() -> dict[str, float]:
        train(map(torch.from_numpy, data.orders(len(x), workload.epochs, seed=0)))
        model.eval()
        with torch.no_grad():
            logits = model(_floats(x_test))
        right = (logits.argmax(1) == y_test).float().mean()
        return {"loss": float(loss_function(logits, y_test)), "accuracy": 100 * float(right)}

    return Case(lambda: train(torch.randperm(len(x)) for _ in range(workload.epochs)), check)


OPERATIONS = {"matmul": matmul, "activation": activation, "training": training}
