import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import BatchNorm1d, LayerNorm, Linear, ReLU, Sequential
from own_layers import compiled_and_eager, ignore_own

DTYPES = st.sampled_from([np.float32, np.float64])
SIZES = st.integers(1, 40)
few = settings(max_examples=40, deadline=None)
# Sums over rows, in float32, of numbers of some tens: not in torch's order.
LOOSE = {np.float32: (1e-4, 1e-4), np.float64: (1e-7, 1e-7)}


def numbers(rows, columns, dtype=np.float64, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, columns)) * scale + rng.normal(size=columns)).astype(dtype)


def spread(rows, columns, dtype, seed, along):
    """Numbers apart from each other along an axis: hardly different ones lose all digits."""
    x = numbers(rows, columns, np.float64, seed, 0.5)
    x += np.expand_dims(np.linspace(-4, 4, x.shape[along]), 1 - along)
    return x.astype(dtype)


def drawn(norm, seed=0):
    """A layer whose gain and shift are not 1 and 0."""
    rng = np.random.default_rng(seed)
    for parameter in norm.parameters():
        parameter.assign(rng.uniform(0.5, 2, parameter.shape))
    return norm


def torchs(kind, *arguments, dtype):
    return getattr(torch.nn, kind)(*arguments).to(
        torch.float32 if dtype is np.float32 else torch.float64
    )


# ---------------------------------------------------------------------- against torch


@few
@given(SIZES, st.integers(2, 70), DTYPES, st.sampled_from(["both", "gain", "none"]), SIZES)
def test_layer_norm_is_torchs(same_as_torch, rows, columns, dtype, learning, seed):
    affine, bias = learning != "none", learning == "both"
    same_as_torch(
        drawn(LayerNorm(columns, 1e-5, affine, bias, dtype)),
        torchs("LayerNorm", columns, 1e-5, affine, bias, dtype=dtype),
        spread(rows, columns, dtype, seed, 1),
        gradient=LOOSE[dtype], parameters=LOOSE[dtype], value=LOOSE[dtype],
    )  # fmt: skip


@few
@given(st.integers(2, 60), SIZES, DTYPES, st.booleans(), st.sampled_from([0.1, 0.0, 1.0, None]))
def test_batch_norm_is_torchs(same_as_torch, rows, columns, dtype, affine, momentum):
    ours = drawn(BatchNorm1d(columns, 1e-5, momentum, affine, dtype=dtype))
    theirs = torchs("BatchNorm1d", columns, 1e-5, momentum, affine, dtype=dtype)
    for seed in range(3):  # the running numbers move on
        theirs.zero_grad()
        same_as_torch(
            ours, theirs, spread(rows, columns, dtype, seed, 0), gradient=LOOSE[dtype],
            parameters=LOOSE[dtype], value=LOOSE[dtype],
        )  # fmt: skip
        state = theirs.state_dict()
        for name, buffer in ours.named_buffers():
            torch.testing.assert_close(torch.tensor(buffer), state[name])
    assert ours.num_batches_tracked == 3
    ours.eval()
    theirs.eval().zero_grad()
    same_as_torch(
        ours, theirs, spread(rows, columns, dtype, 9, 0), gradient=LOOSE[dtype],
        parameters=LOOSE[dtype], value=LOOSE[dtype],
    )  # fmt: skip
    assert ours.num_batches_tracked == 3


def test_without_running_numbers_the_batch_normalises():
    ours = BatchNorm1d(4, track_running_stats=False)
    theirs = torch.nn.BatchNorm1d(4, track_running_stats=False)
    assert dict(ours.named_buffers()) == {}
    for each in (ours, theirs):
        each.eval()
    x = numbers(20, 4, np.float32)
    torch.testing.assert_close(torch.tensor(ours(x)), theirs(torch.tensor(x)).detach())
    model = Sequential(ours)
    np.testing.assert_array_equal(fastnn.predict(model, x), ours(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm1d])
