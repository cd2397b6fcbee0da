"""Fixtures of the compiler's tests: the instructions that a program is built of, and its memory."""

import ctypes
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastnn.compiler.builder import Builder
from fastnn.compiler.program import Source


class Emitted(NamedTuple):
    """An instruction: its name, whether all threads finish it first, and its operands."""

    name: str
    wait: bool
    operands: dict[str, Any]


@pytest.fixture
def emitted(monkeypatch):
    """Instructions that programs are built of from here on, in order."""
    found = []
    emit = Builder.emit

    def note(build, kind, *, wait=True, **operands):
        found.append(Emitted(kind.name.rpartition(".")[2], wait, operands))
        emit(build, kind, wait=wait, **operands)

    monkeypatch.setattr(Builder, "emit", note)
    return found


@pytest.fixture(scope="session")
def memory_at():
    """Function that gives the numbers at an address, as an array of a shape."""

    def array_at(pointer, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_byte * size).from_address(pointer)
        return np.frombuffer(memory, dtype).reshape(shape)

    return array_at


@pytest.fixture(scope="session")
def source_of():
    """Function that makes random samples and targets, class indices unless `numbers` are wanted."""

    def make(columns, samples=32, classes=3, dtype=np.float32, numbers=0, weights=False):
        random = np.random.default_rng(0)
        x = random.normal(size=(samples, columns)).astype(dtype)
        y = random.integers(0, classes, samples)
        if numbers:
            y = random.random((samples, numbers)).astype(dtype)
        given = random.random(samples).astype(dtype) if weights else None
        return Source(x, y, random.permutation(samples), given)

    return make
