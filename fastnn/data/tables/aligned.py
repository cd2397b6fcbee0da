"""Tables whose columns are parted by runs of spaces, as R, NumPy and older programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

_CELL, _QUOTED = re.compile(r'"(?:[^"]|"")*"|\S+'), re.compile(r'"[^"]*"')
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LINES = 30  # that tell


def is_aligned(head: str) -> bool:
    """Return whether lines at the beginning of a file have as many cells, one of them a number.

    The line of names may have one less, as in R, whose rows have names, or one more, a #. There are
    no other signs that part cells.
    """
    lines = [line for line in head.splitlines()[: _LINES + 1] if line.strip()][:_LINES]
    first, *rows = [_CELL.findall(line) for line in lines] or [[]]
    if not rows or re.search(r"[,;|\t]", _QUOTED.sub("", "\n".join(lines))):
        return False
    width = len(rows[0])
    same = all(len(row) == width and any(map(_NUMBER.fullmatch, row)) for row in rows)
    return same and width > 1 and len(_names(first, width)) == width


def tabbed(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of such a file with tabs between cells, without empty ones."""
    rows = filter(None, map(_CELL.findall, lines))
    first, second = next(rows), next(rows)
    for cells in chain([_names(first, len(second)), second], rows):
        yield "\t".join(cells) + "\n"


def _names(cells: list[str], width: int) -> list[str]:
    """Return the cells of the first line: an empty name for names of rows, and none for a #."""
    if len(cells) == width + 1 and cells[0] == "#":
        return cells[1:]
    if len(cells) == width and cells[0].startswith("#"):
        return [cells[0].lstrip("#"), *cells[1:]]
    return ['""', *cells] if len(cells) == width - 1 else cells
