import copy
import gc
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import (
    SGD,
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    Linear,
    Normalize,
    ReLU,
    Sequential,
    Tanh,
)
from fastnn.compiler.by_hand import HandPlan
from own_layers import Own

ACTIVATIONS = ["ELU", "GELU", "Hardswish", "Hardtanh", "LeakyReLU", "Mish", "ReLU", "SiLU",
               "Sigmoid", "SmoothClip", "Softplus", "Tanh"]  # fmt: skip


def layers_of(kinds, sizes, dtype):
    """Layers of these kinds; each "Linear" takes the next size."""
    sizes = iter(sizes)
    made, columns = [], next(sizes)
    for place, kind in enumerate(kinds):
        if kind == "Linear":
            outputs = next(sizes)
            made.append(Linear(columns, outputs, dtype=dtype, seed=place))
            columns = outputs
        else:
            made.append(getattr(fastnn, kind)())
    return made, columns


def batch(rows, columns, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)


def network(dtype=np.float32):
    return Sequential(
        Linear(6, 40, dtype=dtype, seed=0), ReLU(), Linear(40, 3, dtype=dtype, seed=1)
    )


def one_by_one(model, x, gradient):
    """Output, gradient of the input and of the parameters, by each layer itself."""
    for layer in model:
        x = layer.forward(x)
    for layer in reversed(list(model)):
        gradient = layer.backward(gradient)
    return [x, gradient, *(each.grad for each in model.parameters())]


def together(model, x, gradient):
    """The same by the chain."""
    return [model(x), model.backward(gradient), *(each.grad for each in model.parameters())]


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["Linear", "Linear", *ACTIVATIONS]), min_size=1, max_size=5),
    st.lists(st.sampled_from([1, 2, 3, 10, 17, 40]), min_size=6, max_size=6),
    st.lists(st.sampled_from([1, 2, 4, 5, 33]), min_size=1, max_size=4),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_same_bits_as_layer_by_layer(kinds, sizes, batches, dtype):
    (made, outputs), (twins, _) = (layers_of(kinds, sizes, dtype) for _ in range(2))
    model, twin = Sequential(*made), Sequential(*twins)
    for step, rows in enumerate(batches):
        x, gradient = batch(rows, sizes[0], dtype, step), batch(rows, outputs, dtype, step + 9)
        for chain in (model, twin):
            chain.zero_grad()
        same(together(model, x, gradient), one_by_one(twin, x, gradient))
    assert "Linear" not in kinds or HandPlan in model._plans


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_add_up(dtype):
    model, x, gradient = network(dtype), batch(8, 6, dtype), batch(8, 3, dtype)
    together(model, x, gradient)
    once = [each.grad.copy() for each in model.parameters()]
    together(model, x, gradient)
    for each, first in zip(model.parameters(), once, strict=True):
        np.testing.assert_allclose(each.grad, 2 * first, rtol=1e-5)


def test_layers_go_back_by_themselves_after_the_chain():
    model, twin = network(), network()
    x, gradient = batch(8, 6), batch(8, 3)
    found = [model(x)]
    expected = one_by_one(twin, x, gradient)
    for layer in reversed(list(model)):
        gradient = layer.backward(gradient)
    same([*found, gradient, *(each.grad for each in model.parameters())], expected)


def test_the_chain_goes_back_over_what_layers_computed_last():
    model, twin = network(), network()
    x, other, gradient = batch(8, 6), batch(8, 6, seed=1), batch(8, 3)
    for chain, forward in ((model, model), (twin, twin.forward)):
        forward(x)
        chain[0](other)
    same([model.backward(gradient)], [twin.backward(gradient)])
    same([each.grad for each in model.parameters()], [each.grad for each in twin.parameters()])


def test_chains_that_share_a_layer():
    shared, x, other = Linear(6, 6, seed=0), batch(8, 6), batch(8, 6, seed=1)
    one, two = Sequential(shared, Tanh()), Sequential(shared, ReLU())
    one(x)
    two(other)
    gradient = one.backward(np.ones((8, 6), np.float32))
    again = Linear(6, 6, seed=0)
    again(other)
    tanh = Tanh()
    tanh(Linear(6, 6, seed=0)(x))
    expected = again.backward(tanh.backward(np.ones((8, 6), np.float32)))
    np.testing.assert_array_equal(gradient, expected)
    np.testing.assert_array_equal(shared._weight.grad, again._weight.grad)


def change_layer(model):
    model.layers[1] = Tanh()


def change_weight(model):
    model[0].weight = np.ones((40, 6))


def change_method(model):
    model[1].forward = model[1].backward = lambda x: x


def change_dtype(model):
    model.layers[:] = network(np.float64).layers


@pytest.mark.parametrize("change", [change_layer, change_weight, change_method, change_dtype])
def test_what_changes_between_steps_is_followed(change):
    model, twin = network(), network()
    x, gradient = batch(8, 6), batch(8, 3)
    together(model, x, gradient)
    for chain in (model, twin):
        change(chain)
        chain.zero_grad()
    x, gradient = (each.astype(model[0].dtype) for each in (x, gradient))
    same(together(model, x, gradient), one_by_one(twin, x, gradient))


