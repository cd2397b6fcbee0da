import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping, ModelCheckpoint


@pytest.mark.parametrize("kind", [EarlyStopping, lambda monitor: ModelCheckpoint("m", monitor)])
def test_what_is_not_there_cannot_be_watched(run, kind):
    model = fastnn.Sequential(fastnn.Linear(4, 3, seed=0))
    before = model.state_dict()
    with pytest.raises(ValueError, match="monitor is 'val_loss', and there is no validation_data"):
        run(kind("val_loss"), model=model)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    numbers = np.zeros((50, 1))
    small = fastnn.Sequential(fastnn.Linear(4, 1, seed=0))
    with pytest.raises(ValueError, match="the history has no accuracy"):
        run(kind("accuracy"), model=small, y=numbers, loss=fastnn.MSELoss())
