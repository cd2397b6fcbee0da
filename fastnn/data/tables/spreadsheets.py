"""Tables in spreadsheets, read by openpyxl where it is installed."""

from __future__ import annotations

import datetime
import os
import zipfile
from itertools import zip_longest
from typing import Any

import numpy as np

from fastnn.data.tables.table import TableError


def is_spreadsheet(path: str | os.PathLike[str]) -> bool:
    """Return whether a zip file is a workbook."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.startswith("xl/") for name in file.namelist())
    except Exception:  # errors of zipfile have no common base, and NumPy tells of them
        return False


def read_spreadsheet(path: str | os.PathLike[str], name: str) -> tuple[list[str], list[np.ndarray]]:
    """Return names and cells of the columns in a workbook's first sheet; names are its first row.

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
            rows = [
                row
                for row in book.worksheets[0].iter_rows(values_only=True)
                if any(cell is not None for cell in row)
            ]
            book.close()
    except Exception as error:  # errors of openpyxl and zipfile have no common base
        raise TableError(
            f"{name}: found a spreadsheet that cannot be read: {error}"[:400]
        ) from error
    if len(rows) < 2:
        raise TableError(
            f"{name}: found a spreadsheet of {len(rows)} rows; expected names and rows"
        )
    names, columns = [], []
    for place, (head, *cells) in enumerate(zip_longest(*rows)):
        names.append(f"Unnamed: {place}" if head is None else str(head).strip())
        columns.append(_column(cells))
    return names, columns


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
