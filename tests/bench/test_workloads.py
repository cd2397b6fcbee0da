"""The workloads are those that the project's claim is about."""

import math

import pytest

from bench.workloads import DISK, PICTURES, PICTURES_AS_BYTES, PICTURES_LARGE, TABLE, TWO_CLASS


def test_the_table():
    rows = {each.name: (each.torch, each.jax) for each in TABLE.values()}
    assert rows == {
        "10-100-2 relu, 64, SGD": (20, 2),
        "10-100-100-2 relu, 64, SGD": (8, 1.6),
        "64-100-10 tanh, 20, SGD momentum": (20, 2),
        "64-500-10 tanh, 20, SGD momentum": (8, 1.7),
        "64-500-10 tanh, 1437, SGD momentum, clipped": (2.2, 1.3),
        "2-25-25-25-2 relu tanh out, MSE, 100, SGD": (15, 2),
        "784-10 relu out, dropout 0.25, 32, SGD": (12, 2.5),
        "784-128-10 relu, 64, SGD momentum": (3.2, 1.3),
        "784-128-10 relu, 64, Adam": (3.5, 1.3),
        "784-512-512-10 relu, dropout 0.2, 128, Adam": (2.3, 1.2),
    }


def test_names_tell_workloads_apart():
    assert len({each.name for each in (*TABLE.values(), PICTURES_AS_BYTES)}) == 11


@pytest.mark.parametrize("workload", TABLE.values(), ids=lambda each: each.name)
def test_steps(workload):
    assert workload.steps == workload.epochs * math.ceil(workload.samples / workload.batch)
    small = workload.smaller(100)
    assert small.samples == 100
    assert small.epochs == small.seeds == 1
    assert small.name == workload.name


def test_flops_are_those_of_the_products():
    # Forward and the weights' gradient; no input gradient of the first layer.
    assert PICTURES.flops == 2 * 64 * (2 * 784 * 128 + 3 * 128 * 10)
    assert TWO_CLASS.flops == 2 * 64 * (2 * 10 * 100 + 3 * 100 * 2)
    assert DISK.flops == 2 * 100 * (2 * 50 + 3 * (625 + 625 + 50))
    assert PICTURES_LARGE.flops > 100e6
