import math
import threading
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import fastnn
from fastnn import (
    SGD,
    Adam,
    AdamW,
    Callback,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    MSELoss,
    NonFiniteLossError,
    Normalize,
    ReLU,
    Sequential,
    Softmax,
    Tanh,
    evaluate,
    fit,
    predict,
)
from own_layers import Own, compiled_and_eager, ignore_own


def whole_numbers(rows=60, columns=6, low=0, high=128):
    """Samples that every dtype holds exactly."""
    return np.random.default_rng(0).integers(low, high, (rows, columns)).astype(np.float32)


LABELS = np.arange(60) % 3


def network(*front, columns=6, outputs=3, dtype=np.float32, dropout=0.1):
    return Sequential(
        *front, Linear(columns, 10, dtype=dtype, seed=0), Tanh(), Dropout(dropout, seed=5),
        Linear(10, outputs, dtype=dtype, seed=1),
    )  # fmt: skip


def trained(bits, x, y=LABELS, *, front=(), loss=CrossEntropyLoss, dtype=np.float32, **changes):
    """Bits of the model after two epochs."""
    columns = int(np.prod(np.shape(x)[1:]))
    outputs = changes.pop("outputs", 3)
    model = network(*front, columns=columns, outputs=outputs, dtype=dtype)
    optimizer = Adam(model.parameters(), lr=0.01)
    how = {"epochs": 2, "batch_size": 16, "seed": 0} | changes
    fit(model, x, y, loss=loss(), optimizer=optimizer, **how)
    return list(bits(model).values())  # without the names, for other layers in front


