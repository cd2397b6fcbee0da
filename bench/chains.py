"""Chains of fastnn with given weights."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import fastnn


def chain_of(layers: Iterable[tuple[np.ndarray, np.ndarray]]) -> fastnn.Sequential:
    """Return linear layers with these weights (out, in) and biases, and ReLU between them."""
    parts: list[fastnn.Layer] = []
    for weight, bias in layers:
        linear = fastnn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = weight, bias
        parts += [*([fastnn.ReLU()] if parts else []), linear]
    return fastnn.Sequential(*parts)
