"""Initial weights: functions from a shape (out, in) and a generator to an array."""

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
