"""Helpers of the tests of layers and training: one comparison with torch, one hand-written loop."""

import signal
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import fastnn
from fastnn.nn.loss import as_loss
from fastnn.training.sample_weights import total_weight
from kernels.base import subnormals

torch.set_num_threads(1)
# Tests that are started in the background would ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)

DTYPES = (np.float32, np.float64)
# torch.testing.assert_close's own; a test that loosens one says why.
TOLERANCES = {np.dtype("f4"): (1.3e-6, 1e-5), np.dtype("f8"): (1e-7, 1e-7)}


def _close(ours, theirs, tolerances, what):
    """Shape, dtype and value are those of a torch tensor."""
    rtol, atol = tolerances or TOLERANCES[ours.dtype]
    torch.testing.assert_close(
        torch.from_numpy(np.array(ours)), theirs.detach(), rtol=rtol, atol=atol, equal_nan=True,
        msg=lambda message: f"{what}: {message}",
    )  # fmt: skip


def _same_as_torch(layer, theirs, x, *, value=None, gradient=None, parameters=None, seed=0):
    """A layer and torch's give one output and all the same gradients for one input.

    `theirs` is a torch module, or a function of a tensor; a module gets the layer's
    parameters by name. `value`, `gradient` and `parameters` are (rtol, atol) for the output,
    the input's gradient and those of the parameters; None takes torch's own.
    """
    named = dict(layer.named_parameters())
    learned = dict(theirs.named_parameters()) if isinstance(theirs, torch.nn.Module) else {}
    assert named.keys() == learned.keys()
    with torch.no_grad():
        for name, tensor in learned.items():
            tensor.copy_(torch.from_numpy(np.array(named[name].data)))
    tensor = torch.tensor(np.array(x), requires_grad=True)
    ours, expected = layer.forward(x), theirs(tensor)
    _close(ours, expected, value, "output")
    g = np.random.default_rng(seed).normal(size=ours.shape).astype(ours.dtype)
    expected.backward(torch.from_numpy(g))
    for parameter in named.values():
        parameter.gradient_memory[:] = 0
    _close(layer.backward(g), tensor.grad, gradient, "gradient of the input")
    for name, tensor in learned.items():
        _close(named[name].grad, tensor.grad, parameters, f"gradient of {name}")


def _same_loss_as_torch(ours, theirs, predictions, targets, *, value=None, gradient=None):
    """A loss and torch's give one number and one gradient; `theirs` is a function of tensors."""
    tensor = torch.tensor(np.array(predictions), requires_grad=True)
    expected = theirs(tensor, torch.from_numpy(np.array(targets)))
    loss = ours(predictions, targets)
    assert isinstance(loss, float)
    rtol, atol = value or TOLERANCES[predictions.dtype]
    torch.testing.assert_close(loss, expected.item(), rtol=rtol, atol=atol, equal_nan=True)
    expected.backward()
    _close(ours.backward(), tensor.grad, gradient, "gradient")


def _slopes(function, array, eps=1e-6):
    """Central differences of a number with respect to every element of an array, in place."""
    slopes = np.empty(array.shape)
    for place in np.ndindex(array.shape):
        middle = array[place]
        array[place] = middle + eps
        above = function()
        array[place] = middle - eps
        below = function()
        array[place] = middle
        slopes[place] = (above - below) / (2 * eps)
    return slopes


def _check_backward(layer, x, seed=0):
    """`backward` gives the central differences of the output's weighted sum, in float64."""
    x = np.array(x, np.float64)
    weights = np.random.default_rng(seed).normal(size=layer.forward(x).shape)

    def number():
        return float((layer.forward(x) * weights).sum())

    expected = _slopes(number, x)
    expected_of = {n: _slopes(number, p.data) for n, p in layer.named_parameters()}
    layer.forward(x)
    for parameter in layer.parameters():
        parameter.gradient_memory[:] = 0
    # The differences themselves are good to eps^2 and 1e-16 / eps, times values of some tens.
    np.testing.assert_allclose(layer.backward(weights), expected, rtol=1e-6, atol=1e-7)
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(
            parameter.grad, expected_of[name], rtol=1e-6, atol=1e-7, err_msg=name
        )


