"""Batches that an iterable gives, such as those of a torch `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn.training.foreign import as_array


class Epoch(NamedTuple):
    """All samples and targets of an epoch, and the number of rows of a batch."""

    x: np.ndarray
    y: np.ndarray
    batch_size: int


def are_batches(x: Any) -> bool:
    """Return whether samples are an iterable of batches, not an array or a sequence of rows."""
    return isinstance(x, Iterable) and not (
        hasattr(x, "__getitem__") or hasattr(x, "__array__") or isinstance(x, (set, frozenset))
    )


def check_repeatable(batches: Any, epochs: int) -> None:
    """Raise TypeError for no iterable, ValueError for one of fewer epochs."""
    if (
        not isinstance(batches, Iterable)
        or isinstance(batches, (str, bytes))
        or (hasattr(batches, "__array__"))
    ):
        raise TypeError(
            "y is missing; expected targets, or as x an iterable of batches (x, y), such as a "
            "DataLoader"
        )
    if epochs > 1 and isinstance(batches, Iterator):
        raise ValueError(
            f"x is a {type(batches).__name__}, which gives its batches only once; for {epochs} "
            "epochs expected an iterable that can begin again, such as a list or a DataLoader"
        )


def read_epoch(name: str, batches: Iterable) -> Epoch:
    """Return all batches (x, y) that an iterable gives, as arrays.

    Raises TypeError for anything but pairs, ValueError if there are none or their shapes differ, or
    if any but the last has another number of rows.
    """
    xs, ys = [], []
    for place, batch in enumerate(batches):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            told = f"{len(batch)} values" if isinstance(batch, (tuple, list)) else "one value"
            told = f"a {type(batch).__name__} of {told}"
            raise TypeError(f"batch {place} of {name} is {told}; expected a pair (x, y)")
        # Copied, because the next batch may be written into the same memory.
        xs.append(np.array(as_array(f"batch {place} of {name}", batch[0])))
        ys.append(np.array(as_array(f"batch {place} of y", batch[1])))
        rows = len(xs[-1]) if xs[-1].ndim else 0
        if ys[-1].shape[:1] != (rows,):
            raise ValueError(
                f"batch {place} of {name} has shape {xs[-1].shape} and its targets "
                f"{ys[-1].shape}; expected as many rows"
            )
        if (place and len(xs[-2]) != len(xs[0])) or len(xs[-1]) > len(xs[0]):
            raise ValueError(
                f"batches of {name} have {len(xs[-2])} and {len(xs[-1])} rows; expected "
                f"{len(xs[0])}, and fewer only in the last one"
            )
    return Epoch(_joined(name, xs), _joined("y", ys), len(xs[0]))


def read_samples_of(batches: Iterable) -> np.ndarray:
    """Return the samples of all batches, which may be pairs with targets."""
    found = [each[0] if isinstance(each, (tuple, list)) else each for each in batches]
    return _joined("x", [as_array(f"batch {place} of x", each) for place, each in enumerate(found)])


def _joined(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """Return arrays below each other; raise ValueError if there are none, or they do not fit."""
    if not parts:
        raise ValueError(f"{name} gave no batches; expected at least one")
    for place, each in enumerate(parts):
        if not each.ndim or each.shape[1:] != parts[0].shape[1:]:
            raise ValueError(
                f"batch {place} of {name} has shape {each.shape}, and the first one "
                f"{parts[0].shape}; expected the same columns"
            )
    return np.concatenate(parts)
