"""Dropout, which sets random elements to 0 in training."""

from __future__ import annotations

import math

import numpy as np

from fastnn.nn.layer import Layer, batch_of, gradient_of, kept_by
from fastnn.nn.seeds import fresh_seed
from fastnn.nn.twins import TorchTwin
from kernels.base import arrays
from kernels.functions import dropout as functions

__all__ = ["Dropout"]


class Dropout(Layer):
    """Dropout, y = x / (1 - p) with probability 1 - p, else 0; in evaluation mode, y = x.

    The mask depends on `seed`, `stream`, the number of training batches seen and the place in
    the batch only (`kernels.dropout`), so that it is the same for any number of threads.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is dropped, from 0 to 1.
    seed : int, optional
        Seed of the masks; None draws one. `fit(seed=...)` replaces it.
    stream : int, default 0
        Number that makes the masks of layers with one seed differ; `fit` sets it to the layer's
        place among the model's Dropout layers.

    Raises
    ------
    ValueError
        If `p` is below 0 or above 1, or `seed` or `stream` is no integer.
    TypeError
        If `p` is not a number.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Dropout
    >>> layer, x = Dropout(0.5, seed=0), np.ones((1, 100))
    >>> np.unique(layer(x))
    array([0., 2.])
    >>> np.shares_memory(layer.eval()(x), x)
    True
    """

    torch_twin = TorchTwin("Dropout", ("p",))

    def __init__(self, p: float = 0.5, *, seed: int | None = None, stream: int = 0):
        self.p = p
        self._drawn_freely = seed is None
        self.reseed(fresh_seed() if seed is None else seed, stream)

    @property
    def p(self) -> float:
        """Probability that an element is dropped."""
        return vars(self)["p"]

    @p.setter
    def p(self, p: float) -> None:
        number = arrays.is_number(p)
        if not number or not 0.0 <= p <= 1.0:
            error = ValueError if number else TypeError
            raise error(f"Dropout: p is {p!r}; expected a probability from 0 to 1")
        vars(self)["p"] = float(p)

    def reseed(self, seed: int, stream: int = 0) -> None:
        """Start the masks of a seed (63 bits) and a stream (32 bits) from the first."""
        self.seed = arrays.count("Dropout: seed", seed, -math.inf, math.inf) & (2**63 - 1)
        self.stream, self.drawn = arrays.count("Dropout: stream", stream, 0), 0

    def reset_parameters(self, seed: int | None = None) -> None:
        """Start the masks of a seed from the first; None draws one."""
        self.reseed(fresh_seed() if seed is None else seed, self.stream)

    def begins_anew(self) -> bool:
        """Return True if no seed was given, and no mask was drawn yet."""
        return getattr(self, "_drawn_freely", False) and self.drawn == 0

    @property
    def drops(self) -> bool:
        """True if the layer drops elements now."""
        return self.training and self.p > 0.0

    def batch_counter(self) -> str | None:
        """Return the name of the attribute that counts masks, or None if none are drawn now."""
        return "drawn" if self.drops else None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return a batch with elements dropped, or unchanged when not training."""
        x = batch_of(self, x)
        if not self.drops:
            self._mask = None
            return x
        self._shape = x.shape
        y, self._mask = functions.dropout(
            x, self.p, seed=self.seed, step=self.drawn, stream=self.stream
        )
        self.drawn += 1
        return y

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return g / (1 - p) where kept, 0 where dropped."""
        mask = kept_by(self, "_mask")
        if mask is None:
            return gradient
        return functions.dropout_gradient(gradient_of(self, gradient, self._shape), mask, self.p)

    def describe(self) -> dict:
        """Return p."""
        return {"p": self.p}

    def settings(self) -> tuple:
        """Return p, and the seed and stream of the masks."""
        return self.p, self.seed, self.stream

    def to_onnx(self, graph, place, x) -> str:
        """Add nothing, since y is x in evaluation mode."""
        return x
