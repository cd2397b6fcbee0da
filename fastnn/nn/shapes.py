"""Shim."""

from fastnn.nn.layers import (
    Flatten,  # noqa: F401
    Identity,  # noqa: F401
)