# ------------------------------------------------------------------- whole runs, in torch


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [Tanh, ReLU])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_digits_beside_torch(torch_twin, dtype, activation, kind):
    """Twenty epochs from the same weights, with the same batches in the same order."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(dtype)
    x, y, held_x, held_y = x[:1437], y[:1437], x[1437:], y[1437:]
    model = Sequential(
        Linear(64, 100, dtype=dtype, seed=0), activation(), Linear(100, 10, dtype=dtype, seed=1)
    )
    twin = torch_twin(model)
    # At faster rates a rounding error that switches a ReLU unit is carried far along 900 steps:
    # in float32 the weights then part from torch's, in float64 they stay within 1e-9.
    slow = dtype is np.float32
    settings = {"lr": 3e-4 if slow else 1e-3}
    if kind == "SGD":
        settings = {"lr": 0.03 if slow else 0.1, "momentum": 0.9}
    optimizer = getattr(fastnn, kind)(model.parameters(), **settings)
    theirs = getattr(torch.optim, kind)(twin.parameters(), **settings)
    history = fit(model, x, y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=20,
                  batch_size=32, validation_data=(held_x, held_y), seed=0)  # fmt: skip

    rng, order = np.random.default_rng(0), np.arange(len(x))
    tx, ty, losses = torch.from_numpy(x), torch.from_numpy(y), []
    for _ in range(20):
        rng.shuffle(order)
        total = 0.0
        for start in range(0, len(x), 32):
            rows = torch.from_numpy(order[start : start + 32])
            loss = torch.nn.functional.cross_entropy(twin(tx[rows]), ty[rows])
            theirs.zero_grad()
            loss.backward()
            theirs.step()
            total += loss.item() * len(rows)
        losses.append(total / len(x))

    # atol is for the weights that lie near zero, of a network whose weights are of size 0.1.
    rtol, atol = (1e-4, 1e-6) if dtype is np.float32 else (1e-9, 1e-9)
    for name, tensor in twin.state_dict().items():
        np.testing.assert_allclose(
            model.state_dict()[name], tensor.numpy(), rtol=rtol, atol=atol, err_msg=name
        )
    np.testing.assert_allclose(history.loss, losses, rtol=rtol)
    with torch.no_grad():
        found = twin(torch.from_numpy(held_x)).argmax(dim=1).numpy()
    accuracy = float((found == held_y).mean())
    assert history.val_accuracy[-1] == pytest.approx(accuracy, abs=0.003)
    assert accuracy > 0.84


# ------------------------------------------------------------------------ kinds of data

LAYOUTS = {
    "F-ordered": np.asfortranarray,
    "strided columns": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "strided rows": lambda x: np.repeat(x, 3, axis=0)[::3],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "misaligned": lambda x: (
        np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view("f4").reshape(x.shape)
    ),
    "big-endian": lambda x: x.astype(">f4"),
    "list": np.ndarray.tolist,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "images": lambda x: x.reshape(len(x), 2, 3),
    "F-ordered images": lambda x: np.asfortranarray(x.reshape(len(x), 2, 3, 1)),
} | {
    kind: lambda x, kind=kind: x.astype(kind)
    for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
}


@pytest.mark.parametrize("front", [(), (Normalize(3.0, 50.0),)], ids=["plain", "normalized"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples_of_any_kind_are_the_same(bits, layout, front):
    x = whole_numbers()
    given = LAYOUTS[layout](x)
    assert trained(bits, given, front=(Flatten(), *front)) == trained(bits, x, front=front)


@pytest.mark.parametrize("kind", ["f8", "u1", "i4", "f4"])
def test_samples_of_any_kind_for_a_float64_model(bits, kind):
    x, double = whole_numbers(), np.float64
    given = np.asfortranarray(x.astype(kind))
    assert trained(bits, given, dtype=double) == trained(bits, x.astype("f8"), dtype=double)


def test_booleans_are_samples(bits):
    x = whole_numbers() > 60
    assert trained(bits, x) == trained(bits, x.astype(np.float32))


@pytest.mark.parametrize("kind", ["f4", "u1"])
def test_read_only_samples_and_files(bits, tmp_path, kind):
    x = whole_numbers().astype(kind)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", LABELS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    fixed = x.copy()
    fixed.flags.writeable = False
    expected = trained(bits, x)
    assert trained(bits, fixed) == expected
    assert trained(bits, mapped, np.load(tmp_path / "y.npy", mmap_mode="r")) == expected
    np.testing.assert_array_equal(mapped, x)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", "O"])
def test_labels_of_any_integer_type(bits, kind):
    given = LABELS.tolist() if kind == "O" else np.repeat(LABELS, 2).astype(kind)[::2]
    assert trained(bits, whole_numbers(), given) == trained(bits, whole_numbers())


@pytest.mark.parametrize("loss", [CrossEntropyLoss, MSELoss])
@pytest.mark.parametrize("kind", ["?", "u1", "i8", "f2", "f8", "F-ordered", "list"])
def test_one_hot_rows_of_any_type(bits, kind, loss):
    rows = np.eye(3, dtype=np.float32)[LABELS]
    given = {"F-ordered": np.asfortranarray(rows), "list": rows.tolist()}.get(kind)
    given = rows.astype(kind) if given is None else given
    assert trained(bits, whole_numbers(), given, loss=loss) == trained(
        bits, whole_numbers(), rows, loss=loss
    )


def test_labels_are_one_hot_rows_for_the_squared_error(bits):
    rows = np.eye(3)[LABELS]
    assert trained(bits, whole_numbers(), LABELS, loss=MSELoss) == trained(
        bits, whole_numbers(), rows, loss=MSELoss
    )


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "u1"])
def test_numbers_are_a_column(bits, kind):
    numbers = (LABELS * 10).astype(kind)
    results = [
        trained(bits, whole_numbers(), y, loss=MSELoss, outputs=1)
        for y in (numbers, numbers[:, None], numbers.astype("f4"))
    ]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("kind", ["f4", "u1"])
@compiled_and_eager
def test_samples_are_not_copied(kind, own):
    """Twenty (or five) megabytes of samples take no more than what a step works on."""
    x = np.zeros((20_000, 256), kind)
    x.flags.writeable = False
    y = np.zeros(len(x), np.int64)
    model = Sequential(*own, Linear(256, 4))
    optimizer = SGD(model.parameters())
    how = {"loss": CrossEntropyLoss()}

    def everything():
        fit(
            model, x, y, optimizer=optimizer, epochs=1, batch_size=64, validation_data=(x, y), **how
        )
        evaluate(model, x, y, **how)
        predict(model, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *given, **named: None)
        everything()
        tracemalloc.start()
        everything()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2.5e6


# ------------------------------------------------------------------------------- seeds


def test_seeds_decide_the_order_and_what_is_dropped(bits):
    x = whole_numbers() / 100
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [trained(bits, x, seed=seed) for seed in (0, 0, 1, 2**62, None, None)]
    assert runs[0] == runs[1]
    assert len({run[0] for run in runs}) == 5
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_order_follows_from_the_seed_alone():
    """Also for the second of two runs."""
    x = whole_numbers()
    orders = []

    class Watch(Own):
        def forward(self, x):
            if self.training:
                orders[-1].append(x.copy())
            return x

    model = Sequential(Watch(), Linear(6, 3, seed=0))
    for seed in (4, 4, 5):
        orders.append([])
        with pytest.warns(UserWarning, match="Python"):
            fit(model, x, LABELS, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()),
                epochs=2, batch_size=60, seed=seed)  # fmt: skip
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0][0] != orders[0][1]).any()
    assert (orders[0][0] != orders[2][0]).any()
    np.testing.assert_array_equal(np.sort(orders[0][0], axis=0), np.sort(x, axis=0))


def test_without_shuffling_the_order_stays():
    x, seen = whole_numbers(), []

    class Watch(Own):
        def forward(self, x):
            if self.training:
                seen.append(x.copy())
            return x

    model = Sequential(Watch(), Linear(6, 3, seed=0))
    with pytest.warns(UserWarning, match="Python"):
        fit(model, x, LABELS, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()), epochs=1,
            batch_size=25, shuffle=False)  # fmt: skip
    assert [len(each) for each in seen] == [25, 25, 10]
    np.testing.assert_array_equal(np.concatenate(seen), x)


# ------------------------------------------------------------------ evaluate and predict


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_evaluate_and_predict_are_the_model_called_by_hand(runs, data):
    run = data.draw(runs)
    batch_size = data.draw(st.integers(1, run.samples + 2))
    x, y = run.data()
    model, loss, _ = run.parts()
    found = predict(model, x, batch_size=batch_size)
    weights = run.how()["sample_weight"]
    result = evaluate(model, x, y, loss=loss, batch_size=batch_size, sample_weight=weights)
    assert all(layer.training for layer in model)  # left as they were
    assert [layer.drawn for layer in model if isinstance(layer, Dropout)] == [
        0 for layer in run.layers if layer[0] == "Dropout"
    ]
    expected = model.eval()(x)
    assert found.dtype == expected.dtype == run.dtype
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()
    value = loss(expected, y, weights)
    if not math.isfinite(value):
        reject()
    # Sums of the losses of batches, in float64.
    assert result.loss == pytest.approx(value, rel=1e-12, abs=1e-15)
    if result.accuracy is not None:
        assert result.accuracy == loss.correct / len(x)
    assert predict(model, x, batch_size=batch_size).tobytes() == found.tobytes()


def test_batches_and_threads_do_not_change_predictions():
    model, x = network(), whole_numbers(1000)
    y = np.arange(1000) % 3
    expected = predict(model, x), evaluate(model, x, y, loss=CrossEntropyLoss())
    for batch_size in (1, 7, 256, 999, 1000, 5000):
        for threads in (1, 3):
            how = {"batch_size": batch_size, "threads": threads}
            assert predict(model, x, **how).tobytes() == expected[0].tobytes()
            result = evaluate(model, x, y, loss=CrossEntropyLoss(), **how)
            assert result.loss == pytest.approx(expected[1].loss, rel=1e-12)
            assert result.accuracy == expected[1].accuracy


@compiled_and_eager
def test_flags_stay_as_they_are(own):
    model, x = network(*own), whole_numbers()
    for mode in (True, False):
        model.train(mode)
        model[-2].train(not mode)
        before = [layer.training for layer in (model, *model)]
        predict(model, x)
        evaluate(model, x, LABELS, loss=CrossEntropyLoss())
        assert [layer.training for layer in (model, *model)] == before


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize("validation", [False, True])
def test_a_model_that_was_trained_is_in_training(own, validation):
    model, x = network(*own).eval(), whole_numbers()
    fit(model, x, LABELS, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()), epochs=1,
        batch_size=16, validation_data=(x, LABELS) if validation else None)  # fmt: skip
    assert all(layer.training for layer in (model, *model))


def test_models_without_parameters():
    x = whole_numbers()
    found = predict(Sequential(Normalize(10, 10), Softmax()), x)
    expected = torch.softmax(torch.from_numpy((x - 10) * np.float32(0.1)), dim=1)
    torch.testing.assert_close(torch.from_numpy(found), expected)
    np.testing.assert_array_equal(predict(Sequential(), x), x)
    result = evaluate(Sequential(), x, x.argmax(axis=1), loss=CrossEntropyLoss())
    assert result.accuracy > 0.9


def test_predictions_are_the_caller_s():
    model, x = network(), whole_numbers()
    first = predict(model, x)
    kept = first.copy()
    predict(model, x + 1)
    first[:] += 0  # writable
    np.testing.assert_array_equal(first, kept)


def test_validation_is_evaluate_at_the_end_of_the_epoch():
    x, results = whole_numbers() / 100, []
    held = whole_numbers(37) / 90, np.arange(37) % 3
    model = network()
    history = fit(
        model, x, LABELS, loss=CrossEntropyLoss(), optimizer=Adam(model.parameters()), epochs=3,
        batch_size=16, validation_data=held,
        callbacks=[lambda t: results.append(evaluate(t.model, *held, loss=CrossEntropyLoss()))],
    )  # fmt: skip
    assert history.val_loss == [result.loss for result in results]
    assert history.val_accuracy == [result.accuracy for result in results]


def test_validation_does_not_change_training(bits):
    x = whole_numbers() / 100
    held = whole_numbers(37) / 90, np.arange(37) % 3
    assert trained(bits, x, validation_data=held) == trained(bits, x)


# ------------------------------------------------------------------- accuracy, or none


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "classes"),
    [
        (CrossEntropyLoss, LABELS, 3, True),
        (CrossEntropyLoss, np.eye(3)[LABELS], 3, True),
        (MSELoss, LABELS, 3, True),
        (MSELoss, np.eye(3)[LABELS], 3, True),
        (MSELoss, np.full((60, 3), 0.5), 3, False),
        (MSELoss, np.zeros((60, 3)), 3, False),
        (MSELoss, np.zeros((60, 1)), 1, False),
        (MSELoss, np.zeros(60), 1, False),
        (MSELoss, LABELS, 1, False),
    ],
)
def test_accuracy_is_of_classes(loss, y, outputs, classes):
    model, x = network(outputs=outputs), whole_numbers()
    optimizer = SGD(model.parameters())
    history = fit(model, x, y, loss=loss(), optimizer=optimizer, epochs=2, batch_size=16,
                  validation_data=(x, y))  # fmt: skip
    found = [*history.accuracy, *history.val_accuracy, evaluate(model, x, y, loss=loss()).accuracy]
    assert [value is not None for value in found] == [classes] * 5
    if classes:
        right = predict(model, x).argmax(axis=1) == LABELS
        assert found[-1] == history.val_accuracy[-1] == right.mean()


# ------------------------------------------------------------------------------ errors

X, Y = whole_numbers(20), LABELS[:20]
ROWS = np.eye(3)[Y]


def at(place, value, kind="f4"):
    x = X.astype(kind)
    x[place] = value
    return x


def labels(value):
    y = Y.copy()
    y[4] = value
    return y


BAD_SAMPLES = [
    (X[0], ValueError, r"x has shape \(6,\); expected \(samples, columns\)"),
    (np.float32(3), ValueError, r"x has shape \(\); expected \(samples, columns\)"),
    (X[:, :5], ValueError, r"5 columns.*; expected 6|x has shape \(\d+, 5\); expected \(rows, 6\)"),
    (X.reshape(20, 1, 2, 3)[:, :, :, :2], ValueError, r"4 columns.*expected 6|\(\d+, 4\).*6\)"),
    (X[:0], ValueError, r"x has shape \(0, 6\); expected at least one sample and column"),
    (X[:, :0], ValueError, r"x has shape \(20, 0\); expected at least one sample and column"),
    (at((7, 2), np.nan), ValueError, r"x holds nan at \(7, 2\); expected finite numbers"),
    (at((0, 0), np.inf), ValueError, r"x holds inf at \(0, 0\); expected finite numbers"),
    (at((19, 5), -np.inf, "f8"), ValueError, r"x holds -inf at \(19, 5\)"),
    (at((1, 1), np.nan, "f2"), ValueError, r"x holds nan at \(1, 1\)"),
    (at((3, 1), 1e300, "f8"), ValueError, r"x holds 1e\+300 at \(3, 1\)"),
    (
        X.astype(complex),
        TypeError,
        "x has dtype complex64; expected|x has dtype complex128; expected",
    ),
    (X.astype(str), TypeError, "x has dtype <U.*; expected float32, float64 or integers"),
    (X.astype(object), TypeError, "x has dtype object; expected float32, float64 or integers"),
    (None, (TypeError, ValueError), r"x has (dtype object|shape \(\)); expected"),
    ([[1.0, 2.0], [3.0]], ValueError, "x cannot be read as an array"),
    (np.ma.array(X, mask=np.arange(6) == 3 + 0 * X), ValueError, "x has masked elements; expected"),
    (torch.from_numpy(X).to_sparse(), TypeError, "x cannot be read as an array: .*Sparse"),
    (scipy.sparse.csr_array(X), TypeError, r"x is sparse; .* as x.toarray\(\) gives"),
]
BAD_TARGETS = [
    (CrossEntropyLoss, Y[:19], ValueError, r"y has shape \(19,\); expected \(20,\)"),
    (CrossEntropyLoss, LABELS, ValueError, r"y has shape \(60,\); expected \(20,\)"),
    (CrossEntropyLoss, Y[:0], ValueError, r"y has shape \(0,\); expected \(20,\)"),
    (
        CrossEntropyLoss,
        labels(3),
        ValueError,
        "y ranges from 0 to 3; expected class .* from 0 to 2",
    ),
    (CrossEntropyLoss, labels(-1), ValueError, "y ranges from -1 to 2; expected class .* 0 to 2"),
    (CrossEntropyLoss, Y.astype("f4"), TypeError, "y has dtype float32; expected integers"),
    (CrossEntropyLoss, Y.astype(str), TypeError, "y has dtype <U.*; expected integers"),
    (CrossEntropyLoss, Y[:, None], ValueError, r"y has shape \(20, 1\); expected \(20, 3\)"),
    (CrossEntropyLoss, ROWS[:, :2], ValueError, r"y has shape \(20, 2\); expected \(20, 3\)"),
    (CrossEntropyLoss, ROWS[:9], ValueError, r"y has shape \(9, 3\); expected \(20, 3\)"),
    (CrossEntropyLoss, -ROWS, ValueError, "y holds -1; CrossEntropyLoss expects probabilities"),
    (CrossEntropyLoss, np.ma.array(Y, mask=Y == 1), ValueError, "y has masked elements"),
    (CrossEntropyLoss, [[0, 1], [2]], ValueError, "y cannot be read as an array"),
    (CrossEntropyLoss, ROWS * np.nan, ValueError, "y holds .* not finite|y holds nan"),
    (CrossEntropyLoss, None, TypeError, "y is missing; expected targets, or as x an iterable"),
    (MSELoss, ROWS[:9], ValueError, r"y has shape \(9, 3\); expected \(20, 3\)"),
    (MSELoss, ROWS[:, :2], ValueError, r"y has shape \(20, 2\); expected \(20, 3\)"),
    (MSELoss, ROWS[:, 0], ValueError, r"y has shape \(20,\); expected \(20, 3\)"),
    (MSELoss, ROWS + np.inf, ValueError, "y holds .* not finite|y holds inf"),
    (MSELoss, np.where(ROWS, 1e300, 0), ValueError, r"y holds .* not finite|y holds 1e\+300"),
    (MSELoss, ROWS.astype(str), TypeError, "y has dtype <U.*; expected float32, float64 or int"),
    (MSELoss, labels(3), ValueError, "ranges from 0 to 3; expected class indices from 0 to 2"),
    (MSELoss, Y[:19], ValueError, r"y has shape \(19,\)|y has shape \(19, 3\)"),
]
BAD_SETTINGS = [
    ({"seed": value}, ValueError, f"seed is {value!r}; expected an integer of 0 or more, or None")
    for value in (-1, 1.5, True, "a")
] + [
    ({name: value}, ValueError, f"{name} is {value!r}; expected a positive integer")
    for name, values in {
        "batch_size": (0, -1, 2.5, True, "8", None), "epochs": (0, -1, 2.5, True, None),
        "threads": (0, -1, 2.5, True, "2"),
    }.items()
    for value in values
]  # fmt: skip
BAD_VALIDATION = [
    ((X[:, :5], Y), ValueError, "validation x .* 5 columns|validation x has shape"),
    ((X, Y[:3]), ValueError, r"validation y has shape \(3,\); expected \(20,\)"),
    ((X, labels(3)), ValueError, "validation y ranges from 0 to 3"),
    ((X, ROWS[:, :2]), ValueError, r"validation y has shape \(20, 2\); expected \(20, 3\)"),
    ((X[:0], Y[:0]), ValueError, r"validation x has shape \(0, 6\); expected at least one sample"),
    ((at((1, 2), np.nan), Y), ValueError, r"validation x holds nan at \(1, 2\)"),
    ((X,), (TypeError, ValueError), "validation_data"),
    ((X, Y, Y[:3]), ValueError, r"sample_weight has shape \(3,\); expected \(20,\)"),
    ((X, Y, None, Y), (TypeError, ValueError), "validation_data"),
    (3, (TypeError, ValueError), "validation_data"),
]


@pytest.fixture(params=["compiled", "eager"])
def refuse(request, bits):
    """Check that a `fit` raises, and that it changed nothing."""

    def check(
        error, message, *, x=X, y=Y, loss=CrossEntropyLoss, model=None, optimizer=None, **changes
    ):
        own = (Own(),) if request.param == "eager" else ()
        model = model or network(*own)
        optimizer = optimizer or Adam(model.parameters())
        fit(
            model,
            X,
            Y,
            loss=CrossEntropyLoss(),
            optimizer=optimizer,
            epochs=1,
            batch_size=8,
            seed=0,
        )
        model[-2].eval()

        def everything():
            flags = [layer.training for layer in (model, *model)]
            return bits(model, optimizer), flags, model[-2].seed, optimizer.settings.tolist()

        before = everything()
        how = {"epochs": 1, "batch_size": 8, "seed": 1} | changes
        heard = []
        with pytest.raises(error, match=message):
            fit(model, x, y, loss=loss(), optimizer=optimizer, callbacks=[heard.append], **how)
        assert everything() == before
        assert heard == []

    return check


@ignore_own
@pytest.mark.parametrize(("x", "error", "message"), BAD_SAMPLES)
def test_fit_refuses_samples(refuse, x, error, message):
    refuse(error, message, x=x)


@ignore_own
@pytest.mark.parametrize(("loss", "y", "error", "message"), BAD_TARGETS)
def test_fit_refuses_targets(refuse, loss, y, error, message):
    refuse(error, message, y=y, loss=loss)


@ignore_own
@pytest.mark.parametrize(("changes", "error", "message"), BAD_SETTINGS)
def test_fit_refuses_settings(refuse, changes, error, message):
    refuse(error, message, **changes)


@ignore_own
@pytest.mark.parametrize(("pair", "error", "message"), BAD_VALIDATION)
def test_fit_refuses_validation_data(refuse, pair, error, message):
    refuse(error, message, validation_data=pair)


def test_fit_refuses_another_model_s_optimizer(bits):
    model, other = network(), network()
    before = bits(model), bits(other)
    for parameters in (other.parameters(), [*model.parameters(), *other.parameters()]):
        with pytest.raises(
            ValueError, match="the optimizer has parameters that are not the model's"
        ):
            fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=SGD(parameters), epochs=1,
                batch_size=8)  # fmt: skip
    assert (bits(model), bits(other)) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fit_refuses_weights_that_are_not_finite(bits, value):
    model = network()
    model[3].bias[1] = value
    before = bits(model)
    with pytest.raises(ValueError, match=r"parameter 3.bias holds numbers that are not finite"):
        fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()), epochs=1,
            batch_size=8)  # fmt: skip
    assert bits(model) == before


@pytest.mark.parametrize(
    "layers",
    [
        [Linear(6, 3), Linear(3, 3, dtype=np.float64)],
        [Normalize(), Linear(6, 3, dtype=np.float64)],
        [Linear(6, 3), Normalize(dtype=np.float64), Linear(3, 3)],
    ],
)
def test_two_dtypes_are_refused(layers):
    model, how = Sequential(*layers), {"loss": CrossEntropyLoss()}
    with pytest.raises(ValueError, match="mixes float32 and float64 layers"):
        fit(model, X, Y, **how, optimizer=SGD(model.parameters()), epochs=1, batch_size=8)
    with pytest.raises(ValueError, match="mixes float32 and float64 layers"):
        evaluate(model, X, Y, **how)
    with pytest.raises(ValueError, match="mixes float32 and float64 layers"):
        predict(model, X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": Linear(6, 3)}, "model is .*Linear.*; expected a Sequential|Sequential"),
        ({"loss": CrossEntropyLoss}, "loss is .*; expected"),
        ({"loss": "mse"}, "loss is 'mse'; expected"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; expected"),
        ({"callbacks": [3]}, "callback"),
        ({"callbacks": lambda training: None}, "callbacks is .*; expected a list"),
        ({"callbacks": None}, "callbacks is None; expected a list"),
    ],
)
def test_fit_refuses_other_things(changes, message):
    model = network()
    how = {
        "model": model,
        "loss": CrossEntropyLoss(),
        "optimizer": SGD(model.parameters()),
    } | changes
    with pytest.raises(TypeError, match=message):
        fit(how.pop("model"), X, Y, **how, epochs=1, batch_size=8)


@compiled_and_eager
@pytest.mark.parametrize(("x", "error", "message"), BAD_SAMPLES)
def test_evaluate_and_predict_refuse_samples(own, x, error, message):
    model = network(*own)
    with pytest.raises(error, match=message):
        predict(model, x)
    with pytest.raises(error, match=message):
        evaluate(model, x, Y, loss=CrossEntropyLoss())


@pytest.mark.parametrize(("loss", "y", "error", "message"), BAD_TARGETS)
def test_evaluate_refuses_targets(loss, y, error, message):
    with pytest.raises(error, match=message):
        evaluate(network(), X, y, loss=loss())


@pytest.mark.parametrize("name", ["batch_size", "threads"])
@pytest.mark.parametrize("value", [0, 1.5, True])
def test_evaluate_and_predict_refuse_settings(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a positive integer"):
        predict(network(), X, **{name: value})
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a positive integer"):
        evaluate(network(), X, Y, loss=CrossEntropyLoss(), **{name: value})


# ------------------------------------------------------------- losses that are not finite


def steps_by_hand(model, x, y, optimizer, batch_size, epochs, bits, before_epoch):
    """Bits after each step while all weights are finite, and where the loss is not: from 0."""
    rng, order, loss = np.random.default_rng(3), np.arange(len(x)), MSELoss()
    for layer in model:
        if isinstance(layer, Dropout):
            layer.reseed(3)
    kept, finite = [bits(model, optimizer)], True
    for epoch in range(1, epochs + 1):
        before_epoch(epoch, x, y)
        rng.shuffle(order)
        for batch, start in enumerate(range(0, len(x), batch_size), 1):
            rows = order[start : start + batch_size]
            if not math.isfinite(loss(model(x[rows]), y[rows])):
                return kept, (epoch, batch)
            optimizer.zero_grad()
            model.backward(loss.backward())
            optimizer.step()
            finite = finite and all(np.isfinite(p.data).all() for p in model.parameters())
            if finite:
                kept.append(bits(model, optimizer))
    raise AssertionError("the run was to diverge")


def check_divergence(make, x, y, batch_size, bits, before_epoch=lambda epoch, x, y: None):
    """A run by `fit` that diverges leaves what one by hand had after its last good step."""
    model, optimizer = make()
    first = optimizer.steps
    kept, where = steps_by_hand(
        model, x.copy(), y.copy(), optimizer, batch_size, 30, bits, before_epoch
    )

    class Before(Callback):
        def on_epoch_begin(self, training):
            before_epoch(training.epoch, x, y)

    heard = []
    model, optimizer = make()
    with pytest.raises(NonFiniteLossError) as caught:
        fit(model, x, y, loss=MSELoss(), optimizer=optimizer, epochs=30, batch_size=batch_size,
            seed=3, callbacks=[Before(), heard.append])  # fmt: skip
    error = caught.value
    assert all(np.isfinite(p.data).all() for p in model.parameters())
    assert optimizer.steps - first == len(kept) - 1
    assert bits(model, optimizer) == kept[-1]
    # Where the loss was not finite; or the update before, if it was the last one of an epoch.
    batches = -(-len(x) // batch_size)
    epoch, batch = divmod(len(kept) - 1, batches)
    expected = where if epoch + 1 == where[0] else (epoch + 1, batch + 1)
    assert (error.epoch, error.batch) == expected
    assert (
        f"in epoch {error.epoch}, batch {error.batch} of {batches}; the model holds the last finite"
        in str(error)
    )
    assert len(error.history) == len(heard) == error.epoch - 1
    assert isinstance(error, FloatingPointError)

    x = np.full((8, x.shape[1]), 1e-3, np.float32)  # the model goes on
    history = fit(model, x, np.zeros(8, int), loss=CrossEntropyLoss(), epochs=1, batch_size=8,
                  optimizer=SGD(model.parameters(), lr=1e-9))  # fmt: skip
    assert len(history) == 1
    return error


DIVERGING = {
    "SGD": (SGD, {"lr": 1e5}),
    "momentum": (SGD, {"lr": 1e3, "momentum": 0.9}),
    "Nesterov": (SGD, {"lr": 1e3, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adam": (Adam, {"lr": 1e9}),
    "AdamW": (AdamW, {"lr": 1e3, "weight_decay": 1.0}),
    "clipped": (SGD, {"lr": 1e20, "clip_norm": 1.0}),
    "at once": (SGD, {"lr": 3e38, "momentum": 0.9}),
}


@ignore_own
@pytest.mark.parametrize("name", DIVERGING)
@pytest.mark.parametrize("batch_size", [8, 20, 7], ids=["divided", "whole", "partial"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@compiled_and_eager
def test_a_loss_that_is_not_finite_leaves_the_last_finite_weights(
    bits, name, batch_size, dropout, own
):
    kind, settings = DIVERGING[name]

    def make():
        layers = [Linear(6, 8, seed=0), ReLU(), Dropout(dropout), Linear(8, 3, seed=1)]
        model = Sequential(*own, *layers)
        return model, kind(model.parameters(), **settings)

    y = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    check_divergence(make, whole_numbers(20) / 10, y, batch_size, bits)


@ignore_own
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (SGD, {"lr": 0.01}),
        (SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
        (SGD, {"lr": 0.01, "momentum": 0.9, "dampening": 0.2}),
        (Adam, {"lr": 0.01}),
        (AdamW, {"lr": 0.01}),
    ],
)
@pytest.mark.parametrize("place", [0, 7, 13, 25, 39])
@compiled_and_eager
def test_good_steps_of_the_same_epoch_are_kept(bits, kind, settings, place, own):
    """From the third epoch on, the gradient of one sample overflows, and its loss does not.

    Where gradients are clipped by norm, nothing is learned from such a step instead.
    """

    def make():
        layers = [Linear(6, 8, seed=0), ReLU(), Dropout(0.2), Linear(8, 3, seed=1)]
        layers[0].weight[:, 0] = 0
        model = Sequential(*own, *layers)
        optimizer = kind(model.parameters(), **settings)
        fit(model, x, y, loss=MSELoss(), optimizer=optimizer, epochs=1, batch_size=8, seed=1)
        return model, optimizer

    def poison(epoch, x, y):
        if epoch == 3:
            x[place] = [3e38, 1e6, 1e6, 1e6, 1e6, 1e6]

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)).astype(np.float32), rng.normal(size=(40, 3)).astype(np.float32)
    x[:, 0] = 0
    error = check_divergence(make, x, y, 8, bits, poison)
    assert error.epoch == 3


@ignore_own
@compiled_and_eager
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize(("batch_size", "good_steps"), [(24, 0), (8, 2)])
def test_weights_that_overflow_while_the_loss_does_not(bits, own, batch_size, good_steps):
    """An epoch's last step may spoil the weights, when no loss can tell any more."""
    model = Sequential(*own, Linear(1, 4, bias=False, seed=0), Tanh(), Linear(4, 3, seed=1))
    model[-1].weight[...] *= 1e4
    x = np.ones((24, 1), np.float32)
    x[: 8 * good_steps] = 0  # no gradient
    optimizer = SGD([model[-3].weight], lr=3e38)
    before = bits(model)
    with pytest.raises(NonFiniteLossError, match="the weights became infinite or NaN") as caught:
        fit(model, x, LABELS[:24], loss=CrossEntropyLoss(), optimizer=optimizer, epochs=3,
            batch_size=batch_size, shuffle=False)  # fmt: skip
    assert (caught.value.epoch, caught.value.batch) == (1, good_steps + 1)
    assert optimizer.steps == good_steps
    assert bits(model) == before


