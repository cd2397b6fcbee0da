"""Points inside and outside of a disk.

Network: 2-25-25-25-2. ReLU between the Linear layers, tanh at the output, mean squared error.

Data: 1,000 training and 1,000 test points uniform in the unit square, label 1 inside the disk of
radius 1/sqrt(2 pi) about its middle, which has half its area.

Settings: SGD, learning rate 0.1 (not given in the report), batches of 100, shuffled, 500 epochs.
Weights by Xavier, biases zero. In float64, and once more in float32, where rounding alone changes
the course of the training.

Source: a report on a framework written from scratch: errors only along the circle; figures of
the data, losses, accuracies and predictions.
"""

import numpy as np

import fastnn
from fastnn.data.datasets import DISK_RADIUS
from fastnn.reports import pictures, standard
from fastnn.reports.comparison import EARLY
from fastnn.reports.study import Study

REPORTED = "errors only along the circle"
SIDE = 80
MOMENTS = (5, 20, 50, 100, 200, 500)


def network(dtype) -> fastnn.Sequential:
    """Return 2-25-25-25-2 with Xavier's initial weights."""
    rng = np.random.default_rng(0)
    layers: list[fastnn.Layer] = []
    for width in (2, 25, 25):
        layers += [fastnn.Linear(width, 25, init="xavier_normal", seed=rng, dtype=dtype)]
        layers += [fastnn.ReLU()]
    last = fastnn.Linear(25, 2, init="xavier_normal", seed=rng, dtype=dtype)
    return fastnn.Sequential(*layers, last, fastnn.Tanh())


def run(study: Study) -> None:
    """Train in two precisions; record the predictions over the square at some epochs."""
    data = study.load("disk")
    middles = (np.arange(SIDE) + 0.5) / SIDE
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    moments = {study.epochs(epoch) for epoch in MOMENTS}
    seen: dict[int, np.ndarray] = {}

    def look(training):
        if training.epoch in moments:
            outside, inside = fastnn.predict(training.model, grid).T
            seen[training.epoch] = (inside - outside).reshape(SIDE, SIDE)

    def compare(name, model, reported="", callbacks=()):
        return study.compare(
            name,
            model,
            data,
            loss=fastnn.MSELoss(),
            optimizer=fastnn.SGD(model.parameters(), lr=0.1),
            epochs=500,
            batch_size=100,
            callbacks=callbacks,
            reported=reported,
        )

    model = network(np.float64)
    run = compare("2-25-25-25-2, float64", model, REPORTED, [look])
    short = compare("2-25-25-25-2, float32", network(np.float32))
    study.picture(
        "data",
        pictures.points(data.x_train, data.y_train, data.classes),
        "The training points",
        "1,000 points; the dashes are the circle, which the network is not told.",
    )
    guesses = fastnn.predict(model, data.x_test).argmax(axis=1)
    wrong = guesses != data.y_test
    study.picture(
        "predictions",
        pictures.points(data.x_test, guesses, data.classes, wrong),
        "What it says of the test points",
        "1,000 points in the colours of the class that the network gives them.",
    )
    study.picture(
        "surface",
        pictures.surfaces(seen),
        "The decision as it is learned",
        "Blue is inside, orange outside, white undecided; the line is where the network changes "
        "its mind, the dashes the true circle.",
    )
    standard.draw_curves(study, run)
    _tell_errors(study, data.x_test, wrong)
    _tell_rounding(study, run, short)


def _tell_errors(study, x, wrong) -> None:
    """Report the distances of errors from the circle."""
    away = np.abs(np.hypot(*(x - 0.5).T) - DISK_RADIUS)
    if not wrong.any():
        study.finding("Are all errors along the circle?", "There are no errors on the test points.")
        return
    far = float(away[wrong].max())
    study.finding(
        "Are all errors along the circle?",
        f"{int(wrong.sum())} of {len(x):,} test points are wrong; half of them lie within "
        f"{float(np.median(away[wrong])):.3f} of the circle and all within {far:.3f}, a band that "
        f"holds {float((away <= far).mean()):.0%} of the points.",
    )


def _tell_rounding(study, double, single) -> None:
    """Report how much rounding changes the training: one library in two precisions."""
    ours = [np.array(run.history.val_loss, np.float64) for run in (double, single)]
    away = np.abs(ours[1] - ours[0]) / ours[0]
    answer = (
        f"fastnn in float32 and fastnn in float64 are up to {away[:EARLY].max():.1%} apart in test "
        f"loss over the first {EARLY} epochs and up to {away.max():.0%} over all"
    )
    if study.torch:
        gaps = [float(run.relative_differences()[:EARLY].max()) for run in (double, single)]
        answer += (
            f"; fastnn and PyTorch up to {gaps[1]:.1%} of the loss in float32 over the first "
            f"{EARLY}, but {gaps[0]:.0e} of it in float64"
        )
    study.finding(
        "Why two precisions?",
        f"{answer}. A unit whose input is near 0 is on in one rounding and off in another, and at "
        "this learning rate training makes much of that: in float32 the difference says nothing "
        "about the code, in float64 it would.",
    )
