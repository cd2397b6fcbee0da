"""HTML tables, by which objects show themselves in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return an HTML table of texts, which may hold any characters."""
    lines = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{_cells('th', head)}</tr></thead><tbody>{lines}</tbody></table>"
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    """Return the cells of a row; `th` heads a column, `td` is a cell."""
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)
