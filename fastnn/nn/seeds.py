"""Seeds of initial parameters, orders of rows and masks of dropout."""

from __future__ import annotations

import math
import threading

import numpy as np

from kernels.base import arrays, forks

__all__ = ["manual_seed"]

_source: np.random.SeedSequence | None = None  # of the seeds to come; None: the system's entropy
_lock = threading.Lock()


def _renew() -> None:
    """Renew the lock in the child of a fork, where nobody else holds it."""
    global _lock
    _lock = threading.Lock()


forks.in_child(_renew)


def manual_seed(seed: int) -> None:
    """Fix all seeds that are drawn from now on, as `torch.manual_seed` does.

    These are seeds of the initial parameters of new layers, of `Dropout`, and of the order of rows
    in `fit`, wherever none is given. The same calls then give the same results. Random numbers of
    NumPy and torch are left alone.

    Parameters
    ----------
    seed : int
        The seed, 0 or more.

    Raises
    ------
    ValueError
        If `seed` is no integer of 0 or more.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import Linear, manual_seed
    >>> manual_seed(0)
    >>> first = Linear(3, 2)
    >>> manual_seed(0)
    >>> np.array_equal(Linear(3, 2).weight, first.weight)
    True
    """
    global _source
    with _lock:
        _source = np.random.SeedSequence(arrays.count("seed", seed, 0, math.inf))


def fresh_seed() -> int:
    """Return a seed of 63 bits that has not been used before, or the next one of `manual_seed`."""
    with _lock:
        source = np.random.SeedSequence() if _source is None else _source.spawn(1)[0]
    return _seed_of(source)


def seed_at(seed: int, place: int) -> int:
    """Return the seed of a layer from that of its chain and its place there."""
    return _seed_of(np.random.SeedSequence([seed, place]))


def _seed_of(source: np.random.SeedSequence) -> int:
    return int(source.generate_state(1, np.uint64)[0] >> np.uint64(1))
