"""Shim."""

from fastnn.nn.layers import Linear  # noqa: F401
