"""A user's program, in which every public name is used; a type checker reads it in strict mode.

`assert_type` fails where fastnn's own annotations lose a type on the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import fastnn
import kernels
from fastnn import callbacks, datasets, initializers, plots, schedules, tables
from fastnn.estimators import MLPClassifier, MLPRegressor
from kernels import matmul, relu, softmax_cross_entropy, updates

Array = npt.NDArray[Any]
FOLDER = Path("models")


def data() -> datasets.Dataset:
    sets: list[datasets.Dataset] = [
        datasets.digits(subset=100, seed=1),
        datasets.mnist(test_subset=10),
        datasets.fashion_mnist(folder=FOLDER),
        datasets.disk(n_train=10, n_test=10),
        datasets.two_class(seed=2),
    ]
    print(sets, sorted(datasets.DATASETS), datasets.DISK_RADIUS, datasets.is_path("a.csv"))
    try:
        loaded = datasets.load(FOLDER / "houses.csv", target="price", drop=["name"], test=0.1)
    except datasets.SubsetError as error:
        raise SystemExit(str(error)) from None
    assert_type(loaded, datasets.Dataset)
    assert_type(loaded.classes, tuple[str, ...])
    rows: Array = loaded.x_train
    print(rows.shape, loaded.image_shape, loaded.mean, loaded.std, loaded.notes)
    return loaded


class Double(fastnn.Layer):
    """A layer of the user's own."""

    def forward(self, x: Array) -> Array:
        return 2 * x

    def backward(self, gradient: Array) -> Array:
        return 2 * gradient


class Squares:
    """A loss of the user's own."""

    def __call__(self, predictions: Array, targets: Array) -> float:
        self.gradient: Array = 2 * (predictions - targets) / len(predictions)
        return float(((predictions - targets) ** 2).sum(axis=1).mean())

    def backward(self) -> Array:
        return self.gradient


def half(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return rng.normal(0.0, 0.5, shape)


def network(made: datasets.Dataset) -> fastnn.Sequential:
    layers: list[fastnn.Layer] = [
        fastnn.Normalize(made.mean, made.std),
        fastnn.Flatten(),
        fastnn.Linear(64, 100, bias=False, init="kaiming_normal", seed=1),
        fastnn.BatchNorm1d(100, momentum=None),
        fastnn.LayerNorm(100, eps=1e-6),
        fastnn.ReLU(),
        fastnn.LeakyReLU(0.1),
        fastnn.ELU(alpha=0.5),
        fastnn.GELU("tanh"),
        fastnn.SiLU(),
        fastnn.Softplus(beta=2.0),
        fastnn.Mish(),
        fastnn.Hardswish(),
        fastnn.Hardtanh(-2.0, 2.0),
        fastnn.SmoothClip(bound=4.0),
        fastnn.Tanh(),
        fastnn.Sigmoid(),
        fastnn.Dropout(0.2, seed=3),
        fastnn.Identity(),
        Double(),
        fastnn.Linear(100, 10, dtype=np.float32, init=half),
    ]
    chosen: initializers.Initializer = initializers.initializer("zeros")
    print(chosen, initializers.normal(0.0, 0.1), initializers.INITIALIZERS)
    rng = np.random.default_rng(0)
    for function in (
        initializers.torch_default,
        initializers.xavier_normal,
        initializers.xavier_uniform,
        initializers.kaiming_normal,
        initializers.kaiming_uniform,
        initializers.zeros,
    ):
        drawn: Array = function((2, 3), rng)
        print(drawn)
    ends = fastnn.Sequential(fastnn.Softmax(), fastnn.LogSoftmax())
    assert_type(len(ends), int)
    return fastnn.Sequential(*layers)


def losses() -> list[float]:
    y, t = np.ones((4, 2), np.float32), np.ones(4, np.int64)
    classes = [
        fastnn.CrossEntropyLoss(weight=[1.0, 2.0], label_smoothing=0.1),
        fastnn.NLLLoss(weight=np.ones(2)),
    ]
    numbers = [
        fastnn.MSELoss(),
        fastnn.L1Loss(),
        fastnn.HuberLoss(delta=2.0),
        fastnn.QuantileLoss([0.1, 0.9]),
        fastnn.PoissonNLLLoss(),
        fastnn.GaussianNLLLoss(full=True),
        fastnn.BCEWithLogitsLoss(pos_weight=3.0),
    ]
    found = [loss(y, t) for loss in classes] + [loss(y, y, weights=t) for loss in numbers]
    gradient: Array = numbers[0].backward()
    print(gradient)
    return found


def optimizers(model: fastnn.Sequential) -> fastnn.SGD:
    first, *_ = model.parameters()
    assert_type(first, fastnn.Parameter)
    weight: Array = first.data
    first.data = weight * 2
    first.grad = np.zeros(first.shape)
    for made in (
        fastnn.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99), amsgrad=True),
        fastnn.AdamW(model.parameters(), weight_decay=0.1),
        fastnn.RMSprop(model.parameters(), momentum=0.9, centered=True),
    ):
        made.zero_grad()
        made.step()
    return fastnn.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, clip_norm=1.0)


