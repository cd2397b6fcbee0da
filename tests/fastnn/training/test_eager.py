"""Layers and losses of the user's own train in Python, to the bits of the hand-written loop."""

import copy
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fastnn import (
    GELU,
    SGD,
    Adam,
    CrossEntropyLoss,
    Dropout,
    Layer,
    Linear,
    MSELoss,
    NonFiniteLossError,
    Normalize,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    evaluate,
    fit,
    predict,
)
from fastnn.nn.loss import Loss
from fastnn.training import eager
from kernels.base import subnormals
from own_layers import Own

X = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
Y = np.arange(60) % 3


class Scale(Layer):
    """y = a x, with numbers a that learn."""

    def __init__(self, columns, dtype=np.float32):
        self.factor = Parameter(np.linspace(0.5, 1.5, columns).astype(dtype))

    def forward(self, x):
        self._x = x
        return x * self.factor.data

    def backward(self, gradient):
        self.factor.grad[...] += (gradient * self._x).sum(axis=0)
        return gradient * self.factor.data

    def named_parameters(self):
        yield "factor", self.factor


class Duck:
    """Of no family: forward, backward and parameters, no names and no training flag."""

    def __init__(self, columns):
        self.offset = Parameter(np.zeros(columns, np.float32))

    def forward(self, x):
        return x + self.offset.data

    def backward(self, gradient):
        self.offset.grad[...] += gradient.sum(axis=0)
        return gradient

    def parameters(self):
        return [self.offset]


class Pairs:
    """y_i = x_2i + x_2i+1: another number of columns than came in."""

    def forward(self, x):
        return x[:, ::2] + x[:, 1::2]

    def backward(self, gradient):
        return np.repeat(gradient, 2, axis=1)


class Doubled(Linear):
    """A layer of fastnn's, made to do something else."""

    def forward(self, x):
        return super().forward(2 * np.asarray(x))

    def backward(self, gradient):
        return 2 * super().backward(gradient)


CHAINS = {
    "subclass": lambda: [
        Linear(6, 5, seed=0), Scale(5), Tanh(), Dropout(0.2), Linear(5, 3, seed=1)
    ],
    "first": lambda: [Scale(6), Linear(6, 3, seed=0)],
    "duck": lambda: [Linear(6, 5, seed=0), ReLU(), Duck(5), Linear(5, 3, seed=1), Duck(3)],
    "other columns": lambda: [Linear(6, 6, seed=0), Pairs()],
    "columns from the start": lambda: [Pairs(), Duck(3)],
    "subclass of Linear": lambda: [Doubled(6, 5, seed=0), Tanh(), Linear(5, 3, seed=1)],
    "Normalize inside": lambda: [Linear(6, 5, seed=0), Normalize(0.1, 2), Linear(5, 3, seed=1)],
    "in a chain": lambda: [
        Sequential(Linear(6, 5, seed=0), Sequential(Scale(5))), Linear(5, 3, seed=1)
    ],
    "only own": lambda: [Scale(6), Pairs()],
}  # fmt: skip


@pytest.mark.parametrize("loss", [CrossEntropyLoss, MSELoss])
@pytest.mark.parametrize("name", CHAINS)
def test_own_layers_train_as_by_hand(bits, hand_loop, name, loss):
    how = {"epochs": 3, "batch_size": 16, "seed": 4}
    model, other = Sequential(*CHAINS[name]()), Sequential(*CHAINS[name]())
    before = model.state_dict()
    optimizer, its = (Adam(m.parameters(), lr=0.01) for m in (model, other))
    with pytest.warns(
        UserWarning, match="not a layer that fastnn compiles: training steps in Python"
    ):
        history = fit(model, X, Y, loss=loss(), optimizer=optimizer, validation_data=(X, Y), **how)
    expected = hand_loop(other, X, Y, loss=loss(), optimizer=its, **how)
    assert bits(model, optimizer) == bits(other, its)
    assert all((values != before[name]).any() for name, values in model.state_dict().items())
    np.testing.assert_allclose(history.loss, [each[0] for each in expected], rtol=1e-12)
    assert history.accuracy == [each[1] for each in expected]
    assert predict(model, X).tobytes() == other.eval()(X).tobytes()
    result = evaluate(model, X, Y, loss=loss(), batch_size=7)
    assert result.loss == pytest.approx(history.val_loss[-1], rel=1e-6)
    assert result.accuracy == history.val_accuracy[-1]


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_layers_that_share_a_parameter_train_as_by_hand(bits, hand_loop, kind):
    """Their gradients are added up before the step; two updates would be another step."""

    def made():
        first = Linear(6, 6, seed=0)
        model = Sequential(first, Tanh(), copy.copy(first), Tanh(), Linear(6, 3, seed=1))
        return model, kind(dict.fromkeys(model.parameters()), lr=0.05)

    (model, optimizer), (other, its) = made(), made()
    how = {"loss": CrossEntropyLoss(), "epochs": 3, "batch_size": 16, "seed": 4}
    with pytest.warns(UserWarning, match=r"two layers share a parameter.*: training steps in"):
        fit(model, X, Y, optimizer=optimizer, **how)
    hand_loop(other, X, Y, optimizer=its, **how)
    assert bits(model, optimizer) == bits(other, its)