def _torch_twin(model):
    """The same chain in torch, with copies of the weights."""
    kinds = {"Linear": torch.nn.Linear, "ReLU": torch.nn.ReLU, "Tanh": torch.nn.Tanh,
             "Sigmoid": torch.nn.Sigmoid}  # fmt: skip
    twin = torch.nn.Sequential()
    for layer in model:
        kind = kinds[type(layer).__name__]
        made = kind(layer.in_features, layer.out_features) if kind is torch.nn.Linear else kind()
        twin.append(made)
    twin = twin.to(getattr(torch, str(next(model.parameters()).dtype)))
    state = {name: torch.from_numpy(array) for name, array in model.state_dict().items()}
    twin.load_state_dict(state)
    return twin


def _bits(model, optimizer=None):
    """All that training changes, as bytes: what two runs that are one have in common."""
    found = {name: array.tobytes() for name, array in model.state_dict().items()}
    found["drawn"] = [layer.drawn for layer in _dropouts(model)]
    if optimizer is not None:
        state = optimizer.state_dict()
        found["memory"] = [[each.tobytes() for each in arrays] for arrays in state["memory"]]
        found["steps"] = state["steps"]
    return found


def _dropouts(model):
    for layer in model:
        if isinstance(layer, fastnn.Sequential):
            yield from _dropouts(layer)
        elif isinstance(layer, fastnn.Dropout):
            yield layer


def _hand_loop(*arguments, **how):
    """As `_loop`, with subnormal numbers taken for 0, as a compiled epoch takes them."""
    with subnormals.Flushed():
        return _loop(*arguments, **how)


def _loop(model, x, y, *, loss, optimizer, epochs, batch_size, shuffle=True, seed=0,
          steps=None, sample_weight=None):  # fmt: skip
    """Train as a torch user writes it, in `fit`'s order; give each epoch's loss and accuracy.

    Ends after so many `steps`, or at a loss that is not finite.
    """
    rng = np.random.default_rng(seed)
    for stream, layer in enumerate(_dropouts(model)):
        layer.reseed(seed, stream=stream)
    model.train()
    order, done, results = np.arange(len(x)), 0, []
    for _ in range(epochs):
        if shuffle:
            rng.shuffle(order)
        total = right = elements = 0
        for start in range(0, len(x), batch_size):
            if done == steps:
                return results
            rows = order[start : start + batch_size]
            predictions = model(x[rows])
            weights = None if sample_weight is None else (sample_weight[rows],)
            value = loss(predictions, y[rows], *(weights or ()))
            if not np.isfinite(value):
                return results
            optimizer.zero_grad()
            model.backward(loss.backward())
            optimizer.step()
            done += 1
            answers, dtype = as_loss(loss), predictions.dtype
            masses = answers.masses(y[rows], (weights or [None])[0], dtype)
            targets = answers.read_targets("y", y[rows], len(rows), predictions.shape[1], dtype)
            count = total_weight(masses, len(rows)) * answers.terms(targets)
            total, elements = total + value * count, elements + count
            right += loss.correct
        results.append((total / elements, right / len(x)))
    return results


# ---------------------------------------------------------------- random training runs