def timetable(optimizer: fastnn.SGD) -> schedules.Schedule:
    parts: list[schedules.Schedule] = [
        schedules.StepLR(optimizer, 10, gamma=0.5),
        schedules.MultiStepLR(optimizer, [10, 20]),
        schedules.ExponentialLR(optimizer, 0.9, every="step"),
        schedules.LinearLR(optimizer, total_iters=3),
        schedules.CosineAnnealingLR(optimizer, 10),
        schedules.OneCycleLR(optimizer, 0.1, total_steps=100),
        schedules.ReduceLROnPlateau(optimizer, patience=2),
        schedules.cosine_with_warmup(optimizer, 10, 2),
    ]
    return schedules.SequentialLR(optimizer, parts[:2], [5])


class Watch(fastnn.Callback):
    """A callback of the user's own."""

    def on_epoch_end(self, training: fastnn.Training) -> None:
        assert_type(training.history, fastnn.History)
        assert_type(training.model, fastnn.Sequential)
        if training.history.loss[-1] < 0.1:
            training.stop = True


def tell(training: fastnn.Training) -> None:
    print(training.history.val_loss)


def train(model: fastnn.Sequential, made: datasets.Dataset) -> fastnn.History:
    optimizer = optimizers(model)
    history = fastnn.fit(
        model,
        made.x_train,
        made.y_train,
        loss=fastnn.CrossEntropyLoss(),
        optimizer=optimizer,
        epochs=10,
        batch_size=32,
        validation_data=(made.x_test, made.y_test),
        seed=0,
        class_weight="balanced",
        schedule=timetable(optimizer),
        callbacks=[
            callbacks.EarlyStopping("val_loss", patience=3),
            callbacks.ModelCheckpoint(FOLDER / "best.safetensors"),
            callbacks.CSVLogger("log.csv"),
            callbacks.TensorBoard("board"),
            callbacks.Progress(),
            Watch(),
            tell,
        ],
        checkpoint=FOLDER / "run.ckpt",
        resume=True,
        threads=2,
    )
    assert_type(history, fastnn.History)
    assert_type(history.loss, list[float])
    assert_type(history.plot("curves.png"), Figure)
    return history


def by_hand(model: fastnn.Sequential, x: Array, y: Array) -> float:
    loss, optimizer = fastnn.MSELoss(), fastnn.SGD(model.parameters(), lr=0.1)
    value = loss(model(x), y)
    optimizer.zero_grad()
    model.backward(loss.backward())
    optimizer.step()
    model.train().eval()
    return value


def use(model: fastnn.Sequential, x: Array, y: Array) -> None:
    outputs: Array = fastnn.predict(model, x, batch_size=16, out=np.empty((len(x), 10)))
    labels: Array = fastnn.predict(model, x, classes=True)
    shares: Array = fastnn.predict_proba(model, x, loss=fastnn.CrossEntropyLoss())
    found = fastnn.evaluate(model, x, y, loss=fastnn.CrossEntropyLoss(), sample_weight=np.ones(4))
    assert_type(found, fastnn.Evaluation)
    assert_type(found.loss, float)
    assert_type(found.accuracy, float | None)
    predictor = fastnn.Predictor(model, rows=1, probabilities=True)
    predictor.x[:] = x[0]
    row: Array = predictor.run()
    again: Array = predictor(x[:1])
    print(outputs, labels, shares, row, again, predictor.y)


