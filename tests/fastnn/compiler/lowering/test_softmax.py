import pytest

from fastnn import Linear, LogSoftmax, Softmax, Tanh


@pytest.mark.parametrize(("layer", "name"), [(Softmax(), "softmax"), (LogSoftmax(), "log_softmax")])
def test_its_gradient_is_one_of_the_output(training, names, layer, name):
    found = training(Linear(4, 3), Tanh(), layer, columns=4, outputs=3)
    assert names(found) == ["linear", name]
    backward = [f"{name}_gradient", "activation_gradient", "linear_update"]
    assert names(found, backward=True) == backward
    there, back = (each.operands for each in found if each.name.startswith(name))
    assert there["columns"] == back["columns"] == 3
    assert there["y"] is back["y"]
    assert back["g"] is back["out"]