@dataclass
class Run:
    """A training run that can be made afresh any number of times, each time the same."""

    columns: int
    layers: list[tuple]
    dtype: type
    target: str
    optimizer_kind: str
    settings: dict
    samples: int
    batch_size: int
    learns: list[bool] = field(default_factory=list)
    decays: list[bool] = field(default_factory=list)
    shuffle: bool = True
    epochs: int = 2
    seed: int = 0
    loss: tuple[str, dict] = ()
    weighted: bool = False

    def how(self):
        """The rest of what `fit` is told."""
        weights = None
        if self.weighted:
            rng = np.random.default_rng(self.seed + 2)
            weights = rng.uniform(0.1, 2, self.samples).astype(self.dtype)
        return {"epochs": self.epochs, "batch_size": self.batch_size, "shuffle": self.shuffle,
                "seed": self.seed, "sample_weight": weights}  # fmt: skip

    def make_loss(self):
        """The loss; where settings say COLUMNS, it gets a number for each column."""
        plain = "MSELoss" if self.target.startswith("mse") else "CrossEntropyLoss"
        name, settings = self.loss or (plain, {})
        width = [layer[1] for layer in self.layers if layer[0] == "Linear"][-1]
        weights = np.random.default_rng(self.seed + 3).uniform(0.1, 2, width)
        numbers = {"quantiles": weights / 2.5}
        made = {
            key: numbers.get(key, weights) if value is COLUMNS else value
            for key, value in settings.items()
        }
        return getattr(fastnn, name)(**made)

    def model(self):
        columns, made = self.columns, []
        for place, (kind, *arguments) in enumerate(self.layers):
            if kind == "Linear":
                width, bias = arguments
                made.append(fastnn.Linear(columns, width, bias, self.dtype, seed=place))
                columns = width
            elif kind == "Normalize":
                rng = np.random.default_rng(place)
                mean, std = rng.normal(size=columns), rng.uniform(0.5, 2, columns)
                made.append(fastnn.Normalize(mean, std, self.dtype))
            elif kind in ("LayerNorm", "BatchNorm1d"):
                norm = getattr(fastnn, kind)(columns, *arguments, dtype=self.dtype)
                rng = np.random.default_rng(place)
                for parameter in norm.parameters():
                    parameter.assign(rng.uniform(0.5, 2, columns))
                made.append(norm)
            else:
                made.append(getattr(fastnn, kind)(*arguments))
        return fastnn.Sequential(*made)

    def parts(self):
        """Model, loss, optimizer."""
        model = self.model()
        parameters = list(model.parameters())
        for parameter, decays in zip(parameters, self.decays, strict=False):
            parameter.decays = decays
        chosen = [p for p, learns in zip(parameters, self.learns, strict=False) if learns]
        make = getattr(fastnn, self.optimizer_kind)
        return model, self.make_loss(), make(chosen or parameters, **self.settings)

    def data(self):
        rng = np.random.default_rng(self.seed + 1)
        x = rng.normal(size=(self.samples, self.columns)).astype(self.dtype)
        widths = [layer[1] for layer in self.layers if layer[0] == "Linear"]
        labels = rng.integers(0, widths[-1], self.samples)
        if self.target in ("index", "mse index"):
            return x, labels
        if self.target == "one-hot":
            return x, np.eye(widths[-1], dtype=self.dtype)[labels]
        if self.target == "yes or no":
            return x, rng.integers(0, 2, (self.samples, widths[-1])).astype(self.dtype)
        if self.target == "numbers":
            return x, rng.normal(size=self.samples).astype(self.dtype)
        columns = widths[-1] // 2 if self.target == "halves" else widths[-1]
        y = rng.normal(size=(self.samples, columns))
        if self.target == "probabilities":
            y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
        return x, y.astype(self.dtype)


def _sizes(most):
    """Mostly small numbers, with vector widths, tile sizes and their neighbours among them."""
    special = [n for n in (1, 8, 15, 16, 17, 31, 32, 33, 64, 65, 129, 257) if n <= most]
    return st.integers(1, min(most, 12)) | st.sampled_from(special)


PLAIN = [
    ("ReLU",), ("Tanh",), ("Sigmoid",), ("Softmax",), ("LogSoftmax",), ("Identity",),
    ("Flatten",), ("LeakyReLU", 0.2), ("ELU", 0.7), ("GELU",), ("GELU", "tanh"), ("SiLU",),
    ("Softplus", 2.0, 3.0), ("Mish",), ("Hardswish",), ("Hardtanh", -0.5, 2.0), ("SmoothClip", 2.0),
    ("LayerNorm",),
    ("LayerNorm", 1e-3, True, False),
    ("LayerNorm", 1e-5, False), ("BatchNorm1d",), ("BatchNorm1d", 1e-3, None),
    ("BatchNorm1d", 1e-5, 0.3, False),
]  # fmt: skip
"""Layers as wide as what they are given, with their settings."""

_OF_CLASSES = ["CrossEntropyLoss", "BCEWithLogitsLoss"]
_OF_NUMBERS = ["MSELoss", "L1Loss", "HuberLoss", "PoissonNLLLoss", "QuantileLoss"]
LOSSES = {
    "index": ["CrossEntropyLoss", "NLLLoss"],
    "one-hot": [*_OF_CLASSES, "MSELoss"],
    "probabilities": _OF_CLASSES,
    "yes or no": ["BCEWithLogitsLoss"],
    "mse": _OF_NUMBERS,
    "mse index": [*_OF_NUMBERS, "BCEWithLogitsLoss"],
    "numbers": ["QuantileLoss"],
    "halves": ["GaussianNLLLoss"],
}
"""Losses for each kind of target."""

COLUMNS = object()
"""A setting that stands for one number a column."""

LOSS_SETTINGS = {
    "CrossEntropyLoss": {"weight": [COLUMNS], "label_smoothing": [0.1, 1.0]},
    "NLLLoss": {"weight": [COLUMNS]},
    "BCEWithLogitsLoss": {"pos_weight": [COLUMNS]},
    "MSELoss": {}, "L1Loss": {}, "HuberLoss": {"delta": [0.1, 1.5]},
    "PoissonNLLLoss": {}, "QuantileLoss": {}, "GaussianNLLLoss": {"full": [False, True]},
}  # fmt: skip
"""Values of their settings."""


