"""Texts of SQL: literals, names, types, and cells as texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_SPACES = " \t\n\r\v\f\u00a0"

INTEGERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
"""Types of whole numbers."""

REALS = {"FLOAT", "DOUBLE", "DECIMAL"}
"""Types of other numbers."""

NUMBERS = INTEGERS | REALS
"""Types of numbers."""

TEXTS = {
    *("VARCHAR", "ENUM", "UUID", "DATE"),
    *("TIME", "TIME WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
    *("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
}
"""Types that are read as texts."""


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def listed(texts: Iterable[str]) -> str:
    """Return texts as a list of literals: "'a', 'b'"."""
    return ", ".join(map(quoted, texts))


def clean(cell: str, missing: Collection[str]) -> str:
    """Return the SQL of a text without spaces around it; NULL for one that means nothing."""
    text = f"trim({cell}, {quoted(_SPACES)})"
    return f"CASE WHEN {text} NOT IN ({listed(sorted(missing))}) THEN {text} END"


def spaced(cell: str) -> str:
    """Return the SQL of whether there are spaces around a text; it is quicker than to trim it."""
    ends = " OR ".join(f"ends_with({cell}, {quoted(space)})" for space in _SPACES)
    return f"({cell} < '!' OR starts_with({cell}, {quoted(_SPACES[-1])}) OR {ends})"


def base(kind: str) -> str:
    """Return a type of SQL without its lengths."""
    return kind.split("(", 1)[0].strip() if not kind.endswith("]") else kind


def as_text(cell: str, kind: str) -> str:
    """Return the SQL of a cell as a text: 3.0 as 3, true as True, NaN as NULL."""
    if kind == "BOOLEAN":
        return f"CASE WHEN {cell} THEN 'True' WHEN NOT {cell} THEN 'False' END"
    if kind in REALS:
        whole = f"{cell} = floor({cell}) AND abs({cell}) < 1e15"
        number = f"CASE WHEN {whole} THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR)"
        return f"{number} WHEN NOT isnan(CAST({cell} AS DOUBLE)) THEN CAST({cell} AS VARCHAR) END"
    if kind == "TIME WITH TIME ZONE":  # of UTC, as older versions of pyarrow write times
        cell = f"CAST({cell} AS TIME)"
    return f"CAST({cell} AS VARCHAR)"
