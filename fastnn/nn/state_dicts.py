"""State dicts, which hold parameters and buffers by name as arrays or torch tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class IncompatibleKeys(NamedTuple):
    """Names that a state lacks, and names that only the state has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def compare(
    own: Mapping[str, np.ndarray], state: Mapping[str, Any], strict: bool
) -> tuple[dict[str, np.ndarray], IncompatibleKeys]:
    """Return a state's arrays in the dtypes of the model's own, and the names that do not match.

    Raises KeyError if names are missing or unknown and `strict` is true, ValueError if only shapes
    differ (both list every mismatch), and TypeError for values that hold no numbers.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state is a {type(state).__name__}; expected a mapping of names to arrays")
    keys = IncompatibleKeys(
        [name for name in own if name not in state], [name for name in state if name not in own]
    )
    arrays = {name: as_array(name, state[name]) for name in own if name in state}
    shapes = [
        f"{name} has shape {own[name].shape}, in the state {array.shape}"
        for name, array in arrays.items()
        if array.shape != own[name].shape
    ]
    names = [
        f"{what} {', '.join(map(str, found))}"
        for what, found in zip(("missing", "unknown"), keys, strict=True)
        if found and strict
    ]
    if names or shapes:
        raise (KeyError if names else ValueError)(
            f"state does not fit the model: {'; '.join([*names, *shapes])}"
        )
    return {name: array.astype(own[name].dtype) for name, array in arrays.items()}, keys


def as_array(name: str, value: Any) -> np.ndarray:
    """Return an array or a torch tensor of any device as an array; raise TypeError for others."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if str(value.dtype) == "torch.bfloat16":  # NumPy has no such dtype
                value = value.double()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name} cannot be read as an array: {reason}") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds {array.dtype}; expected numbers")
    return array
