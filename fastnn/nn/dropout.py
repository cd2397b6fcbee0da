"""Shim."""

from fastnn.nn.layers import Dropout  # noqa: F401
