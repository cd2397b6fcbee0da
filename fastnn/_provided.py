"""Methods of lower rooms that functions of higher rooms carry out, such as `History.plot`.

The package's face says which function that is, so no lower room knows a higher one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

HOMES: dict[str, str] = {}
"""Module and function, as `module:function`, by the name of the method; the face fills it."""


def provided(method: str) -> Callable[..., Any]:
    """Return the function that carries out a method; import its module when it is first wanted."""
    module, _, function = HOMES[method].partition(":")
    return getattr(importlib.import_module(module), function)