# ---------------------------------------------------------------------------- callbacks


def weights(model):
    """The bits of all parameters, without their names."""
    return [array.tobytes() for array in model.state_dict().values()]


def run(callbacks, own=(), epochs=3, model=None, optimizer=None, **changes):
    model = model or network(*own)
    optimizer = optimizer or SGD(model.parameters(), lr=0.1)
    history = fit(model, X / 100, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=epochs,
                  batch_size=8, seed=0, callbacks=callbacks, **changes)  # fmt: skip
    return model, optimizer, history


@ignore_own
@compiled_and_eager
def test_callbacks_hear_everything_in_order(own):
    heard = []

    class Listener(Callback):
        def note(self, event, training):
            heard.append((event, training.epoch, len(training.history), training.optimizer.steps))

        def on_train_begin(self, training):
            self.note("train begin", training)

        def on_epoch_begin(self, training):
            self.note("epoch begin", training)

        def on_epoch_end(self, training):
            self.note("epoch end", training)

        def on_train_end(self, training):
            self.note("train end", training)

    seen = []
    model, optimizer, history = run(iter([Listener(), seen.append]), own, epochs=2)
    assert heard == [
        ("train begin", 0, 0, 0),
        ("epoch begin", 1, 0, 0), ("epoch end", 1, 1, 3),
        ("epoch begin", 2, 1, 3), ("epoch end", 2, 2, 6),
        ("train end", 2, 2, 6),
    ]  # fmt: skip
    assert len(seen) == 2
    assert seen[0].model is model
    assert seen[0].optimizer is optimizer
    assert seen[0].history is history
    assert isinstance(seen[0].loss, CrossEntropyLoss)