def test_one_note_that_it_steps_in_python():
    model = Sequential(Linear(6, 3, seed=0), Own())
    how = {"loss": CrossEntropyLoss(), "optimizer": SGD(model.parameters(), clip_norm=1.0)}

    def change(training):
        training.optimizer.clip_norm = None

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, X, Y, **how, epochs=3, batch_size=8, validation_data=(X, Y), callbacks=[change])
    assert [str(each.message) for each in caught] == [
        "Own is not a layer that fastnn compiles: training steps in Python"
    ]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(model, X)
        evaluate(model, X, Y, loss=CrossEntropyLoss())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_eager_is_compiled(runs, bits, data):
    """A layer that does nothing but is not fastnn's changes no bit of the result."""
    run = data.draw(runs)
    place = data.draw(st.integers(0, len(run.layers)))
    x, y = run.data()
    results = []
    for own in (False, True):
        model, loss, optimizer = run.parts()
        if own:
            layers = list(model)
            model = Sequential(*layers[:place], Own(), *layers[place:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                history = fit(
                    model, x, y, loss=loss, optimizer=optimizer, **run.how()
                )  # fmt: skip
            except NonFiniteLossError:
                reject()
        results.append((list(bits(model, optimizer).values()), history.accuracy))
        results[-1] += (predict(model, x).tobytes(), history.loss)
    assert results[0][:-1] == results[1][:-1]
    # Sums of the losses, in float64.
    np.testing.assert_allclose(results[0][-1], results[1][-1], rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_subnormal_numbers_are_zero_as_where_all_is_compiled(bits):
    x = np.linspace(-14, -13, 400, dtype=np.float32).reshape(-1, 4)
    smallest = np.finfo(np.float32).smallest_normal
    outputs = GELU()(x)
    assert ((outputs != 0) & (abs(outputs) < smallest)).any()
    assert (
        predict(Sequential(Own(), GELU()), x).tobytes() == predict(Sequential(GELU()), x).tobytes()
    )

    x, y = np.full((20, 1), 1e-10, np.float32), np.zeros((20, 1), np.float32)
    results = []
    for own in ((), (Own(),)):
        model = Sequential(*own, Linear(1, 1, bias=False))
        model[-1].weight = np.full((1, 1), 1e-20)  # its gradient is 2e-40
        optimizer = SGD(model.parameters(), lr=1.0, momentum=0.9)
        fit(model, x, y, loss=MSELoss(), optimizer=optimizer, epochs=2, batch_size=10)
        results.append(list(bits(model, optimizer).values()))
    assert results[0] == results[1]


@pytest.mark.filterwarnings("ignore:.*is not a layer")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_layers_get_numbers_where_samples_are_bytes(bits, dtype):
    x = np.random.default_rng(0).integers(150, 256, (60, 6)).astype(np.uint8)
    results = []
    for samples in (x, x.astype(np.float32)):
        model = Sequential(Pairs(), Linear(3, 3, dtype=dtype, seed=0))
        how = {"loss": CrossEntropyLoss(), "batch_size": 16}
        fit(model, samples, Y, optimizer=SGD(model.parameters(), lr=1e-6), epochs=1, seed=0, **how)
        results.append(
            (bits(model), predict(model, samples).tobytes(), evaluate(model, samples, Y, **how))
        )
    assert results[0] == results[1]


class Grid(Layer):
    """Means over the columns of images, by a layer that wants images."""

    def forward(self, x):
        assert x.ndim == 3
        self._shape = x.shape
        return x.mean(axis=1)

    def backward(self, gradient):
        rows, height, width = self._shape
        return np.broadcast_to(gradient[:, None] / height, (rows, height, width))


@pytest.mark.filterwarnings("ignore:.*is not a layer")
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
def test_an_own_first_layer_gets_samples_in_their_shape(kind, nested):
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 5)).astype(kind)
    head = [Grid(), Linear(5, 3, seed=0)]
    model = Sequential(Sequential(*head)) if nested else Sequential(*head)
    how = {"loss": CrossEntropyLoss(), "batch_size": 16}
    before = evaluate(model, images, Y, **how)
    history = fit(model, images, Y, optimizer=SGD(model.parameters(), lr=1e-5), epochs=3,
                  validation_data=(images[:9], Y[:9]), **how)  # fmt: skip
    assert history.loss[-1] < before.loss
    model.eval()
    expected = model(images.astype(np.float32))
    np.testing.assert_array_equal(predict(model, images), expected)
    with pytest.raises(ValueError, match=r"validation x has samples of shape \(5, 4\)"):
        fit(model, images, Y, optimizer=SGD(model.parameters()), epochs=1, **how,
            validation_data=(images.reshape(60, 5, 4), Y))  # fmt: skip


@pytest.mark.parametrize("first", [Own(), Doubled(6, 6), Linear(6, 6), Sequential(), Tanh()])
@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_other_first_layers_get_rows(first):
    model = Sequential(first, Linear(6, 3))
    np.testing.assert_array_equal(predict(model, X.reshape(60, 2, 3)), predict(model, X))


@pytest.mark.filterwarnings("ignore:.*is not a layer")
@pytest.mark.parametrize("index", [np.s_[:, 0], np.s_[:, :, None], np.s_[:0]])
def test_outputs_that_are_no_rows(index):
    class Cut(Duck):
        def forward(self, x):
            return x[index]

    with pytest.raises(ValueError, match=r"the model's output for one sample has shape .*; expec"):
        predict(Sequential(Cut(6)), X)


# ------------------------------------------------------------------------- own losses


class AbsoluteError(Loss):
    """Mean of |y - t|; without a count of right rows."""

    def __call__(self, predictions, targets):
        gap = predictions - targets
        self._gradient = (np.sign(gap) / len(gap) / gap.shape[1]).astype(gap.dtype)
        return float(np.abs(gap).mean())


def test_own_losses(bits):
    t = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    how = {"epochs": 4, "batch_size": 16}
    model, other = (Sequential(Linear(6, 3, seed=0), Tanh()) for _ in range(2))
    with pytest.warns(UserWarning, match="AbsoluteError is not a loss that fastnn compiles"):
        history = fit(model, X, t, loss=AbsoluteError(), optimizer=SGD(model.parameters(), lr=0.1),
                      **how, shuffle=False)  # fmt: skip
    loss, optimizer, means = AbsoluteError(), SGD(other.parameters(), lr=0.1), []
    for _ in range(4):
        total = 0.0
        for start in range(0, 60, 16):
            rows = slice(start, start + 16)
            total += loss(other(X[rows]), t[rows]) * len(X[rows])
            optimizer.zero_grad()
            other.backward(loss.backward())
            optimizer.step()
        means.append(total / 60)
    assert bits(model) == bits(other)
    np.testing.assert_allclose(history.loss, means, rtol=1e-12)
    assert history.loss[-1] < history.loss[0]
    assert history.accuracy == [None] * 4
    expected = float(np.abs(predict(model, X) - t).mean())
    result = evaluate(model, X, t, loss=AbsoluteError(), batch_size=7)
    assert result.loss == pytest.approx(expected, rel=1e-6)
    assert result.accuracy is None


# ------------------------------------------------------------------------------ errors


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_labels_are_checked_against_the_columns_that_come_out(bits):
    model = Sequential(Linear(6, 8, seed=0), Pairs())  # four classes
    how = {"loss": CrossEntropyLoss(), "optimizer": SGD(model.parameters()), "epochs": 1,
           "batch_size": 8}  # fmt: skip
    before = bits(model)
    with pytest.raises(ValueError, match=r"y ranges from 0 to 4; expected .* from 0 to 3"):
        fit(model, X, np.arange(60) % 5, **how)
    assert bits(model) == before
    fit(model, X, np.arange(60) % 4, **how)
    wider = Sequential(Doubled(6, 12, seed=0), Pairs(), Pairs())
    assert predict(wider, X).shape == (60, 3)


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_an_error_of_an_own_layer_comes_through_after_whole_steps(bits, hand_loop):
    class OddError(Exception):
        pass

    class Fails(Own):
        left = 100

        def backward(self, gradient):
            self.left -= 1
            if self.left == 0:
                raise OddError
            return gradient

    def parts():
        model = Sequential(Linear(6, 5, seed=0), Fails(), Dropout(0.3), Linear(5, 3, seed=1))
        return model, Adam(model.parameters())

    how = {"loss": CrossEntropyLoss(), "epochs": 5, "batch_size": 16, "seed": 0}
    model, optimizer = parts()
    model[1].left = 6
    with pytest.raises(OddError):
        fit(model, X, Y, optimizer=optimizer, **how)
    expected, its = parts()
    hand_loop(expected, X, Y, optimizer=its, **how, steps=5)
    assert bits(model, optimizer) == bits(expected, its)
    assert optimizer.steps == 5
    model[1].left = 100
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=1, batch_size=16)
    assert optimizer.steps == 9


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_a_loss_that_raises_leaves_flags_as_they_were():
    class Fails(Own):
        def forward(self, x):
            raise RuntimeError("mine")

    model = Sequential(Linear(6, 3), Fails())
    for mode in (True, False):
        model.train(mode)
        for call in (lambda: predict(model, X), lambda: evaluate(model, X, Y, loss=MSELoss())):
            with pytest.raises(RuntimeError, match="mine"):
                call()
        assert [layer.training for layer in (model, *model)] == [mode] * 3


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_ctrl_c(bits, hand_loop):
    def parts():
        model = Sequential(Linear(6, 5, seed=0), Own(), Dropout(0.3), Linear(5, 3, seed=1))
        return model, SGD(model.parameters(), lr=0.01, momentum=0.9)

    model, optimizer = parts()
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    threading.Timer(0.3, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=10**6, batch_size=16,
            seed=0)  # fmt: skip
    assert time.perf_counter() - sent[0] < 5  # thousandths of a second, on a machine at rest
    assert all(np.isfinite(p.data).all() for p in model.parameters())
    steps = optimizer.steps
    assert steps > 0
    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=optimizer, epochs=1, batch_size=16)
    assert optimizer.steps == steps + 4


