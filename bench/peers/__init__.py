"""The same operations by each library, one file each.

A file has `OPERATIONS`, functions that make a `Case` from arguments that JSON can hold;
`set_threads`; and `VERSIONS`. All take their inputs from `bench.data`, so that all compute
the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    """An operation with its inputs, ready to be timed."""

    call: Callable[[], object]
    """Does it once."""
    check: Callable[[], dict[str, float]]
    """Does it once and gives what tells whether the result is right, such as its error."""