def test_backward_by_central_differences(check_backward, kind, training):
    norm = drawn(kind(5, dtype=np.float64))
    if hasattr(norm, "running_mean"):
        norm.running_mean[...], norm.running_var[...] = 0.3, 2.0
    norm.train(training)
    check_backward(norm, numbers(4, 5))


# ---------------------------------------------------------------------- large numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_offsets_cancel(dtype):
    """The variance is taken from differences, so a large mean costs no digits of it."""
    x = np.random.default_rng(0).integers(-8, 9, (64, 32)).astype(dtype)
    offset = dtype(2.0**16)
    for norm in (LayerNorm(32, dtype=dtype), BatchNorm1d(32, dtype=dtype)):
        np.testing.assert_allclose(norm(x + offset), norm(x), rtol=0, atol=2e-3)


def test_constant_columns_and_rows_are_the_shift():
    for norm in (LayerNorm(3), BatchNorm1d(3)):
        norm.bias = [1, 2, 3]
        np.testing.assert_array_equal(norm(np.full((4, 3), 7.0)), np.tile([1, 2, 3], (4, 1)))


# ------------------------------------------------------------------------- in training


X = numbers(103, 7, np.float32)
Y = np.random.default_rng(1).integers(0, 3, 103)


def network(own=()):
    return Sequential(
        BatchNorm1d(7), Linear(7, 20, seed=0), BatchNorm1d(20, momentum=None), ReLU(), *own,
        LayerNorm(20), Linear(20, 3, seed=1),
    )  # fmt: skip


def trained(own=(), x=X, **changes):
    model = network(own)
    optimizer = fastnn.SGD(model.parameters(), lr=0.05, momentum=0.9)
    how = {"epochs": 3, "batch_size": 16, "seed": 0} | changes
    history = fastnn.fit(model, x, Y, loss=fastnn.CrossEntropyLoss(), optimizer=optimizer, **how)
    return model, history


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_training_beside_torch(own, threads):
    """Statistics, weights and losses of three epochs without shuffling."""
    model, history = trained(own, shuffle=False, threads=threads)
    start = network()
    twin = torch.nn.Sequential(
        torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 20), torch.nn.BatchNorm1d(20, momentum=None),
        torch.nn.ReLU(), torch.nn.LayerNorm(20), torch.nn.Linear(20, 3),
    )  # fmt: skip
    twin.load_state_dict({n: torch.tensor(a) for n, a in start.state_dict().items()})
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    x, y = torch.tensor(X), torch.tensor(Y)
    for epoch in range(3):
        total = 0.0
        for i in range(0, 103, 16):
            loss = torch.nn.functional.cross_entropy(twin(x[i : i + 16]), y[i : i + 16])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x[i : i + 16])
        assert history.loss[epoch] == pytest.approx(total / 103, rel=1e-4)
    names = [name.replace("5.", "4.").replace("6.", "5.") if own else name
             for name in model.state_dict()]  # fmt: skip
    for name, array in zip(names, model.state_dict().values(), strict=True):
        torch.testing.assert_close(
            torch.tensor(array), twin.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name
        )
    with torch.no_grad():
        expected = twin.eval()(x)
    torch.testing.assert_close(
        torch.tensor(fastnn.predict(model, X)), expected, rtol=1e-3, atol=1e-3
    )


@ignore_own
@compiled_and_eager
def test_a_batch_whose_loss_is_not_finite_leaves_the_running_numbers(own):
    x = X.copy()
    x[40] = 3e38  # in the third batch

    def one(limit):
        model = network(own)
        optimizer = fastnn.SGD(model.parameters(), lr=0.05)
        how = {"loss": fastnn.CrossEntropyLoss(), "optimizer": optimizer, "epochs": 1}
        if limit is None:
            with pytest.raises(fastnn.NonFiniteLossError), np.errstate(all="ignore"):
                fastnn.fit(model, x, Y, batch_size=16, shuffle=False, **how)
        else:
            fastnn.fit(model, x[:limit], Y[:limit], batch_size=16, shuffle=False, **how)
        return [(name, array.tobytes()) for name, array in model.state_dict().items()]

    assert one(None) == one(32)


