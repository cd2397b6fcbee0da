"""Layers as users write them, which no program expresses: training with them steps in Python."""

import pytest

from fastnn import Identity, Layer, Linear, Sequential


class Own(Identity):
    """y = x."""


ignore_own = pytest.mark.filterwarnings("ignore:Own is not a layer")
compiled_and_eager = pytest.mark.parametrize("own", [(), (Own(),)], ids=["compiled", "eager"])


class Doubled(Layer):
    """y = 2 x."""

    def forward(self, x):
        return 2 * x

    def backward(self, gradient):
        return 2 * gradient


class OtherLinear(Linear):
    """A kind of `Linear`, of which only its author knows that it does the same."""


class OtherSequential(Sequential):
    """A kind of chain, of which only its author knows that it does the same."""
