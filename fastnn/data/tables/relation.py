"""Tables in DuckDB, which parses files, compares texts and spills to disk what memory cannot hold.

The columns of a table are named c0, c1, ... in SQL: names of files may hold anything.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from fastnn.data.tables.columns import MISSING, Column
from fastnn.data.tables.scratch import folder
from fastnn.data.tables.sql import (
    INTEGERS,
    NUMBERS,
    TEXTS,
    as_text,
    base,
    clean,
    identifier,
    quoted,
)
from fastnn.data.tables.table import NumberFacts, Source, Table, TableError, TextFacts

_ROW_GROUP = 122_880  # rows that DuckDB stores together
_BLOCK_CELLS = 1 << 22
# Megabytes that DuckDB may take, and more for each column. With 300 it spills half a million rows
# of 20 numbers, which takes twice as long.
_MEMORY, _MEMORY_A_COLUMN = 400, 0.5
_IN_MEMORY = 400_000_000  # bytes of numbers that fit; of others, a part goes to the disk
_LEAST_MEMORY = 100  # megabytes, which are enough to read rows
MOST_LETTERS = 300
"""Letters of a reason in an error."""


def connect() -> duckdb.DuckDBPyConnection:
    """Return a connection that reads no variables of Python and fetches no extensions."""
    return duckdb.connect(
        config={
            # Two connections must not spill to the same files; DuckDB removes the folder.
            "temp_directory": str(folder() / f"table-{os.getpid()}-{secrets.token_hex(8)}"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "disabled_optimizers": "in_clause",  # it makes joins, which change the order of rows
        }
    )


@contextmanager
def reported(name: str, reason: Callable[[str], str] = lambda message: message):
    """Turn DuckDB's errors into TableError, with the name of the table."""
    try:
        yield
    except duckdb.Error as error:
        text = reason(str(error)).split("\n", 1)[0][:MOST_LETTERS]
        raise TableError(f"{name}: {text}") from error


class RelationSource(Source):
    """A table that DuckDB can read: `origin` is the SQL behind FROM.

    `keep` is what DuckDB reads by address. `names` are those of the columns, of which DuckDB
    would rename x behind X, or behind another x.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        origin: str,
        named: bool = True,
        keep: Any = None,
        names: Sequence[str] | None = None,
    ):
        self.connection, self.origin = connection, origin
        with reported(name):
            described = connection.execute(f"DESCRIBE SELECT * FROM {origin}").fetchall()
        usual = [row[0] for row in described]
        columns = list(zip(names or usual, usual, (str(row[1]) for row in described), strict=True))
        usable = [each for each in columns if base(each[2]) in NUMBERS | TEXTS | {"BOOLEAN"}]
        odd = [f"{own} ({kind[:40]})" for own, _, kind in columns if (own, _, kind) not in usable]
        notes = [f"left out, since they are neither numbers nor texts: {', '.join(odd[:5])}"]
        super().__init__(name, [own for own, *_ in usable], named, notes if odd else ())
        self._cells = {
            own: identifier(each[1]) for own, each in zip(self.names, usable, strict=True)
        }
        self._kinds = {own: each[2] for own, each in zip(self.names, usable, strict=True)}
        self.keep = keep

    @classmethod
    def of_arrays(
        cls, name: str, columns: Mapping[str, np.ndarray], named: bool = True
    ) -> RelationSource:
        """Return the source of arrays (rows,) in memory."""
        connection = connect()
        own = {f"c{i}": _plain(values) for i, values in enumerate(columns.values())}
        connection.register("arrays", own)
        return cls(connection, name, "arrays", named, own, list(columns))

    def spelled(self, names: Collection[str]) -> set[str]:
        """Return those columns that hold texts."""
        return {name for name in names if base(self._kinds[name]) not in NUMBERS}

    def table(
        self, columns: Collection[str] | None = None, texts: Collection[str] = ()
    ) -> Relation:
        """Return the table; columns that are no numbers are texts anyway."""
        names = [each for each in self.names if columns is None or each in columns]
        selected, is_text = [], []
        for place, key in enumerate(names):
            cell, kind = self._cells[key], base(self._kinds[key])
            text = kind not in NUMBERS or key in texts
            is_text.append(text)
            if text:
                cell = clean(as_text(cell, kind), self.missing)
            elif kind in ("DECIMAL", "HUGEINT", "UHUGEINT"):
                cell = f"CAST({cell} AS DOUBLE)"
            elif kind in ("FLOAT", "DOUBLE"):
                cell = f"nullif({cell}, CAST('nan' AS {kind}))"
            selected.append(f"{cell} AS c{place}")
        return Relation.made(
            self.connection,
            self.name,
            names,
            self.named,
            is_text,
            f"SELECT {', '.join(selected)} FROM {self.origin}",
        )


def _plain(values: np.ndarray) -> np.ndarray:
    """Return an array that DuckDB can read: in native byte order, no half floats, no hours."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        return values.astype(np.float64)
    if values.dtype.kind in "biuf" and not values.dtype.isnative:
        return values.astype(values.dtype.newbyteorder("="))
    return values


