"""Names of the tables of the report, shared by tests, pictures and README."""

from __future__ import annotations

from bench.workloads import PICTURES_LARGE

MACHINE = "This machine, one core"

SQUARES = "matmul of squares, float32, one core"
PRODUCTS = "matmul, the products of the workloads, float32, one core"

ELEMENTWISE_SIZES = {131_072: "in a cache", 8_388_608: "in memory"}

STEP_RATIOS = "A training step, shuffling included: times as fast as its peers"
STEP_SECONDS = "A training step, microseconds"
STEP_CPU = "A training step: microseconds of CPU time, of all threads together"
STEP_SETTINGS = "Threads that take least, and seconds of compiling"
STEP_LEARNED = "What those trainings learn: test loss and accuracy"
STEP_PEAK = "Training steps of more than 20 MFLOP on one core, shuffling included"
ALL_STEPS = "geometric mean of the ten"
"""Name of a row of `STEP_RATIOS`."""

TO_ACCURACY = (
    "Whole runs: seconds of training 784-128-10 until the test accuracy on MNIST is reached"
)
FIT = "Whole runs: a fit on digits, 64-100-10 tanh, batch 20, 20 epochs"
RUN_MEMORY = "Peak memory of whole runs, MB"

COMMAND = "`fastnn train` on digits, seconds from process start to files written"
COMMAND_MEMORY = "Peak memory of `fastnn train mnist`, MB"
TRAINED = "Seconds from process start to a digits model of 97% test accuracy"

TABLE_READING = "Tables: a CSV file of 500,000 rows and 21 columns to arrays of float32"
TABLE_COMMANDS = "Tables: commands on that file, from process start to files written"

CALLS = "Predictions of networks with ReLU: microseconds a call"
CALL_RATIOS = "Predictions of networks with ReLU: times as fast as its peers"
ALL_CALLS = "geometric mean"
"""Name of a row of `CALL_RATIOS`."""
ONE_ROW = "Predictions of one row of 64-100-10: microseconds a call"
LITTLE = "Training of few rows with ReLU and SGD: microseconds of a step, or of a whole `fit`"
BY_HAND = "A training step by hand, 10-100-2, batch 64, SGD: microseconds"

GROWTH = {
    "width": "64-n-n-10, batch 64",
    "batch": "784-128-10, batch n",
    "depth": "n hidden layers of 64, batch 64",
    "rows of data": "64-128-10, batch 64, n rows",
    "threads": PICTURES_LARGE.name.replace(", dropout 0.2", ""),
}
"""Quantities that grow, with the networks that are measured."""


def elementwise(size: int) -> str:
    """Return the name of the table of elementwise functions of arrays of a size."""
    return f"Elementwise, {size:,} float32, {ELEMENTWISE_SIZES[size]}: ns an element"


def layers(backward: bool) -> str:
    """Return the name of the table of single layers."""
    return f"Layers, eager, forward{' and backward' if backward else ''}: microseconds"


def growth(axis: str) -> str:
    """Return the name of the table of training steps over a growing quantity."""
    return f"Growth with {axis}: microseconds a step, {GROWTH[axis]}"
