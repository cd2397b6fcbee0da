import pytest

from fastnn import Dropout, Linear, Tanh
from kernels.functions.dropout import keep_halves, keep_scale, mask_columns


def test_a_mask_is_drawn_and_used_again(training, names):
    layer = Dropout(0.3)
    layer.reseed(5, stream=2)
    layer.drawn = 7
    found = training(Linear(4, 70), Tanh(), layer, Linear(70, 3), columns=4, outputs=3)
    assert names(found) == ["linear", "dropout", "linear"]
    backward = ["linear_input_gradient", "linear_update", "dropout_gradient"]
    backward += ["activation_gradient", "linear_update"]
    assert names(found, backward=True) == backward
    there, back = (each.operands for each in found if each.name.startswith("dropout"))
    drawing = {name: there[name] for name in ("seed", "drawn", "stream", "keep", "scale")}
    assert drawing == {
        "seed": layer.seed, "drawn": 7, "stream": 2, "keep": keep_halves(0.3),
        "scale": keep_scale(0.3),
    }  # fmt: skip
    assert there["mask"] is back["mask"]
    assert there["mask"].ld == mask_columns(70)
    assert there["y"] is not there["x"]
    assert back["scale"] == keep_scale(0.3)
    assert back["g"] is back["out"]


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_nothing_is_dropped_in_evaluation_or_with_probability_0(training, evaluation, names, p):
    chain, sizes = (Linear(4, 5), Dropout(p), Linear(5, 3)), {"columns": 4, "outputs": 3}
    assert names(evaluation(*chain, **sizes)) == ["linear", "linear"]
    if p == 0.0:
        found = training(*chain, **sizes)
        assert names(found) == ["linear", "linear"]
        backward = ["linear_input_gradient", "linear_update", "linear_update"]
        assert names(found, backward=True) == backward