class Relation(Table):
    """A table in DuckDB's memory, with columns c0, c1, ... of numbers or texts."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        names: Sequence[str],
        named: bool,
        is_text: Sequence[bool],
    ):
        self.connection = connection
        rows = connection.execute("SELECT count(*) FROM cells").fetchall()[0][0]
        super().__init__(name, names, named, rows)
        kinds = connection.execute("DESCRIBE cells").fetchall()
        self._kinds = {key: str(row[1]) for key, row in zip(names, kinds, strict=False)}
        self._cell = {key: f"c{place}" for place, key in enumerate(names)}
        self._text = dict(zip(names, is_text, strict=True))
        self._known: dict[str, tuple[int, TextFacts]] = {}
        self._memory = _memory_of(names)

    @classmethod
    def made(
        cls,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        names: Sequence[str],
        named: bool,
        is_text: Sequence[bool],
        query: str,
        reason: Callable[[str], str] = lambda message: message,
    ) -> Relation:
        """Return the table of a query; `reason` tells of an error in it."""
        with reported(name, reason):
            connection.execute(f"SET memory_limit = '{_memory_of(names)}MB'").fetchall()
            connection.execute(f"CREATE OR REPLACE TABLE cells AS {query}").fetchall()
        return cls(connection, name, names, named, is_text)

    def is_text(self, name: str) -> bool:
        """Return whether a column holds texts."""
        return self._text[name]

    def is_bytes(self, name: str) -> bool:
        """Return whether a column is of bytes, and none is missing."""
        if self._kinds[name] != "UTINYINT":
            return False
        missing = f"SELECT count(*) FROM cells WHERE {self._cell[name]} IS NULL"
        return self._ask(missing)[0][0] == 0

    def number_facts(self, names: Sequence[str]) -> list[NumberFacts]:
        """Return the facts about columns of numbers."""
        parts = [
            f"count({cell}), min({cell}), max({cell})"
            for cell in (self._cell[name] for name in names)
        ]
        with self._sparing():
            found = self._ask(f"SELECT {', '.join(parts)} FROM cells")[0] if parts else ()
        return [
            self._facts(name, *found[place : place + 3])
            for name, place in zip(names, range(0, len(found), 3), strict=True)
        ]

    def _facts(self, name: str, count: int, low, high) -> NumberFacts:
        """Return the facts about a column, of which some are known; ask for others if need be."""
        if count == 0:
            return NumberFacts(len(self), 0, np.inf, -np.inf, False, False)
        cell, infinite = self._cell[name], 0
        low, high = float(low), float(high)
        if np.isinf(low) or np.isinf(high):
            infinite, low, high = self._ask(
                f"SELECT count(*) FILTER (isinf({cell})), min({cell}) FILTER (isfinite({cell})), "
                f"max({cell}) FILTER (isfinite({cell})) FROM cells"
            )[0]
            low, high = (np.inf, -np.inf) if low is None else (low, high)
        whole = base(self._kinds[name]) in INTEGERS
        if not whole and low % 1 == 0 == high % 1:
            whole = not self._ask(f"SELECT 1 FROM cells WHERE {cell} <> floor({cell}) LIMIT 1")
        steps = whole and count == len(self) == high - low + 1 and self._steps(cell, low, high)
        return NumberFacts(len(self) - count, infinite, low, high, whole, steps)

    def _steps(self, cell: str, low: float, high: float) -> bool:
        """Return whether numbers rise, or fall, by 1 from row to row."""
        real = f"CAST({cell} AS DOUBLE)"
        rise, fall = self._ask(
            f"SELECT bool_and({real} - rowid = {low}), bool_and({real} + rowid = {high}) FROM cells"
        )[0]
        return bool(rise or fall)

    def text_facts(self, name: str, most: int, rows: np.ndarray | None = None) -> TextFacts:
        """Return the facts about a column of texts; those about all rows are kept."""
        if rows is not None:
            return self._count_texts(name, most, rows)
        known, facts = self._known.get(name, (-1, None))
        if facts is None or known < most:
            facts = self._count_texts(name, most, None)
            self._known[name] = most, facts
        return TextFacts(facts.missing, facts.distinct, dict(islice(facts.counts.items(), most)))

    def _count_texts(self, name: str, most: int, rows: np.ndarray | None) -> TextFacts:
        cell, where = self._cell[name], "TRUE"
        if rows is not None:
            self._choose(rows)
            where = "rowid IN (SELECT row FROM chosen)"
        text = cell if self._text[name] else as_text(cell, base(self._kinds[name]))
        counted = f"SELECT {text} AS text, count(*) AS rows FROM cells WHERE {where} GROUP BY text"
        found = self._ask(
            f"WITH counted AS MATERIALIZED ({counted}) SELECT text, rows, "
            "(SELECT count(text) FROM counted), "
            "(SELECT coalesce(sum(rows), 0) FROM counted WHERE text IS NULL) "
            f"FROM counted ORDER BY text IS NULL, rows DESC, text LIMIT {max(most, 1)}"
        )
        if not found:
            return TextFacts(0, 0, {})
        distinct, missing = found[0][2:]
        counts = {text: rows for text, rows, *_ in found if text is not None}
        return TextFacts(int(missing), int(distinct), counts)

    def count(self, name: str, readers: Sequence[str], some: int | None = None) -> list[int]:
        """Return the number of rows for which each SQL, with {} for the cell, is not NULL."""
        cell, every = self._cell[name], 1 if some is None else max(1, len(self) // some)
        parts = [f"count({each.replace('{}', cell)})" for each in readers]
        rows = "cells" if every == 1 else f"cells WHERE rowid % {every} = 0"
        return list(self._ask(f"SELECT {', '.join(parts)} FROM {rows}")[0]) if parts else []

    def examples(self, name: str, most: int) -> list[str]:
        """Return the first texts of a column."""
        cell = self._cell[name]
        found = self._ask(f"SELECT {cell} FROM cells WHERE {cell} IS NOT NULL LIMIT {most}")
        return [str(row[0]) for row in found]

    def values(self, column: Column, name: str) -> np.ndarray:
        """Return what a column description reads, (rows,)."""
        parts = [values for _, (values,) in self.blocks([column], [name])]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0)

    def keys(self, name: str) -> np.ndarray:
        """Return the ranks of a column's cells among all, which no version of DuckDB changes."""
        found = self._fetched(
            f"SELECT dense_rank() OVER (ORDER BY {self._cell[name]}) AS key FROM cells "
            "ORDER BY rowid"
        )
        return np.asarray(found["key"])

    def blocks(
        self, columns: Sequence[Column], names: Sequence[str]
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield slices of rows, and what the column descriptions read there."""
        parts = [
            self._read(each, name, place)
            for place, (each, name) in enumerate(zip(columns, names, strict=True))
        ]
        with self._sparing():
            yield from self._blocks(columns, parts)

    def _blocks(
        self, columns: Sequence[Column], parts: Sequence[str]
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Yield slices of rows, and the values there that SQL tells how to read.

        A thread fetches the next rows while the caller takes these.
        """
        step = max(2048, _BLOCK_CELLS // max(1, len(parts)))
        step -= step % _ROW_GROUP if step > _ROW_GROUP else 0
        slices = [slice(i, min(i + step, len(self))) for i in range(0, len(self), step)]
        queries = (
            f"SELECT {', '.join(parts) or '1'} FROM cells "
            f"WHERE rowid >= {rows.start} AND rowid < {rows.stop}"
            for rows in slices
        )
        with ThreadPoolExecutor(1) as other, self.connection.cursor() as cursor:
            coming = deque(other.submit(self._fetched, each, cursor) for each in islice(queries, 1))
            for rows in slices:
                found = coming.popleft().result()
                coming.extend(
                    other.submit(self._fetched, each, cursor) for each in islice(queries, 1)
                )
                values = (found[f"v{place}"] for place in range(len(parts)))
                yield rows, [_filled(*each) for each in zip(columns, values, strict=True)]

    def odd(self, column: Column, name: str) -> list[tuple[str, int, int]]:
        """Return the most frequent texts that a column description cannot read."""
        cell = self._cell[name]
        read = column.query(cell, self._text[name])
        if not self._text[name] or column.texts:
            return []
        return self._ask(
            f"SELECT {cell}, count(*), min(rowid) + 1 FROM cells "
            f"WHERE {cell} IS NOT NULL AND NOT coalesce(isfinite({read}), FALSE) "
            f"GROUP BY {cell} ORDER BY count(*) DESC, {cell} LIMIT 5"
        )

    def selected(self, names: Sequence[str]) -> list[str]:
        """Return the SQL of columns under their own names."""
        return [f"{self._cell[name]} AS {identifier(name)}" for name in names]

    def _read(self, column: Column, name: str, place: int) -> str:
        """Return the SQL of what a column description reads, as v0, v1, ..."""
        cell = self._cell[name]
        if not column.of_texts and self._kinds[name] == "UTINYINT" and self.is_bytes(name):
            return f"{cell} AS v{place}"
        text = self._text[name]
        if not text and not column.of_numbers:
            cell, text = as_text(cell, base(self._kinds[name])), True
        return f"{column.query(cell, text)} AS v{place}"

    @contextmanager
    def _sparing(self) -> Iterator[None]:
        """Leave memory to what is made of the table, if it is on the disk anyway."""
        if 8 * len(self) * len(self.names) < _IN_MEMORY:
            yield
            return
        self._ask(f"SET memory_limit = '{_LEAST_MEMORY}MB'")
        try:
            yield
        finally:
            self._ask(f"SET memory_limit = '{self._memory}MB'")

    def _choose(self, rows: np.ndarray) -> None:
        """Keep the indices of rows in the table `chosen`."""
        with reported(self.name):
            self.connection.register("given", {"row": np.ascontiguousarray(rows, np.int64)})
            self.connection.execute(
                "CREATE OR REPLACE TABLE chosen AS SELECT row FROM given"
            ).fetchall()
            self.connection.unregister("given")

    def _ask(self, query: str) -> list[tuple]:
        with reported(self.name):
            return self.connection.execute(query).fetchall()

    def _fetched(
        self, query: str, connection: duckdb.DuckDBPyConnection | None = None
    ) -> dict[str, np.ndarray]:
        """Return the columns of a query, which is quicker from a whole result than as they come."""
        with reported(self.name):
            return (connection or self.connection).sql(query).fetchnumpy()


def _memory_of(names: Sequence[str]) -> int:
    """Return the megabytes that DuckDB may take for a table."""
    return int(_MEMORY + _MEMORY_A_COLUMN * len(names))


def _filled(column: Column, values: np.ndarray) -> np.ndarray:
    """Return values with those that are masked as missing ones."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return values.filled(MISSING if column.texts else np.nan)


def write_file(
    path: Path,
    columns: Mapping[str, np.ndarray],
    table: Table | None = None,
    kept: Sequence[str] = (),
    parquet: bool = False,
) -> None:
    """Write arrays (rows,) to a file, as CSV or Parquet, behind the columns `kept` of a table."""
    own = table.connection if isinstance(table, Relation) else connect()
    arrays = {f"v{i}": _plain(values) for i, values in enumerate(columns.values())}
    items = [f"v{i} AS {identifier(name)}" for i, name in enumerate(columns)]
    origin = "written"
    if kept and isinstance(table, Relation):
        items = [*table.selected(kept), *items]
        origin = "cells POSITIONAL JOIN written"
    form = f"FORMAT {'parquet' if parquet else 'csv, HEADER'}, USE_TMP_FILE false"
    with reported(str(path)):
        own.register("written", arrays)
        query = f"SELECT {', '.join(items)} FROM {origin}"
        own.execute(f"COPY ({query}) TO {quoted(str(path))} ({form})").fetchall()
        own.unregister("written")
