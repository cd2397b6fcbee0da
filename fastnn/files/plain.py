"""Plain values: JSON that is read strictly, whoever wrote it."""

from __future__ import annotations

import json
import math
from typing import Any

_MOST = 200  # letters of a message about a value


def loads(text: str | bytes) -> Any:
    """Return the value in a text of JSON.

    Raises ValueError for anything else: numbers that are not finite, names that an object has
    twice, bytes that are not UTF-8, and nesting without end.
    """
    try:
        return json.loads(
            text.decode() if isinstance(text, bytes) else text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds the number {name}, expected finite ones")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text[:20])
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds {twice[:100]!r} twice")
    return found


def number(name: str, value: Any) -> float | None:
    """Return a number, or None; raise ValueError, with its name, for anything else."""
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{name} is {value!r}; expected a number or none"[:_MOST])
    return value


def count(name: str, value: Any) -> int:
    """Return an integer of 0 or more; raise ValueError, with its name, for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}; expected an integer of 0 or more"[:_MOST])
    return value