@ignore_own
@compiled_and_eager
def test_callbacks_may_stop(own):
    def stop(training):
        training.stop = training.epoch == 2

    _, optimizer, history = run([stop], own, epochs=10)
    assert len(history) == 2
    assert optimizer.steps == 6


@ignore_own
@compiled_and_eager
def test_settings_changed_by_callbacks_take_effect(bits, hand_loop, own):
    def change(training):
        training.optimizer.lr = 0.1 / (training.epoch + 1)
        training.optimizer.momentum = 0.5
        training.optimizer.weight_decay = 0.01 * training.epoch
        training.optimizer.clip_value = 0.01

    model, optimizer, _ = run([change], own, epochs=3)
    expected = network(*own)
    sgd = SGD(expected.parameters(), lr=0.1)
    rng, order = np.random.default_rng(0), np.arange(20)
    loss_fn = CrossEntropyLoss()
    expected[-2].reseed(0, 0)
    x = (X / 100).astype(np.float32)
    for epoch in range(1, 4):
        rng.shuffle(order)
        for start in range(0, 20, 8):
            rows = order[start : start + 8]
            loss_fn(expected(x[rows]), Y[rows])
            sgd.zero_grad()
            expected.backward(loss_fn.backward())
            sgd.step()
        sgd.lr, sgd.momentum = 0.1 / (epoch + 1), 0.5
        sgd.weight_decay, sgd.clip_value = 0.01 * epoch, 0.01
    assert bits(model, optimizer) == bits(expected, sgd)


