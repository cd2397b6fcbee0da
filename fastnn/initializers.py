"""Initializers of weights: functions of a shape (fan_out, fan_in) and a random generator."""

from fastnn.nn.initializers import (
    INITIALIZERS,
    Initializer,
    initializer,
    kaiming_normal,
    kaiming_uniform,
    normal,
    torch_default,
    xavier_normal,
    xavier_uniform,
    zeros,
)

__all__ = [
    "INITIALIZERS",
    "Initializer",
    "initializer",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "torch_default",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
