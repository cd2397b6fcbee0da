"""Methods of lower packages implemented by functions of higher ones, such as `History.plot`.

`fastnn/__init__.py` registers the functions, so that no lower package imports a higher one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

HOMES: dict[str, str] = {}
"""Functions, as "module:function", by the names of the methods; `fastnn/__init__.py` fills it."""


@cache
def provided(method: str) -> Callable[..., Any]:
    """Return the function that implements a method; import its module at the first call."""
    module, _, function = HOMES[method].partition(":")
    return getattr(importlib.import_module(module), function)
