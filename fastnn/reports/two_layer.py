"""Two hidden layers on two overlapping classes.

Network: 10-100-100-2. Linear, ReLU, Linear, ReLU, Linear, softmax cross-entropy; the report's
DoubleLayerMLP.

Data: 500 training and 200 test rows of 10 features in 2 classes, those of single-layer.

Settings: SGD, learning rate 0.01, batches of 64, 200 epochs. PyTorch's default start.

Source: two reports on a course's DoubleLayerMLP, written in NumPy and again in PyTorch.
"""

import fastnn
from fastnn.reports import standard
from fastnn.reports.starts import compare_starts
from fastnn.reports.study import Study

REPORTED = (
    "scratch: loss 0.2, 96% train, 95% test; PyTorch: loss 0.1, 98% train, 93% test; "
    "another report: 94% test after 150 epochs from scratch, after 50 with PyTorch"
)
EPOCHS, BATCH = 200, 64


def network(init="default", seed: int = 0) -> fastnn.Sequential:
    """Return the network 10-100-100-2."""
    return fastnn.Sequential(
        fastnn.Linear(10, 100, init=init, seed=seed),
        fastnn.ReLU(),
        fastnn.Linear(100, 100, init=init, seed=seed + 1000),
        fastnn.ReLU(),
        fastnn.Linear(100, 2, init=init, seed=seed + 2000),
    )


def run(study: Study) -> None:
    """Train from PyTorch's default initial weights, then from others."""
    data = study.load("two-class", seed=1)
    model = network()
    run = study.compare(
        "10-100-100-2",
        model,
        data,
        loss=fastnn.CrossEntropyLoss(),
        optimizer=fastnn.SGD(model.parameters(), lr=0.01),
        epochs=EPOCHS,
        batch_size=BATCH,
        reported=REPORTED,
    )
    standard.draw_curves(study, run)
    compare_starts(study, run, network, data, reach=0.94, epochs=EPOCHS, batch_size=BATCH)
