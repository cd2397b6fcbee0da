"""Tables in spreadsheets, read by openpyxl where it is installed."""

from __future__ import annotations

import datetime
import os
import zipfile
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from fastnn.data.tables.table import TableError, few


def is_spreadsheet(path: str | os.PathLike[str]) -> bool:
    """Return whether a zip file is a workbook."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.startswith("xl/") for name in file.namelist())
    except Exception:  # errors of zipfile have no common base, and NumPy tells of them
        return False


class Sheet(NamedTuple):
    """Names and cells of the columns in a workbook's sheet, and remarks on what was left out."""

    names: list[str]
    columns: list[np.ndarray]
    notes: list[str]


def read_spreadsheet(path: str | os.PathLike[str], name: str) -> Sheet:
    """Return the first sheet of a workbook that holds a table; titles above the names are left out.

    Raises TableError if openpyxl is missing or the workbook cannot be read.
    """
    try:
        import openpyxl
    except ImportError:
        raise TableError(
            f"{name}: found a spreadsheet; pip install openpyxl, or save it as CSV"
        ) from None
    try:
        with open(path, "rb") as file:  # a path would have to end in .xlsx
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheets = {sheet.title: _rows(sheet) for sheet in book.worksheets}
            book.close()
    except Exception as error:  # errors of openpyxl and zipfile have no common base
        raise TableError(
            f"{name}: found a spreadsheet that cannot be read: {error}"[:400]
        ) from error
    title, rows = next(((key, rows) for key, rows in sheets.items() if _is_table(rows)), ("", []))
    if not rows:
        raise TableError(f"{name}: found a spreadsheet without a table; expected names and rows")
    others = [repr(key) for key, found in sheets.items() if found and key != title]
    notes = [f"sheet {title!r} is read, and not {few(others)}"] if others else []
    above = _above(rows)
    if above:
        lines = "row" if above == 1 else f"{above} rows"
        notes.append(f"the first {lines} before the names of columns: left out")
    names, columns = [], []
    for place, (head, *cells) in enumerate(zip_longest(*rows[above:])):
        if head is not None or any(cell is not None for cell in cells):
            names.append(f"Unnamed: {place}" if head is None else str(head).strip())
            columns.append(_column(cells))
    return Sheet(names, columns, notes)


def _rows(sheet: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a sheet that are not empty."""
    return [row for row in sheet.iter_rows(values_only=True) if _filled(row)]


def _filled(row: Sequence[Any]) -> int:
    """Return the number of cells that are not empty."""
    return sum(cell is not None for cell in row)


def _is_table(rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether a sheet has names, and a row below them."""
    return len(rows) - _above(rows) > 1


def _above(rows: Sequence[Sequence[Any]]) -> int:
    """Return the number of rows above the names: the first row of which more than half is filled.

    An index has no name in the files that pandas writes.
    """
    widest = max(map(_filled, rows), default=0)
    full = (2 * (_filled(row) + (row[0] is None)) > widest for row in rows)
    return next((place for place, is_full in enumerate(full) if is_full), 0)


def _column(cells: list[Any]) -> np.ndarray:
    """Return cells as numbers, if all that are there are numbers, else as texts."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds and kinds <= {int, float}:
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)
    return np.array([None if cell is None else _text(cell) for cell in cells], object)


def _text(cell: Any) -> str:
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    return str(cell)