def _loss_of(draw, target):
    """A loss for a kind of target, and its settings."""
    loss = draw(st.sampled_from(LOSSES[target]))
    allowed = {name: st.sampled_from(values) for name, values in LOSS_SETTINGS[loss].items()}
    given = draw(st.fixed_dictionaries({}, optional=allowed))
    if loss == "QuantileLoss":
        given["quantiles"] = COLUMNS if target == "numbers" else draw(st.sampled_from([0.1, 0.5]))
    if loss == "GaussianNLLLoss":
        given["eps"] = draw(st.sampled_from([0.3, 1.0]))  # with a small one most runs diverge
    return loss, given


def _fits(target, columns):
    """Return True if there can be targets of a kind for so many columns."""
    return (columns > 1 or "mse" not in target) and (columns % 2 == 0 or target != "halves")


@st.composite
def _runs(draw):
    dtype = draw(st.sampled_from(DTYPES))
    plain = st.sampled_from(PLAIN)
    dropout = st.tuples(st.just("Dropout"), st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    linear = st.tuples(st.just("Linear"), _sizes(129), st.booleans())
    layers = draw(st.lists(plain | dropout | linear, max_size=6))
    layers.insert(draw(st.integers(0, len(layers))), draw(linear))
    if draw(st.booleans()):
        layers.insert(0, ("Normalize",))
    kind = draw(st.sampled_from(["SGD", "Adam", "AdamW", "RMSprop"]))
    clipping = st.none() | st.sampled_from([1e-3, 0.05, 10.0])
    settings = {
        "lr": draw(st.sampled_from([1e-3, 0.01, 0.1])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01])),
        "clip_value": draw(clipping),
        "clip_norm": draw(clipping),
    }
    if kind == "SGD":
        settings["momentum"] = draw(st.sampled_from([0.0, 0.5, 0.9]))
        settings["nesterov"] = settings["momentum"] > 0 and draw(st.booleans())
        if not settings["nesterov"]:
            settings["dampening"] = draw(st.sampled_from([0.0, 0.3]))
    elif kind == "RMSprop":
        settings["alpha"] = draw(st.sampled_from([0.99, 0.5]))
        settings["momentum"] = draw(st.sampled_from([0.0, 0.9]))
        settings["centered"] = draw(st.booleans())
    else:
        settings["amsgrad"] = draw(st.booleans())
        settings["betas"] = draw(st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.0)]))
    samples = draw(_sizes(65))
    widths = [layer[1] for layer in layers if layer[0] == "Linear"]
    target = draw(st.sampled_from([each for each in LOSSES if _fits(each, widths[-1])]))
    loss = _loss_of(draw, target)
    batch_size = draw(_sizes(samples) | st.just(samples + 3))
    if any(layer[0] == "BatchNorm1d" for layer in layers):  # batches of one row are refused
        samples = max(samples, 2)
        if batch_size == 1 or samples % min(batch_size, samples) == 1:
            batch_size = samples
    return Run(
        columns=draw(_sizes(257)),
        layers=layers,
        dtype=dtype,
        target=target,
        loss=loss,
        weighted=draw(st.booleans()),
        optimizer_kind=kind,
        settings=settings,
        samples=samples,
        batch_size=batch_size,
        learns=draw(st.lists(st.booleans(), min_size=14, max_size=14) | st.just([])),
        decays=draw(st.lists(st.booleans(), min_size=14, max_size=14) | st.just([])),
        shuffle=draw(st.booleans()),
        seed=draw(st.integers(0, 2**40)),
    )


# ------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def same_as_torch():
    return _same_as_torch


@pytest.fixture(scope="session")
def same_loss_as_torch():
    return _same_loss_as_torch


@pytest.fixture(scope="session")
def slopes():
    return _slopes


@pytest.fixture(scope="session")
def check_backward():
    return _check_backward


@pytest.fixture(scope="session")
def torch_twin():
    return _torch_twin


@pytest.fixture(scope="session")
def bits():
    return _bits


@pytest.fixture(scope="session")
def hand_loop():
    return _hand_loop


@pytest.fixture(scope="session")
def run_kind():
    """The class of random training runs, to make one by hand."""
    return Run


@pytest.fixture(scope="session")
def runs():
    """Random training runs: a hypothesis strategy, to draw from with `st.data()`."""
    return _runs()