def test_a_layer_that_is_replaced_before_the_way_back():
    model = network()
    model(batch(8, 6))
    model.layers[1] = Tanh()
    with pytest.raises(RuntimeError, match=r"Tanh: backward\(\) before forward\(\)"):
        model.backward(batch(8, 3))


@pytest.mark.parametrize(
    "other", [Own, lambda: Dropout(0.5, seed=0), lambda: Normalize(1.0, 2.0),
              lambda: BatchNorm1d(6), lambda: Sequential(Linear(6, 6, seed=3))]
)  # fmt: skip
def test_other_layers_compute_by_themselves(other):
    model, twin = (Sequential(other(), *network()) for _ in range(2))
    x, gradient = batch(8, 6), batch(8, 3)
    for _ in range(2):
        for chain in (model, twin):
            chain.zero_grad()
        same(together(model, x, gradient), one_by_one(twin, x, gradient))
    assert HandPlan not in (model._plans or {})


def test_numbers_that_are_not_finite_pass():
    model, twin, x = network(), network(), batch(8, 6)
    together(model, x, batch(8, 3))
    model.zero_grad()
    x[3, 2] = np.nan
    same(together(model, x, batch(8, 3)), one_by_one(twin, x, batch(8, 3)))


def test_any_rows_and_gradients_that_layers_take():
    model, twin = network(), network()
    x, gradient = batch(8, 6), batch(8, 3)
    expected = one_by_one(twin, x, gradient)
    for rows in (x.tolist(), x.astype(np.float64), np.asfortranarray(x)):
        for slopes in (gradient.tolist(), gradient.astype(np.float64), np.asfortranarray(gradient)):
            model.zero_grad()
            same(together(model, rows, slopes), expected)


@pytest.mark.parametrize(("shape", "told"), [((8, 4), "Linear: gradient has"), ((7, 3), "Linear")])
def test_a_gradient_of_another_shape(shape, told):
    model = network()
    model(batch(8, 6))
    with pytest.raises(ValueError, match=told):
        model.backward(np.ones(shape, np.float32))
    assert all(not each.grad.any() for each in model.parameters())


def test_rows_of_another_width():
    model = network()
    model(batch(8, 6))
    with pytest.raises(ValueError, match=r"Linear: x has shape \(8, 7\)"):
        model(batch(8, 7))


def test_what_layers_keep_outlives_the_plan():
    model, twin = network(), network()
    x, gradient = batch(8, 6), batch(8, 3)
    expected = one_by_one(twin, x, gradient)[1:]
    model(x)
    model._plans = model._step = None
    gc.collect()
    filled = [np.ones(1 << 16, np.uint8) for _ in range(100)]  # where the memory was, if it is free
    same([model.backward(gradient), *(each.grad for each in model.parameters())], expected)
    assert len(filled) == 100


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_goes_back_by_itself(copied):
    model, gradient = network(), batch(8, 3)
    model(batch(8, 6))
    again = copied(model)
    model[0].weight = np.zeros((40, 6))
    model(batch(8, 6, seed=1))
    expected = one_by_one(network(), batch(8, 6), gradient)[1:]
    same([again.backward(gradient), *(each.grad for each in again.parameters())], expected)


def test_the_mode_decides():
    model, x, gradient = network(), batch(8, 6), batch(8, 3)
    expected = one_by_one(network(), x, gradient)
    for mode in (model.train, model.eval, model.train):
        mode()
        model.zero_grad()
        same(together(model, x, gradient), expected)


def test_a_step_by_hand_is_that_of_fit(bits):
    x, y = batch(64, 6), np.arange(64) % 3
    model, twin, loss = network(), network(), CrossEntropyLoss()
    optimizer = SGD(twin.parameters(), lr=0.1, momentum=0.9)
    how = {"loss": loss, "epochs": 3, "batch_size": 20, "shuffle": False}
    fastnn.fit(model, x, y, optimizer=SGD(model.parameters(), lr=0.1, momentum=0.9), **how)
    for begin in [0, 20, 40, 60] * 3:
        loss(twin(x[begin : begin + 20]), y[begin : begin + 20])
        optimizer.zero_grad()
        twin.backward(loss.backward())
        optimizer.step()
    assert bits(model) == bits(twin)


def test_several_threads_at_once_end_well():
    """What they compute is anybody's; but memory is safe, and outputs are those of their rows."""
    model, failed = network(), []
    expected = {seed: network()(batch(64, 6, seed=seed)) for seed in range(4)}

    def train(seed):
        x = batch(64, 6, seed=seed)
        for _ in range(300):
            y = model(x)
            if not np.array_equal(y, expected[seed]):
                failed.append(seed)
            model.backward(np.ones_like(y))

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed


def test_layers_that_share_a_parameter_compute_by_themselves():
    def tied():
        first, second = Linear(6, 6, seed=0), Linear(6, 6, seed=1)
        second._weight = first._weight
        return Sequential(first, second)

    model, twin = tied(), tied()
    x, gradient = batch(8, 6), batch(8, 6)
    for chain in (model, twin):
        chain.zero_grad()
    same(together(model, x, gradient), one_by_one(twin, x, gradient))
    assert HandPlan not in model._plans
