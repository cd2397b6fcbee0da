import numpy as np
import pytest
import torch

import fastnn
from fastnn.interop.torch_training import TorchTraining, mean_loss, torch_loss, torch_optimizer

ROWS, COLUMNS = 30, 3
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, COLUMNS, ROWS)
NUMBERS = RNG.normal(size=(ROWS, COLUMNS))
SHARES = RNG.uniform(size=(ROWS, COLUMNS))

LOSSES = [
    (fastnn.CrossEntropyLoss(), LABELS),
    (fastnn.CrossEntropyLoss(label_smoothing=0.1), LABELS),
    (fastnn.NLLLoss(), LABELS),
    (fastnn.MSELoss(), NUMBERS),
    (fastnn.L1Loss(), NUMBERS),
    (fastnn.HuberLoss(0.3), NUMBERS),
    (fastnn.PoissonNLLLoss(), SHARES),
    (fastnn.BCEWithLogitsLoss(), SHARES),
]


@pytest.mark.parametrize(("loss", "targets"), LOSSES, ids=[repr(each) for each, _ in LOSSES])
def test_losses_have_their_namesakes_settings(loss, targets):
    predictions = RNG.normal(size=(ROWS, COLUMNS))
    theirs = torch_loss(loss)(torch.from_numpy(predictions), torch.from_numpy(targets))
    assert theirs.item() == pytest.approx(loss(predictions, targets), rel=1e-12)


OPTIMIZERS = [
    (fastnn.SGD, {"lr": 0.3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (fastnn.SGD, {"lr": 0.3, "momentum": 0.9, "dampening": 0.2, "clip_value": 1.0}),
    (fastnn.Adam, {"lr": 0.3, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (fastnn.AdamW, {"lr": 0.3, "clip_norm": 2.0}),
    (fastnn.Adam, {"lr": 0.3, "amsgrad": True}),
    (fastnn.RMSprop, {"lr": 0.3, "alpha": 0.9, "momentum": 0.5, "centered": True}),
]


@pytest.mark.parametrize(("kind", "settings"), OPTIMIZERS)
def test_optimizers_have_their_namesakes_settings(kind, settings):
    ours = kind(fastnn.Linear(2, 3).parameters(), **settings)
    theirs = torch_optimizer(ours, [torch.zeros(3, requires_grad=True)])
    (group,) = theirs.param_groups
    assert type(theirs) is getattr(torch.optim, kind.__name__)
    assert group.get("fused", True)  # PyTorch has no fused RMSprop
    for name in settings.keys() - {"clip_value", "clip_norm"}:
        assert group[name] == settings[name]
    assert group["weight_decay"] == ours.weight_decay


def test_updates_are_fused_where_pytorch_can():
    class Rprop:
        def __init__(self, parameters, lr):
            self.parameters, self.lr = parameters, lr

    made = torch_optimizer(Rprop([], 0.3), [torch.zeros(3, requires_grad=True)])
    assert made.param_groups[0]["lr"] == 0.3


def test_what_pytorch_has_not_is_named():
    class Own:
        pass

    with pytest.raises(TypeError, match="Own has no twin in PyTorch"):
        torch_loss(Own())
    with pytest.raises(TypeError, match="Own has no twin in PyTorch"):
        torch_optimizer(Own(), [])
    with pytest.raises(TypeError, match="QuantileLoss has no twin in PyTorch"):
        torch_loss(fastnn.QuantileLoss(0.5))
    with pytest.raises(TypeError, match="GaussianNLLLoss has no twin in PyTorch that takes its"):
        torch_loss(fastnn.GaussianNLLLoss())


@pytest.mark.parametrize("kind", [fastnn.CrossEntropyLoss, fastnn.NLLLoss])
def test_weights_are_refused(kind):
    with pytest.raises(TypeError, match=r"weight=\[1.0, 2.0\]\) has no twin in PyTorch without"):
        torch_loss(kind([1, 2]))


@pytest.fixture(params=[np.float32, np.float64])
def training(request):
    """A chain that opens with two normalisations, one of them within a chain, and its training."""
    dtype = request.param
    linear = fastnn.Linear(4, COLUMNS, dtype=dtype, seed=0)
    scaled = fastnn.Sequential(fastnn.Normalize(2, 3, dtype), linear)
    model = fastnn.Sequential(fastnn.Normalize(100, 50, dtype), scaled)
    optimizer = fastnn.SGD(model.parameters(), lr=0.1)
    return model, TorchTraining(model, fastnn.CrossEntropyLoss(), optimizer)


def test_samples_are_normalised_once(training):
    model, theirs = training
    x = RNG.integers(0, 256, (ROWS, 4), np.uint8)
    x.flags.writeable = False
    expected = model[1][0].forward(model[0].forward(x))
    np.testing.assert_array_equal(theirs.samples(x).numpy(), expected, strict=True)
    assert [type(each) for each in theirs.module] == [torch.nn.Linear]
    close = 1e-5 if expected.dtype == np.float32 else 1e-12
    found = theirs.predict(theirs.samples(x)).numpy()
    np.testing.assert_allclose(found, fastnn.predict(model, x), close, close)


def test_it_trains_and_evaluates(training):
    model, theirs = training
    x, before = RNG.integers(0, 256, (ROWS, 4), np.uint8), model.state_dict()
    samples, targets = theirs.tensors(x, LABELS)
    loss, accuracy = theirs.evaluate(samples, targets)
    expected = fastnn.evaluate(model, x, LABELS, loss=fastnn.CrossEntropyLoss())
    assert loss == pytest.approx(expected.loss, rel=1e-6)
    assert accuracy == expected.accuracy
    losses, outputs = theirs.train(samples, targets, torch.arange(ROWS).split(8))
    assert [len(each) for each in outputs] == [8, 8, 8, 6]
    assert mean_loss(losses, outputs) == pytest.approx(
        sum(float(one) * len(each) for one, each in zip(losses, outputs, strict=True)) / ROWS
    )
    assert theirs.evaluate(samples, targets)[0] < loss
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
