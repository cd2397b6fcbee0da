"""Everything that computes, with all memory beside pages that nobody may touch.

`python guard_runs.py after` lets every array end at such a page, `before` begin at one: a byte read
or written beyond it kills the process. Prints the functions and instructions that were not run.
"""

import ctypes
import gc
import mmap
import sys
import warnings

import numpy as np

import bit_runs
import fastnn
import kernels
from fastnn.compiler import builder
from kernels.base import memory
from kernels.functions import updates
from kernels.machine.instruction import Instruction

_ALIGNED = 64
_FORBIDDEN = 0  # PROT_NONE
_protect = ctypes.CDLL(None, use_errno=True).mprotect
_protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


class Guard:
    """Maker of arrays of zeros between two forbidden pages, close to the one of them."""

    def __init__(self, before: bool):
        self.before = before

    def zeros(self, shape, dtype=np.float64, aligned=1) -> np.ndarray:
        dtype = np.dtype(dtype)
        shape = (shape,) if np.isscalar(shape) else tuple(shape)
        size = int(np.prod(shape)) * dtype.itemsize
        page = mmap.PAGESIZE
        room = -(-size // page) * page
        area = mmap.mmap(-1, room + 2 * page)
        first = np.frombuffer(area, np.uint8).ctypes.data
        for forbidden in (first, first + page + room):
            assert _protect(forbidden, page, _FORBIDDEN) == 0
        begin = page if self.before else page + (room - size) // aligned * aligned
        return np.frombuffer(area, dtype, size // dtype.itemsize, begin).reshape(shape)

    def aligned_zeros(self, size, dtype) -> np.ndarray:
        return self.zeros(size, dtype, _ALIGNED)

    def copy(self, array) -> np.ndarray:
        made = self.zeros(np.shape(array), np.asarray(array).dtype)
        made[...] = array
        return made

    def empty_like(self, array, *_, **__) -> np.ndarray:
        return self.zeros(np.shape(array), np.asarray(array).dtype)


def replace(name, value, old) -> None:
    """Let all of our modules use another function than `old`."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith(("fastnn", "kernels")) and vars(module).get(name) is old:
            setattr(module, name, value)


# -------------------------------------------------------------------------- trainings


def train(guard: Guard) -> set[str]:
    """Run all trainings, and return the names of the instructions that they were made of."""
    used = set()
    row = builder.Builder._row

    def noted(self, kind, operands, wait):
        used.add(kind.name)
        return row(self, kind, operands, wait)

    builder.Builder._row = noted
    builder._SMALL = 0  # each block of a program has memory of its own
    replace("aligned_zeros", guard.aligned_zeros, memory.aligned_zeros)
    plain = bit_runs._data
    bit_runs._data = lambda *how: tuple(map(guard.copy, plain(*how)))
    for name in bit_runs.RUNS:
        for threads in (1, 3):
            bit_runs.results(name, threads)
    x, y = np.arange(300 * 37).reshape(300, 37) % 251, np.arange(300) % 5
    others = [
        # Bytes, and widths for which whole weights and panels are borrowed.
        ([fastnn.Normalize(0, 255), fastnn.Linear(37, 5, seed=0)], x.astype(np.uint8)),
        ([fastnn.Linear(37, 900, seed=0), fastnn.ReLU(), fastnn.Linear(900, 900, seed=1),
          fastnn.Sigmoid(), fastnn.Linear(900, 5, seed=2)], x / 251),
        ([fastnn.Linear(37, 1, seed=0), fastnn.Tanh(), fastnn.Linear(1, 5, seed=2)], x / 251),
    ]  # fmt: skip
    for layers, samples in others:
        for threads in (1, 2):
            model = fastnn.Sequential(*layers)
            samples = guard.copy(samples.astype(samples.dtype.str.replace("f8", "f4")))
            optimizer = fastnn.SGD(model.parameters(), 0.01, momentum=0.9, clip_norm=1.0)
            fastnn.fit(
                model, samples, guard.copy(y), loss=fastnn.CrossEntropyLoss(), epochs=1,
                optimizer=optimizer, batch_size=128, threads=threads, seed=0,
            )  # fmt: skip
            for rows in (samples, samples[:1], samples[:17]):
                rows = guard.copy(rows)
                out = guard.zeros((len(rows), 5), np.float32)
                fastnn.predict(model, rows, threads=threads, out=out)
                fastnn.predict(model, rows, threads=threads, classes=True)
                fastnn.predict_proba(model, rows, threads=threads)
    return used


def estimate() -> None:
    """Fit estimators, whose programs have penalties."""
    from fastnn.estimators import MLPClassifier

    x, y = bit_runs._data(np.float64, "labels")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for solver in ("adam", "lbfgs"):
            MLPClassifier(solver=solver, max_iter=2, random_state=0).fit(x, y)


# ------------------------------------------------------------------- functions of arrays


def _update(a, b):
    settings = np.zeros(updates.SETTINGS)
    settings[updates.GRADIENT_SCALE] = 1.0
    weight = np.zeros((a.shape[1], b.shape[1]), a.dtype)
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    kernels.matmul_update(a, b, weight, updates.ADAM, 0, settings, first, second)


def _of_one(name):
    return lambda a, b, labels: getattr(kernels, name)(a)


def _of_two(name):
    return lambda a, b, labels: getattr(kernels, name)(a, b)


FUNCTIONS = {
    **{name: _of_one(name) for name in (
        "elu", "exp", "gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax",
        "softplus", "tanh")},
    **{name: _of_two(name) for name in (
        "binary_cross_entropy", "exp_gradient", "huber", "log_softmax_gradient",
        "mean_absolute_error", "mean_squared_error", "poisson", "relu_gradient",
        "sigmoid_gradient", "softmax_gradient", "tanh_gradient")},
    "add_column_sums": lambda a, b, labels: kernels.add_column_sums(a, b[0].copy()),
    "dropout": lambda a, b, labels: kernels.dropout(a, 0.4, seed=1),
    "dropout_gradient": lambda a, b, labels: kernels.dropout_gradient(
        b, kernels.dropout(a, 0.4, seed=1)[1], 0.4),
    "gradient_norm": lambda a, b, labels: kernels.gradient_norm([a, b]),
    "matmul": lambda a, b, labels: (
        kernels.matmul(a, b.T), kernels.matmul(a.T, b), kernels.matmul(a, b[0]),
        kernels.matmul(a, b.T, bias=b[:, 0].copy(), activation="tanh")),
    "matmul_gradient": lambda a, b, labels: kernels.matmul_gradient(
        a, b.T, np.ascontiguousarray(a @ b.T), "tanh"),
    "matmul_update": lambda a, b, labels: _update(a, b),
    "negative_log_likelihood": lambda a, b, labels: kernels.negative_log_likelihood(a, labels),
    "normalize": lambda a, b, labels: kernels.normalize(
        (a * 20).astype(np.uint8), b[0].copy(), b[0].copy()),
    "softmax_cross_entropy": lambda a, b, labels: (
        kernels.softmax_cross_entropy(a, labels),
        kernels.softmax_cross_entropy(a, np.abs(b) / np.abs(b).sum(axis=1, keepdims=True))),
}  # fmt: skip
"""Calls of the functions of `kernels` with two arrays of one shape, and labels of their rows."""

SHAPES = (1, 1), (1, 7), (3, 16), (5, 33), (17, 65), (130, 31), (300, 257)


def call_functions(guard: Guard) -> set[str]:
    """Call all functions of arrays, inputs and results at the edge; return the names of others."""
    real = np.empty, np.empty_like, np.zeros, np.zeros_like
    for dtype in (np.float32, np.float64):
        for rows, columns in SHAPES:
            rng = np.random.default_rng(0)
            a, b = (guard.copy(rng.random((rows, columns)).astype(dtype)) for _ in range(2))
            labels = guard.copy(rng.integers(0, columns, rows))
            for call in FUNCTIONS.values():
                call(a, b, labels)  # compiles, with NumPy as it is
                np.empty = np.zeros = guard.zeros
                np.empty_like = np.zeros_like = guard.empty_like
                try:
                    call(a, b, labels)
                finally:
                    np.empty, np.empty_like, np.zeros, np.zeros_like = real
    public = {name for name in kernels.__all__ if callable(getattr(kernels, name))}
    return public - FUNCTIONS.keys() - {"LossResult", "CrossEntropy"}


if __name__ == "__main__":
    guard = Guard(before=sys.argv[1] == "before")
    not_called = call_functions(guard) - {"get_num_threads", "set_num_threads"}
    used = train(guard)
    estimate()
    every = {each.name for each in gc.get_objects() if isinstance(each, Instruction)}
    every = {name for name in every if name.startswith("kernels.instructions.")}
    print(len(FUNCTIONS), "functions and", len(every & used), "instructions ran")
    print("not run:", *sorted(not_called), *sorted(every - used))
