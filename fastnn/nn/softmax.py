"""Shim."""

from fastnn.nn.activations import LogSoftmax  # noqa: F401
from fastnn.nn.layers import Softmax  # noqa: F401