def test_running_numbers_are_restored_with_the_best_weights():
    from fastnn.callbacks import EarlyStopping

    kept = []
    early = EarlyStopping(monitor="loss", mode="max", patience=2)
    model, _ = trained(callbacks=[lambda t: kept.append(t.model.state_dict()), early], epochs=6)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, kept[early.best_epoch - 1][name])
    assert model[0].num_batches_tracked == 7 * early.best_epoch


def test_saved_and_loaded(tmp_path):
    model, _ = trained()
    fastnn.save(model, tmp_path / "m")
    other = fastnn.load(tmp_path / "m")
    assert other[0].num_batches_tracked == 21
    assert repr(other) == repr(model)
    np.testing.assert_array_equal(other(X), model.eval()(X))
    import safetensors.torch

    state = safetensors.torch.load_file(tmp_path / "m")
    torch.nn.BatchNorm1d(7).load_state_dict(
        {name[2:]: tensor for name, tensor in state.items() if name.startswith("0.")}
    )


@pytest.mark.parametrize("batch_size", [1, 17, 51, 102])
def test_batches_of_one_row_are_refused_at_once(batch_size):
    model = network()
    before = model.state_dict()
    with pytest.raises(ValueError, match="leave one of a single row"):
        fastnn.fit(model, X, Y, loss=fastnn.CrossEntropyLoss(), epochs=1, batch_size=batch_size,
                   optimizer=fastnn.SGD(model.parameters()))  # fmt: skip
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert fastnn.predict(model, X[:1]).shape == (1, 3)


# ------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerNorm(0), "LayerNorm: normalized_shape is 0; expected a positive integer"),
        (lambda: LayerNorm((2, 3)), r"LayerNorm: normalized_shape is \(2, 3\); expected"),
        (lambda: BatchNorm1d(3, eps=-1), "BatchNorm1d: eps is -1"),
        (lambda: BatchNorm1d(3, momentum=1.5), "momentum is 1.5; expected a number from 0 to 1"),
        (lambda: BatchNorm1d(3, dtype=int), "dtype is int64; expected float32 or float64"),
        (lambda: LayerNorm(3)(np.zeros((2, 4))), r"x has shape \(2, 4\); expected \(rows, 3\)"),
        (lambda: BatchNorm1d(3)(np.zeros((1, 3))), "expected more than one row in training"),
        (lambda: fastnn.predict(Sequential(Linear(4, 5), LayerNorm(4)), np.zeros((2, 4))),
         r"LayerNorm\(.*\) gets 5 columns; expected 4"),
    ],
)  # fmt: skip
def test_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parameters_that_are_not_there():
    norm = LayerNorm(3, bias=False)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
    assert norm.bias is None
    with pytest.raises(ValueError, match="this LayerNorm layer has no bias to assign to"):
        norm.bias = [1, 2, 3]
    assert norm.normalized_shape == (3,)
    assert LayerNorm([3]).columns == 3
    assert BatchNorm1d(3).num_features == 3


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm1d])
@pytest.mark.parametrize("eps", ["a", None, -1, math.nan, math.inf])
def test_norms_refuse_what_is_no_eps(kind, eps):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: eps is .*; expected a number of 0 or"):
        kind(3, eps=eps)


@pytest.mark.parametrize("momentum", ["a", -0.1, 2, math.nan])
def test_batch_norm_refuses_what_is_no_momentum(momentum):
    with pytest.raises(ValueError, match=r"momentum is .*; expected a number from 0 to 1, or None"):
        BatchNorm1d(3, momentum=momentum)


@pytest.mark.parametrize("count", [-1, 2**63, 1.5, "3"])
def test_batch_norm_refuses_what_is_no_count_of_batches(count):
    norm = BatchNorm1d(3)
    norm.num_batches_tracked = 5
    with pytest.raises(ValueError, match=r"num_batches_tracked is .*; expected an integer of 0"):
        norm.num_batches_tracked = count
    assert norm.num_batches_tracked == 5