class Cut(subnormals.Flushed):
    """A context that Ctrl-C ends before it has set anything back."""

    def __exit__(self, *error):
        raise KeyboardInterrupt


@pytest.mark.skipif(not subnormals.FLUSH, reason="not x86 or Arm: nothing is flushed")
@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_ctrl_c_between_steps_leaves_no_subnormals_flushed(monkeypatch):
    monkeypatch.setattr(eager, "Flushed", Cut)
    model = Sequential(Linear(6, 5, seed=0), Own(), Linear(5, 3, seed=1))
    with pytest.raises(KeyboardInterrupt):
        fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters(), lr=0.01),
            epochs=1, batch_size=16)  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        predict(model, X)
    assert np.float32(1e-40) * np.float32(0.5) > 0


class Twofold(Sequential):
    """A chain with methods of its own."""

    def forward(self, x):
        return 2 * super().forward(x)

    def backward(self, gradient):
        return super().backward(2 * gradient)


def doubled_layer():
    layer = Linear(6, 3, seed=0)
    layer.forward = lambda x: 2 * Linear.forward(layer, x)
    layer.backward = lambda gradient: Linear.backward(layer, 2 * gradient)
    return Sequential(layer)


def doubled_chain():
    chain = Sequential(Linear(6, 3, seed=0))
    chain.forward = lambda x: 2 * Sequential.forward(chain, x)
    chain.backward = lambda gradient: Sequential.backward(chain, 2 * gradient)
    return chain


