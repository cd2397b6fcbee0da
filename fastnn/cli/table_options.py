"""Options of commands that read a table."""

from __future__ import annotations

from typing import Annotated

import typer


def _columns(what: str):
    return typer.Option(metavar="COLUMN", help=f"{what}; repeat for more.")


Columns = list[str] | None

Drop = Annotated[Columns, _columns("Column to leave out")]
Keep = Annotated[Columns, _columns("Column not to leave out, whatever it holds")]
Categorical = Annotated[Columns, _columns("Column of categories, even if it holds numbers")]
Numeric = Annotated[Columns, _columns("Column of numbers, where all else is missing")]
Dates = Annotated[Columns, _columns("Column of dates or times")]
Impute = Annotated[
    bool,
    typer.Option(
        "--impute/--no-impute",
        help="Fill missing values with the median or most frequent category.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column whose equal cells stay on one side of the split."),
]
Time = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of times; the last rows are held out."),
]
TestFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Table of the test rows. [default: rows are held out]"),
]
SplitSeed = Annotated[
    int | None, typer.Option(help="Seed that draws the test rows of a file. [default: --seed]")
]
Delimiter = Annotated[
    str | None, typer.Option(help="Sign between cells. [default: found from the file]")
]
Decimal = Annotated[
    str | None, typer.Option(help="Sign before decimals. [default: found from the columns]")
]
Thousands = Annotated[
    str | None, typer.Option(help="Sign between thousands. [default: found from the columns]")
]
Encoding = Annotated[str | None, typer.Option(help="Encoding of the file. [default: UTF-8]")]
Header = Annotated[
    bool | None,
    typer.Option(help="Whether the first line has names. [default: found from the file]"),
]
Missing = Annotated[
    Columns,
    typer.Option(
        metavar="TEXT",
        help="Text for a missing value; repeat for more. [default: NA, NaN, null, ? and others]",
    ),
]
Comment = Annotated[
    str | None, typer.Option(help="Sign at the beginning of lines to skip. [default: none]")
]