@ignore_own
@compiled_and_eager
def test_layers_changed_by_a_callback_take_effect(own):
    """A change of what is dropped from the second epoch on, and a layer put in after it."""

    def change(training):
        if training.epoch == 1:
            dropout = next(layer for layer in training.model if isinstance(layer, Dropout))
            dropout.p = 0.9
        if training.epoch == 2:
            training.model.layers.insert(1, Tanh())

    def train(model, epochs, **how):
        fit(model, X / 100, Y, loss=CrossEntropyLoss(), epochs=epochs, batch_size=8, shuffle=False,
            optimizer=SGD(model.parameters(), lr=0.5), **how)  # fmt: skip

    model, expected = network(*own), network(*own)
    train(model, 3, callbacks=[change], seed=3)
    train(expected, 1, seed=3)
    next(layer for layer in expected if isinstance(layer, Dropout)).p = 0.9
    train(expected, 1)
    expected.layers.insert(1, Tanh())
    train(expected, 1)
    assert weights(model) == weights(expected)


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize("first", [None, 0.05])
def test_clipping_switched_by_a_callback_takes_effect(own, first):
    second = 0.05 if first is None else None

    def switch(training):
        training.optimizer.clip_norm = second

    model = network(*own, dropout=0.0)
    optimizer = SGD(model.parameters(), lr=0.5, clip_norm=first)
    run([switch], model=model, optimizer=optimizer, epochs=2, shuffle=False)
    expected = network(*own, dropout=0.0)
    for bound in (first, second):
        sgd = SGD(expected.parameters(), lr=0.5, clip_norm=bound)
        run([], model=expected, optimizer=sgd, epochs=1, shuffle=False)
    assert weights(model) == weights(expected)