@pytest.mark.filterwarnings("ignore:.*is not a layer")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Twofold(Linear(6, 3, seed=0)),
        lambda: Sequential(Twofold(Linear(6, 3, seed=0))),
        doubled_layer,
        doubled_chain,
    ],
)
def test_methods_that_replace_those_of_a_layer_or_chain_are_called(make):
    model, plain = make(), Sequential(Linear(6, 3, seed=0))
    np.testing.assert_array_equal(predict(model, X), 2 * predict(plain, X))
    rate, options = 0.01, {"loss": CrossEntropyLoss(), "epochs": 1, "batch_size": 16, "seed": 0}
    before = predict(model, X)
    fit(model, X, Y, optimizer=SGD(model.parameters(), lr=rate), **options)
    scaled = Sequential(Linear(6, 3, seed=0))  # twice the weights learn four times as fast
    scaled[0].weight, scaled[0].bias = 2 * scaled[0].weight.data, 2 * scaled[0].bias.data
    fit(scaled, X, Y, optimizer=SGD(scaled.parameters(), lr=4 * rate), **options)
    assert not np.array_equal(predict(model, X), before)
    np.testing.assert_allclose(predict(model, X), predict(scaled, X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is not a layer")
def test_a_method_that_a_callback_replaces_is_called():
    model, calls = Sequential(Linear(6, 3, seed=0)), []

    def replace(training):
        layer = training.model[0]
        layer.forward = lambda x: (calls.append(len(x)), Linear.forward(layer, x))[1]

    fit(model, X, Y, loss=CrossEntropyLoss(), optimizer=SGD(model.parameters(), lr=0.01),
        epochs=2, batch_size=16, callbacks=[replace])  # fmt: skip
    assert sum(calls) >= len(X)
