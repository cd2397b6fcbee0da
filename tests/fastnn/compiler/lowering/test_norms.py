import pytest

from fastnn import SGD, BatchNorm1d, LayerNorm, Linear, ReLU, Sequential
from kernels.base.memory import address

SIZES = {"columns": 4, "outputs": 5}


def operands(found, name):
    (each,) = (each.operands for each in found if each.name == name)
    return each


def test_layer_norm_keeps_moments_of_rows(training, names):
    found = training(Linear(4, 5), ReLU(), LayerNorm(5, 1e-3), **SIZES)
    assert names(found) == ["linear", "layer_norm"]
    backward = ["layer_norm_gradient", "layer_norm_parameters", "update", "update"]
    assert names(found, backward=True) == [*backward, "activation_gradient", "linear_update"]
    there = operands(found, "layer_norm")
    assert there["eps"] == 1e-3
    for name in ("layer_norm_gradient", "layer_norm_parameters"):
        for moment in ("means", "factors"):
            assert operands(found, name)[moment] == there[moment]


def test_the_first_layer_norm_needs_no_gradient_of_its_input(training, names):
    found = training(LayerNorm(4), Linear(4, 5), **SIZES)
    backward = ["linear_input_gradient", "linear_update", "layer_norm_parameters", "update"]
    assert names(found, backward=True) == [*backward, "update"]


def test_batch_norm_learns_by_moments_of_the_batch_and_moves_the_running_ones(training, names):
    layer = BatchNorm1d(5, momentum=0.3)
    layer.num_batches_tracked = 4
    found = training(Linear(4, 5), layer, **SIZES)
    assert names(found) == ["linear", "moments", "batch_norm"]
    backward = ["track_moments", "batch_norm_gradient", "update", "update", "linear_update"]
    assert names(found, backward=True) == backward
    there, tracked = operands(found, "batch_norm"), operands(found, "track_moments")
    for moment in ("means", "variances"):
        assert operands(found, "moments")[moment] == there[moment] == tracked[moment]
    assert (tracked["momentum"], tracked["tracked"]) == (0.3, 4)
    own = {address(layer.running_mean), address(layer.running_var)}
    # The program moves copies, which are given back only if they are finite.
    assert not own & {tracked["running_means"], tracked["running_variances"]}


@pytest.mark.parametrize("tracking", [True, False])
def test_batch_norm_is_evaluated_by_running_moments_if_there_are_any(evaluation, names, tracking):
    layer = BatchNorm1d(5, track_running_stats=tracking)
    found = evaluation(Linear(4, 5), layer, **SIZES)
    assert names(found) == ["linear", *([] if tracking else ["moments"]), "batch_norm"]
    if tracking:
        there = operands(found, "batch_norm")
        assert there["means"] == address(layer.running_mean)
        assert there["variances"] == address(layer.running_var)


def test_without_running_moments_none_are_moved(training, names):
    found = training(Linear(4, 5), BatchNorm1d(5, track_running_stats=False), **SIZES)
    assert "track_moments" not in names(found, backward=True)


def test_the_mean_of_all_batches_has_no_momentum(training):
    found = training(Linear(4, 5), BatchNorm1d(5, momentum=None), **SIZES)
    assert operands(found, "track_moments")["momentum"] == -1.0


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm1d])
def test_gradients_of_what_does_not_learn_go_where_nobody_reads(training, names, kind):
    layer = kind(5)
    model = Sequential(Linear(4, 5), layer)
    found = training(model, **SIZES, optimizer=SGD([layer._bias]))
    assert names(found, backward=True).count("update") == 1
    written = {"LayerNorm": "layer_norm_parameters", "BatchNorm1d": "batch_norm_gradient"}
    there = operands(found, written[kind.__name__])
    assert there["shift_gradient"] == address(layer._bias.gradient_memory)
    assert there["gain_gradient"] not in map(
        address, (layer._weight.gradient_memory, layer._weight.memory)
    )


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm1d])
def test_another_number_of_columns(training, kind):
    with pytest.raises(ValueError, match="gets 5 columns; expected 6"):
        training(Linear(4, 5), kind(6), **SIZES)
