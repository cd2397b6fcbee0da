import pytest

from fastnn import History
from fastnn.optim.monitors import MONITORS, check_monitor


def test_monitors_are_lists_of_the_history():
    assert set(MONITORS) == set(History()) - {"seconds"}


def test_what_cannot_be_watched():
    for monitor in (None, "loss", "accuracy"):
        check_monitor("Somebody", monitor, validating=False)
    check_monitor("Somebody", "val_loss", validating=True)
    with pytest.raises(ValueError, match="Somebody: monitor is 'seconds'; expected one of"):
        check_monitor("Somebody", "seconds", validating=True)
    with pytest.raises(ValueError, match="monitor is 'val_loss', and there is no validation_data"):
        check_monitor("Somebody", "val_loss", validating=False)
