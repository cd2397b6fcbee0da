import builtins

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fastnn.callbacks import TensorBoard


def events(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(each.step, pytest.approx(each.value, rel=1e-6)) for each in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


@pytest.mark.parametrize("torch_is_there", [True, False])
def test_tensorboard(run, data, tmp_path, monkeypatch, torch_is_there):
    if not torch_is_there:
        hide(monkeypatch, "torch")
    _, history = run(TensorBoard(tmp_path / "events"), epochs=2, validation_data=data)
    expected = {
        "lr": [0.1, 0.1], "loss/train": history.loss, "accuracy/train": history.accuracy,
        "loss/validation": history.val_loss, "accuracy/validation": history.val_accuracy,
    }  # fmt: skip
    assert events(tmp_path / "events") == {
        tag: list(enumerate(numbers, 1)) for tag, numbers in expected.items()
    }


def hide(monkeypatch, *packages):
    """Have imports of packages fail."""
    plain = builtins.__import__

    def refusing(name, *arguments, **keywords):
        if name.split(".")[0] in packages:
            raise ImportError(f"no {name}")
        return plain(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refusing)


def test_without_tensorboard(tmp_path, monkeypatch):
    hide(monkeypatch, "torch", "tensorboard")
    with pytest.raises(ImportError, match=r'pip install "fastnn\[tensorboard\]"'):
        TensorBoard(tmp_path)