def test_clipping_of_an_earlier_run_is_forgotten():
    one, other = network(), network()
    clipped, plain = SGD(one.parameters(), lr=0.5, clip_norm=1e-3), SGD(other.parameters(), lr=0.5)
    run([], model=one, optimizer=clipped, epochs=1)
    one.load_state_dict(other.state_dict())
    clipped.clip_norm = None
    run([], model=one, optimizer=clipped, epochs=1)
    run([], model=other, optimizer=plain, epochs=1)
    assert weights(one) == weights(other)


@ignore_own
@compiled_and_eager
@pytest.mark.parametrize(
    "event", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"]
)
def test_errors_of_callbacks_come_through(own, event):
    ended = []

    class Fails(Callback):
        def on_train_end(self, training):
            ended.append(training.epoch)

    class OddError(Exception):
        pass

    def fail(self, training):
        if training.epoch == 2 or event == "on_train_begin":
            ended.append("failed")
            raise OddError

    setattr(Fails, event, fail)
    model = network(*own)
    optimizer = Adam(model.parameters())
    before = threading.active_count()
    with pytest.raises(OddError):
        run([Fails()], model=model, optimizer=optimizer, epochs=2, threads=2)
    assert threading.active_count() == before
    steps = {"on_train_begin": 0, "on_epoch_begin": 3, "on_epoch_end": 6, "on_train_end": 6}[event]
    assert optimizer.steps == model[-2].drawn == steps
    assert ended == {
        "on_train_begin": ["failed", 0], "on_train_end": ["failed"],
    }.get(event, ["failed", 2])  # fmt: skip
    clean = network(*own)
    adam = Adam(clean.parameters())
    if steps:
        run([], model=clean, optimizer=adam, epochs=steps // 3)
    assert weights(model) == weights(clean)
    assert len(run([], model=model, optimizer=optimizer, epochs=1)[2]) == 1


@ignore_own
@compiled_and_eager
def test_weights_set_by_callbacks_are_those_that_train(own):
    start, other = (network(*own, dropout=0.0) for _ in range(2))
    other[-1].bias = [1, 2, 3]

    def reset(training):
        training.model.load_state_dict(other.state_dict())

    assert weights(run([reset], own, epochs=3)[0]) == weights(other)
    once = [lambda training: reset(training) if training.epoch == 1 else None]
    found, *_ = run(once, model=network(*own, dropout=0.0), epochs=2, shuffle=False)
    expected, *_ = run([], model=other, epochs=1, shuffle=False)
    assert weights(found) == weights(expected) != weights(start)


@ignore_own
@compiled_and_eager
def test_callbacks_may_use_the_model(bits, own):
    def look(training):
        predict(training.model, X)
        evaluate(training.model, X, Y, loss=CrossEntropyLoss())
        run([], epochs=1)  # another model

    quiet, busy = run([], own), run([look], own)
    assert bits(*quiet[:2]) == bits(*busy[:2])


@ignore_own
@compiled_and_eager
def test_callbacks_may_make_a_model_of_its_layers(bits, own):
    """The weights move to the new model's memory; training and validation have to follow them."""
    quiet = run([], own, epochs=3, validation_data=(X, Y))
    take = [lambda training: Sequential(*training.model.layers[:-1])]
    busy = run(take, own, epochs=3, validation_data=(X, Y))
    assert bits(*quiet[:2]) == bits(*busy[:2])
    assert quiet[2].val_loss == busy[2].val_loss


# ------------------------------------------------------------------------------ history


@ignore_own
@compiled_and_eager
def test_history_is_of_the_epochs(own):
    _, _, history = run([], own, epochs=4, validation_data=(X, Y))
    assert len(history) == 4
    for values in history.values():
        assert len(values) == 4
        assert all(isinstance(value, float) for value in values)
    assert all(seconds > 0 for seconds in history.seconds)
    _, _, history = run([], own, epochs=2)
    assert history.val_loss == history.val_accuracy == [None, None]


def test_one_sample_and_one_column(bits, hand_loop):
    x, y = np.array([[2.0]], np.float32), np.array([[3.0]], np.float32)
    models = [Sequential(Linear(1, 1, seed=0)) for _ in range(2)]
    for model, train in zip(models, (fit, hand_loop), strict=True):
        train(model, x, y, loss=MSELoss(), optimizer=SGD(model.parameters(), lr=0.1), epochs=50,
              batch_size=100)  # fmt: skip
    assert bits(models[0]) == bits(models[1])
    np.testing.assert_allclose(predict(models[0], x), y, rtol=1e-6)


def test_digits_are_learned():
    x, y = load_digits(return_X_y=True)
    model = Sequential(Normalize(8, 8), Linear(64, 50, seed=0), ReLU(), Linear(50, 10, seed=1))
    history = fit(model, x[:1400].astype(np.uint8), y[:1400], loss=CrossEntropyLoss(),
                  optimizer=Adam(model.parameters(), lr=3e-3), epochs=30, batch_size=32, seed=0,
                  validation_data=(x[1400:].astype(np.uint8), y[1400:]))  # fmt: skip
    assert history.accuracy[-1] > 0.995
    assert history.val_accuracy[-1] > 0.9


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_that_fill_no_batch_are_left_out(bits, threads):
    """Each epoch leaves out others, those at the end of its order."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    one, other = (Sequential(Linear(3, 2, seed=0)) for _ in range(2))
    run = {"loss": CrossEntropyLoss(), "epochs": 1, "batch_size": 8}
    history = fit(one, x, y, optimizer=SGD(one.parameters()), seed=0, drop_last=True,
                  threads=threads, **run | {"epochs": 3})  # fmt: skip
    order, optimizer, losses = np.arange(50), SGD(other.parameters()), []
    rng = np.random.default_rng(0)
    for _ in range(3):
        rng.shuffle(order)
        rows = order[:48]
        losses += fit(other, x[rows], y[rows], optimizer=optimizer, shuffle=False, **run).loss
    assert bits(one) == bits(other)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-6)


def test_a_resumed_run_leaves_out_the_same_rows(bits, tmp_path):
    x, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2
    found = []
    for stops in ([4], [2, 4]):
        for epochs in stops:
            model = Sequential(Linear(3, 2, seed=0))
            run = {"loss": CrossEntropyLoss(), "optimizer": SGD(model.parameters()), "seed": 0}
            run |= {"batch_size": 8, "checkpoint": tmp_path / str(stops), "resume": True}
            fit(model, x, y, epochs=epochs, drop_last=True, **run)
        found.append(bits(model))
        with pytest.raises(fastnn.ModelFileError, match="found a training with drop_last True"):
            fit(model, x, y, epochs=5, **run)
    assert found[0] == found[1]


def test_a_batch_must_be_left():
    model = Sequential(Linear(3, 2))
    with pytest.raises(ValueError, match="of 32 of 8 samples leave none with drop_last=True"):
        fit(model, np.ones((8, 3)), np.zeros(8, int), loss=CrossEntropyLoss(), epochs=1,
            optimizer=SGD(model.parameters()), drop_last=True)  # fmt: skip


def test_batches_of_32_rows_by_default(bits):
    x, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2
    found = []
    for setting in ({}, {"batch_size": 32}):
        model = Sequential(Linear(3, 2, seed=0))
        fit(model, x, y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters()), epochs=2,
            seed=0, **setting)  # fmt: skip
        found.append(bits(model))
    assert found[0] == found[1]
