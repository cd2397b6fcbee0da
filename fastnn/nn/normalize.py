"""Shim."""

from fastnn.nn.layers import Normalize  # noqa: F401
