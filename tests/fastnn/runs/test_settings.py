import pytest

import fastnn
from fastnn.nn import activations, losses
from fastnn.runs import settings
from fastnn.runs.search import grid
from fastnn.runs.settings import SettingError, Settings, choices, optimizer_defaults, takes
from processes import python

NAMES = {
    "activation": {
        "relu": "ReLU",
        "tanh": "Tanh",
        "sigmoid": "Sigmoid",
        "leaky-relu": "LeakyReLU",
        "elu": "ELU",
        "gelu": "GELU",
        "silu": "SiLU",
        "softplus": "Softplus",
        "mish": "Mish",
        "hardswish": "Hardswish",
        "hardtanh": "Hardtanh",
        "smooth-clip": "SmoothClip",
    },
    "loss": {
        "cross-entropy": "CrossEntropyLoss",
        "mse": "MSELoss",
        "l1": "L1Loss",
        "huber": "HuberLoss",
    },
    "norm": {"none": None, "batch": "BatchNorm1d", "layer": "LayerNorm"},
    "optimizer": {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"},
}


@pytest.mark.parametrize("setting", NAMES)
def test_names_and_what_they_stand_for(setting):
    found = choices(setting)
    expected = {name: kind and getattr(fastnn, kind) for name, kind in NAMES[setting].items()}
    assert expected.items() <= found.items()
    assert [name for name in found if name in expected] == list(expected)  # as the help lists them


@pytest.mark.parametrize(
    ("optimizer", "usual"),
    [
        ("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}),
        ("adam", {"lr": 0.003, "weight_decay": 0.0}),
        ("adamw", {"lr": 0.003, "weight_decay": 0.01}),
        ("rmsprop", {"lr": 0.003, "momentum": 0.0, "weight_decay": 0.0}),
    ],
)
def test_what_optimizers_take_by_default(optimizer, usual):
    assert optimizer_defaults(optimizer) == usual
    filled = Settings(optimizer=optimizer)
    assert (filled.lr, filled.weight_decay) == (usual["lr"], usual["weight_decay"])
    assert filled.momentum == usual.get("momentum")


def test_what_is_taken():
    assert takes("optimizer", "sgd", "momentum")
    assert takes("optimizer", "rmsprop", "momentum")
    assert not takes("optimizer", "adam", "momentum")
    assert not takes("optimizer", "newton", "momentum")
    assert takes("loss", "cross-entropy", "label_smoothing")
    assert not takes("loss", "mse", "label_smoothing")


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_losses_of_numbers_are_for_both_tasks(loss):
    for task in ("regression", "classification"):
        chosen = Settings(loss=loss)
        chosen.choose_loss(task)
        assert chosen.loss == loss


def test_losses_of_classes_are_not_for_numbers():
    with pytest.raises(SettingError, match=r"cross-entropy is for classes; the target is numbers"):
        Settings(loss="cross-entropy").choose_loss("regression")


def test_a_search_gives_momentum_to_those_that_have_it():
    points = grid({"momentum": 0.5}, {"optimizer": ["sgd", "adam", "rmsprop"]})
    assert [point.momentum for point in points] == [0.5, None, 0.5]
    with pytest.raises(SettingError, match="unknown name 'newton'; known: sgd, adam, adamw, rms"):
        grid({"momentum": 0.5}, {"optimizer": ["newton"]})


def test_a_new_thing_is_a_choice_at_once(monkeypatch):
    """Whatever is public in the file of its kind may be told, and needs no entry elsewhere."""

    class HardReLU(activations.ReLU):
        pass

    class LogCoshLoss(losses.MSELoss):
        command_name = "log-cosh"

    for home, kind in ((activations, HardReLU), (losses, LogCoshLoss)):
        monkeypatch.setattr(home, kind.__name__, kind, raising=False)
        monkeypatch.setattr(home, "__all__", [*home.__all__, kind.__name__])
    assert choices("activation")["hard-relu"] is HardReLU
    assert choices("loss")["log-cosh"] is LogCoshLoss
    assert Settings(activation="hard-relu", loss="log-cosh").activation == "hard-relu"


def test_names_are_looked_up_late():
    code = (
        "import sys, fastnn.runs.settings, fastnn.runs.search, fastnn.cli\n"
        "print({'numba', 'kernels', 'numpy'} & set(sys.modules))"
    )
    done = python(code)
    assert done.stdout == "set()\n"


def test_defaults_of_tasks_are_choices():
    assert set(settings.DEFAULT_LOSSES.values()) <= set(choices("loss"))


@pytest.mark.parametrize(
    ("given", "seed"), [({}, 0), ({"seed": 3}, 3), ({"seed": 3, "split_seed": 5}, 5)]
)
def test_the_seed_draws_the_split_too(given, seed):
    assert Settings(**given).seed_of_split == seed
