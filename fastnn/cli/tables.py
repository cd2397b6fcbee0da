"""Output of tables on the terminal."""

from __future__ import annotations

_TEXTS = ("layer", "column", "kind", "class", "run", "data", "network", "prediction")


def print_table(titles: list[str], rows: list[list[str]]) -> None:
    """Print a table, with text aligned to the left and numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title in _TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
