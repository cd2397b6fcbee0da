"""PyTorch in eager mode, as a good user writes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bench import data
from bench.learners.with_torch import Learner
from bench.peers import Case
from bench.peers.training import trainer

VERSIONS = {"torch": torch.__version__}


def set_threads(count: int | None) -> None:
    """Set the number of threads; None restores torch's own choice."""
    torch.set_num_threads(count or _OWN_CHOICE)


_OWN_CHOICE = torch.get_num_threads()


def matmul(rows: int, depth: int, columns: int, form: str) -> Case:
    """Return the case of a product of float32 matrices."""
    a, b, c = data.matrices(rows, depth, columns, form)
    call = partial(torch.mm, torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(c))
    return Case(call, lambda: {"ulps": data.product_ulps(a, b, call().numpy())})


_INTO: dict[str, Callable] = {
    "relu": partial(torch.clamp_min, min=0),  # torch.relu has no out=
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "softmax": partial(torch.softmax, dim=1),
}


def elementwise(function: str, size: int) -> Case:
    """Return the case of a function of float32 arrays that writes to existing arrays."""
    made = data.elementwise(function, size)
    inputs = [torch.from_numpy(each) for each in made.inputs]
    if function in ("SGD", "Adam"):
        return _update(function, made, inputs)
    if function == "softmax-cross-entropy":
        call = partial(_cross_entropy, inputs[0].requires_grad_(), inputs[1])
    else:
        call = partial(_INTO[function], *inputs, out=torch.empty_like(inputs[0]))
    return Case(call, lambda: {"ulps": made.error([call().numpy()])})


def _cross_entropy(x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient of the mean loss."""
    return torch.autograd.grad(nn.functional.cross_entropy(x, y), x)[0]


def _update(rule: str, made: data.Elementwise, inputs: list[Tensor]) -> Case:
    p, g, *memory = inputs
    p.grad = g
    optimizer: torch.optim.Optimizer
    if rule == "SGD":
        optimizer = torch.optim.SGD([p], lr=data.LR, momentum=data.MOMENTUM, fused=True)
        optimizer.state[p] = {"momentum_buffer": memory[0]}
    else:
        optimizer = torch.optim.Adam([p], lr=data.LR, betas=data.BETAS, eps=data.EPS, fused=True)
        names = dict(zip(("exp_avg", "exp_avg_sq"), memory, strict=True))
        optimizer.state[p] = {"step": torch.tensor(1.0)} | names

    def check() -> dict[str, float]:
        optimizer.step()
        return {"ulps": made.error([p.numpy()])}

    return Case(optimizer.step, check)


_LAYERS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "Softmax": partial(nn.Softmax, dim=1),
    "Dropout": partial(nn.Dropout, data.DROPOUT),
}


def layer(kind: str, rows: int, columns: int, outputs: int, backward: bool) -> Case:
    """Return the case of a layer's forward pass, or of both passes, in eager mode."""
    x, gradient, weight, bias = map(torch.from_numpy, data.layer(rows, columns, outputs))
    made = nn.Linear(columns, outputs) if kind == "Linear" else _LAYERS[kind]()
    if kind == "Linear":
        made.load_state_dict({"weight": weight, "bias": bias})
    given = [x.requires_grad_(), *made.parameters()]

    def forward() -> Tensor:
        with torch.no_grad():
            return made(x)

    def both() -> Tensor:
        return torch.autograd.grad(made(x), given, gradient)[0]

    call = both if backward else forward
    return Case(call, lambda: {"sum": data.checksum(call().numpy())})


def _chain(layers: list) -> nn.Sequential:
    """Return linear layers with these weights and biases, and ReLU between them."""
    chain: list[nn.Module] = []
    for weight, bias in layers:
        made = nn.Linear(weight.shape[1], weight.shape[0])
        made.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        chain += [*([nn.ReLU()] if chain else []), made]
    return nn.Sequential(*chain)


def predict(sizes: list[int], rows: int) -> Case:
    """Return the case of a prediction in inference mode."""
    x, layers = data.network(sizes, rows)
    model, given = _chain(layers).eval(), torch.from_numpy(x)

    def call() -> Tensor:
        with torch.inference_mode():
            return model(given)

    return Case(call, lambda: {"sum": data.checksum(call().numpy())})


def by_hand(sizes: list[int], rows: int) -> Case:
    """Return the case of a step of training: forward, loss, backward, update."""
    x, layers = data.network(sizes, rows)
    model, given, y = _chain(layers), torch.from_numpy(x), torch.arange(rows) % sizes[-1]
    loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=data.LR, momentum=data.MOMENTUM, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(given), y)
        value.backward()
        optimizer.step()
        return float(value)

    return Case(step, lambda: {"loss": step()})


OPERATIONS = {
    "matmul": matmul,
    "elementwise": elementwise,
    "layer": layer,
    "training": trainer(Learner),
    "predict": predict,
    "by hand": by_hand,
}
