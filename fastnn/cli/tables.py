"""Output of tables on the terminal."""

from __future__ import annotations

from typing import Any

import typer

from fastnn.cli.output import written
from fastnn.files.texts import visible

_TEXTS = (
    "layer", "column", "kind", "class", "run", "data", "network", "model", "prediction", "content",
    "became",
)  # fmt: skip


def print_table(titles: list[str], rows: list[list[str]]) -> None:
    """Print a table, with text aligned to the left and numbers to the right."""
    from rich import box
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        justify: Any = "left" if title in _TEXTS else "right"
        table.add_column(visible(title), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*map(visible, row))
    print_rich(table)


def print_rich(*parts: Any) -> None:
    """Print what rich draws; its texts have to be `visible`."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    with written():
        with console.capture() as drawn:
            console.print(*parts)
        typer.echo(drawn.get(), nl=False)