def keep(model: fastnn.Sequential) -> fastnn.Sequential:
    fastnn.save(model, FOLDER / "model.safetensors")
    try:
        loaded = fastnn.load("model.safetensors", into=model)
    except fastnn.ModelFileError as error:
        raise SystemExit(str(error)) from None
    assert_type(loaded, fastnn.Sequential)
    state = model.state_dict()
    model.load_state_dict(state, strict=False)
    fastnn.to_onnx(model, "model.onnx", input_dtype=np.float32)
    fastnn.to_c(model, "model.h", name="net", probabilities=False)
    return fastnn.from_torch(model.to_torch())


def table() -> dict[str, Array]:
    model = tables.fit({"a": [1, 2], "b": [3, 4]}, "b", epochs=3)
    assert_type(model, fastnn.Sequential)
    return model.predict_frame({"a": [1, 2]})


def estimators(x: Array, y: Array) -> None:
    classifier = MLPClassifier((32,), solver="sgd", dropout=0.1, random_state=0, dtype="float32")
    classifier.fit(x, y)
    regressor = MLPRegressor(hidden_layer_sizes=(16, 16), early_stopping=True).fit(x, y)
    print(classifier.predict(x), classifier.predict_proba(x), regressor.predict(x))


def pictures(model: fastnn.Sequential, history: fastnn.History, x: Array, y: Array) -> None:
    drawn = [
        plots.curves(history.to_dict(), "curves.png"),
        plots.comparison({"one": history.to_dict()}),
        plots.confusion(y, y, ["a", "b"]),
        plots.predictions(x[:, 0], x[:, 1], name="price"),
        plots.calibration(x, y, bins=5),
        plots.weights(model, image_shape=(8, 8)),
        plots.mistakes(x, y, x, ["a", "b"]),
        plots.decision(model, x, y, path=FOLDER / "decision.png"),
        plots.importance(["a"], [0.1], [0.01]),
        plots.sweep({"lr": [0.1, 0.2]}, [0.9, None]),
    ]
    assert_type(drawn, list[Figure])


def arithmetic(x: Array, labels: Array) -> None:
    products: list[Array] = [
        matmul(x, x.T, bias=[1.0, 2.0], activation="tanh"),
        kernels.matmul_gradient(x, x.T, x, "relu"),
        relu(x),
        kernels.tanh(x, out=x),
        kernels.sigmoid(x),
        kernels.exp(x),
        kernels.elu(x, alpha=0.1),
        kernels.gelu(x, approximate="tanh"),
        kernels.leaky_relu(x, 0.1),
        kernels.silu(x),
        kernels.softplus(x),
        kernels.softmax(x),
        kernels.log_softmax(x),
        kernels.relu_gradient(x, x),
        kernels.tanh_gradient(x, x),
        kernels.sigmoid_gradient(x, x),
        kernels.exp_gradient(x, x),
        kernels.softmax_gradient(x, x),
        kernels.log_softmax_gradient(x, x),
        kernels.normalize(x, np.zeros(2), np.ones(2)),
    ]
    dropped, mask = kernels.dropout(x, 0.5, seed=1)
    products += [dropped, kernels.dropout_gradient(x, mask, 0.5)]
    kernels.add_column_sums(x, np.zeros(2))
    settings = np.zeros(updates.SETTINGS)
    kernels.matmul_update(x, x, np.zeros((2, 2)), updates.SGD, 0, settings)
    assert_type(softmax_cross_entropy(x, labels), kernels.CrossEntropy)
    for found in (
        kernels.mean_squared_error(x, x),
        kernels.mean_absolute_error(x, x),
        kernels.huber(x, x, delta=2.0),
        kernels.poisson(x, x),
        kernels.binary_cross_entropy(x, x, positive=[1.0]),
        kernels.negative_log_likelihood(x, labels),
    ):
        assert_type(found, kernels.LossResult)
        assert_type(found.loss, float)
    assert_type(kernels.gradient_norm([x, labels]), float)
    kernels.set_num_threads(kernels.get_num_threads())
    fastnn.set_num_threads(fastnn.get_num_threads())
    fastnn.manual_seed(0)
    print(products, kernels.ACTIVATIONS, kernels.arrays.LARGEST)
    print(fastnn.callbacks, fastnn.estimators, fastnn.__version__)


def main() -> None:
    made = data()
    model = network(made)
    try:
        history = train(model, made)
    except fastnn.NonFiniteLossError as error:
        assert_type(error.history, fastnn.History)
        raise
    use(model, made.x_test, made.y_test)
    pictures(keep(model), history, made.x_test, made.y_test)
