"""Initial weights: functions from a shape (out, in) and a generator to an array.

`fan_in` and `fan_out` are the columns and rows of the shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches

import numpy as np

Initializer = Callable[[tuple[int, int], np.random.Generator], np.ndarray]


def torch_default(shape, rng) -> np.ndarray:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the default of `torch.nn.Linear`."""
    bound = 1.0 / math.sqrt(shape[1]) if shape[1] else 0.0
    return rng.uniform(-bound, bound, shape)


def xavier_uniform(shape, rng) -> np.ndarray:
    """U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    bound = math.sqrt(6.0 / max(sum(shape), 1))
    return rng.uniform(-bound, bound, shape)


def xavier_normal(shape, rng) -> np.ndarray:
    """N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    return rng.normal(0.0, math.sqrt(2.0 / max(sum(shape), 1)), shape)


def kaiming_uniform(shape, rng) -> np.ndarray:
    """U(-a, a) with a = sqrt(6 / fan_in), for ReLU (He et al., 2015)."""
    bound = math.sqrt(6.0 / max(shape[1], 1))
    return rng.uniform(-bound, bound, shape)


def kaiming_normal(shape, rng) -> np.ndarray:
    """N(0, 2 / fan_in), for ReLU (He et al., 2015)."""
    return rng.normal(0.0, math.sqrt(2.0 / max(shape[1], 1)), shape)


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """N(mean, std^2)."""
    return lambda shape, rng: rng.normal(mean, std, shape)


def zeros(shape, rng) -> np.ndarray:
    """All zeros."""
    return np.zeros(shape)


INITIALIZERS: dict[str, Initializer] = {
    "default": torch_default,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
    "normal": normal(),
    "zeros": zeros,
}
"""Initializers by name."""


def initializer(name_or_function: str | Initializer) -> Initializer:
    """Look an initializer up by name; functions are given back. Raises ValueError for others."""
    if callable(name_or_function):
        return name_or_function
    if name_or_function in INITIALIZERS:
        return INITIALIZERS[name_or_function]
    near = get_close_matches(str(name_or_function), INITIALIZERS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(INITIALIZERS)
    raise ValueError(f"unknown initializer {name_or_function!r}; expected one of {known}{hint}")
