"""Tables in files of delimited texts (CSV), which DuckDB sniffs and parses."""

from __future__ import annotations

import codecs
import glob
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from fastnn.data.tables.aligned import is_aligned, tabbed
from fastnn.data.tables.numbers import PLAIN
from fastnn.data.tables.reading import Reading
from fastnn.data.tables.relation import MOST_LETTERS, Relation, connect
from fastnn.data.tables.scratch import Scratch
from fastnn.data.tables.sql import clean, listed, quoted, spaced
from fastnn.data.tables.table import FIRST_ROWS, MOST_LABELS, Source, TableError

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the marks at the beginning of a file, the longer ones first."""

_DELIMITERS = ",;\t|"
_NO_NUMBER = "Error when converting column"  # as DuckDB names a cell that is none
_NUMBERS = {"BIGINT", "DOUBLE", "HUGEINT", "UBIGINT", "INTEGER", "FLOAT"}
_NOTHING = "(empty)"  # DuckDB's text for no sign
_WHOLE = -1  # sniff all rows
_BUFFER = 4_000_000  # bytes, twice the longest line; DuckDB's own are eight times as large
_SNIFFED, _BEGINNING = 20_480, 1 << 22  # rows that are sniffed, and bytes that should hold them
_FIRST = 1 << 16  # letters in which texts that stand for nothing are looked for
_NO_DIGITS = "nan", "inf", "infinity"  # numbers without digits
_QUOTED, _LINE_END = re.compile(r'"[^"]*"'), re.compile(r"\r\n|\n|\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class DelimitedSource(Source):
    """One or several files of delimited texts with the same columns.

    `titles` are the names of files that were unpacked, for errors. A file in another encoding than
    UTF-8, or with lines that end in different ways, is copied first.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        reading: Reading,
        titles: Sequence[Path] | None = None,
    ):
        self._reading, self._titles = reading, list(titles or paths)
        self._copies: list[Scratch] = []
        self._title, self._paths = name, list(paths)
        encoding = reading.encoding or _marked(paths[0])
        if encoding is not None and codecs.lookup(encoding).name not in ("utf-8", "ascii"):
            self._copy(encoding)
        notes = []
        if reading.delimiter in (None, " ") and is_aligned(self._head()):
            self._copy("utf-8", tabbed)
            self._reading = replace(reading, delimiter="\t")
            notes.append("columns are parted by spaces")
        self._connection = connect()
        names = self._mended(self._find_names)
        if self._skip:
            lines = "line" if self._skip == 1 else f"{self._skip} lines"
            notes.append(f"the first {lines} before the names of columns: left out")
        super().__init__(name, names, self._header, notes)
        beginning = self._head()[:_FIRST]
        self._is_full = not any(each and each in beginning for each in reading.texts)
        self.decimal_comma = self._delimiter == ";"

    # ------------------------------------------------------------------------- dialect

    def _sniff(self, sample: int | None = None) -> None:
        """Find the signs, the header and the columns' types, from the first rows or all."""
        found = self._sniffed_plain() if sample is None else None
        found = found or self._ask_sniffer(self._reading.delimiter, sample)
        if found[4] and not found[3] and self._reading.header is None:
            # Where lines differ in their cells, the sniffer would pass over names and rows.
            found = self._sniffed_with(found[0], self._first_line(0), (*found[:4], 0, []))
        if len(found[5]) == 1 and self._reading.delimiter is None:
            # A line with too many cells, or with none, makes the sniffer doubt all signs.
            line = self._first_line(int(found[4]))
            sign = max(_DELIMITERS, key=line.count)
            if line.count(sign):
                found = self._sniffed_with(sign, line, found)
        delimiter, quote, escape, header, skip, columns = found
        self._delimiter = delimiter
        self._quote = '"' if quote == _NOTHING else quote
        # The sniffer would take apostrophes within cells for escapes, and they would be lost.
        self._escape = self._quote if escape in (_NOTHING, "'") else escape
        self._header, self._skip = bool(header), int(skip)
        self._types = [each["type"] for each in columns]
        self._width = len(columns)

    def _sniffed_plain(self) -> tuple | None:
        """Return what the sniffer finds in a file that leaves no doubt of its signs.

        The rows that it looks at hold no quotes, and only one delimiter. Told so, it is twice as
        fast.
        """
        if self._reading.delimiter is not None:
            return None
        with self._paths[0].open("rb") as file:
            rows = file.read(_BEGINNING)
            if not rows.count(b"\n") > _SNIFFED and file.read(1):
                return None
        signs = [sign for sign in _DELIMITERS if sign.encode() in rows]
        if len(signs) != 1 or any(sign in rows for sign in b"\"'\\"):
            return None
        try:
            known = "quote = '\"'", "escape = '\"'", f"buffer_size = {_BUFFER}"
            return self._ask_sniffer(signs[0], None, *known)
        except TableError:
            return None

    def _sniffed_with(self, sign: str, line: str, first: tuple) -> tuple:
        """Return what the sniffer finds with a delimiter; texts if it finds nothing."""
        try:
            found = self._ask_sniffer(sign, None, f"skip = {first[4]}")
        except TableError:
            found = first
        if len(found[5]) > 1:
            return found
        return sign, '"', '"', True, first[4], [{"type": "VARCHAR"}] * (line.count(sign) + 1)

    def _ask_sniffer(self, delimiter: str | None, sample: int | None, *more: str) -> tuple:
        options = [f"nullstr = [{listed(self._reading.texts)}]", *more]
        if delimiter is not None:
            options.append(f"delim = {quoted(delimiter)}")
        if self._reading.header is not None:
            options.append(f"header = {self._reading.header}")
        if self._reading.comment is not None:
            options.append(f"comment = {quoted(self._reading.comment)}")
        if self._line_end():
            options.append(f"new_line = {quoted(self._line_end())}")
        if sample is not None:
            options.append(f"sample_size = {sample}")
        file = quoted(glob.escape(str(self._paths[0])))
        query = (
            "SELECT Delimiter, Quote, Escape, HasHeader, SkipRows, Columns FROM "
            f"sniff_csv({file}, {', '.join(options)}, compression = none)"
        )
        try:
            return self._connection.execute(query).fetchall()[0]
        except duckdb.Error as error:
            raise TableError(f"{self._title}: {self._reason(str(error))}") from error

    def _first_line(self, skip: int) -> str:
        """Return the line of names without what is quoted."""
        lines = self._head().splitlines()[skip:]
        return _QUOTED.sub("", lines[0]) if lines else ""

    def _line_end(self) -> str:
        """Return the sign behind lines where a quoted name holds another one; else nothing."""
        head = self._head()
        first, end = _LINE_END.search(head), _LINE_END.search(_QUOTED.sub("", head))
        if first is None or end is None or first[0] == end[0]:
            return ""
        return end[0].replace("\r", "\\r").replace("\n", "\\n")  # as DuckDB names it

    def _head(self) -> str:
        """Return the beginning of the first file."""
        with self._paths[0].open("rb") as file:
            return file.read(1 << 20).decode("utf-8-sig", "replace")

    # ------------------------------------------------------------------------- reading

    def _find_names(self) -> list[str]:
        """Return the names of the columns, after the signs were found."""
        if "\0" in self._head():
            raise TableError(
                f"{self._title}: found bytes of 0, which text in UTF-8 has not; expected CSV, "
                ".npy, .npz, Parquet or JSON, or its encoding, such as --encoding utf-16-le"
            )
        self._sniff()
        names = self._names() if self._header else []
        if names and self._reading.header is None and all(map(_NUMBER.fullmatch, names)):
            self._header = False  # rows of numbers alone have no names
        return names if self._header else [str(place) for place in range(self._width)]

    def _names(self) -> list[str]:
        """Return the names of the columns; raise TableError if files differ in them."""
        first: list[str] | None = None
        for path, title in zip(self._paths, self._titles, strict=True):
            cells = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(self._width))
            found = self._ask(
                f"SELECT * FROM {self._read(cells, [path], header=False, missing=())} LIMIT 1"
            )
            if not found:
                raise TableError(f"{self._title}: found no line of names")
            given = [("" if cell is None else cell).strip() for cell in found[0]]
            if not any(given):
                raise TableError(f"{self._title}: found no names of columns in the first line")
            names = [each or f"Unnamed: {place}" for place, each in enumerate(given)]
            if first is not None and names != first:
                raise TableError(
                    f"{title}: found other columns than in {self._titles[0]}; expected the same"
                )
            first = names
        assert first is not None
        return first

    def measured(
        self, columns: Collection[str], texts: Collection[str], measure: str
    ) -> Relation | None:
        """Return the table with a column `measure` of numbers; None if it may hold others."""
        place, reading = self.names.index(measure), self._reading
        told = reading.decimal or reading.thousands or self.decimal_comma
        if told or self._types[place] != "DOUBLE":
            return None
        cells = ", ".join(f"'c{each}': 'VARCHAR'" for each in range(self._width))
        first = (
            f"SELECT c{place} FROM {self._read(cells, self._paths, self._header, reading.texts)}"
        )
        number = f"TRY_CAST(c{place} AS DOUBLE)"
        try:
            found = self._ask(f"SELECT count(DISTINCT {number}) FROM ({first} LIMIT {FIRST_ROWS})")
        except TableError:  # which reading the table tells of
            return None
        if found[0][0] <= MOST_LABELS:
            return None
        table = self._mended(lambda: self._of_numbers(columns, texts, measure))
        (facts,) = table.number_facts([measure])
        return table if facts.infinite == 0 and math.isfinite(facts.low + facts.high) else None

    def table(
        self, columns: Collection[str] | None = None, texts: Collection[str] = ()
    ) -> Relation:
        """Return the table; numbers are what the sniffer takes for them, unless `texts`."""
        return self._mended(lambda: self._of_numbers(columns, texts))

    def _mended(self, read: Callable[[], Any]) -> Any:
        """Return what `read` returns; if it fails, and lines are odd, read a copy without them."""
        try:
            return read()
        except TableError:
            if self._copies or not self._has_odd_lines():
                raise
        self._copy("utf-8")
        self._sniff()
        return read()

    def _of_numbers(
        self, columns: Collection[str] | None, texts: Collection[str], measure: str = ""
    ) -> Relation:
        """Return the table; sniff all rows if one behind the first ones has no number."""
        if self._is_full:
            try:
                return self._table(columns, texts, measure)
            except _NotNumbersError:
                self._is_full = False
        try:
            return self._table(columns, texts, measure)
        except _NotNumbersError:
            try:
                self._sniff(_WHOLE)
            except TableError:  # a line is odd, which the reader tells of
                self._types = ["VARCHAR"] * self._width
        while True:
            try:
                return self._table(columns, texts, measure)
            except _NotNumbersError as error:  # whatever the sniffer took it for
                self._types[int(str(error))] = "VARCHAR"

    def _has_odd_lines(self) -> bool:
        """Return whether lines are of spaces alone, or end in different ways."""
        return any(map(_is_odd, self._paths))

    def _table(
        self, columns: Collection[str] | None, texts: Collection[str], measure: str
    ) -> Relation:
        wanted = [
            (place, name)
            for place, name in enumerate(self.names)
            if columns is None or name in columns
        ]
        kinds = ["VARCHAR"] * self._width
        for place, name in wanted:
            if self._types[place] in _NUMBERS and name not in texts and name != measure:
                kinds[place] = "BIGINT" if self._types[place] == "BIGINT" else "DOUBLE"
        is_text = [kinds[place] == "VARCHAR" and name != measure for place, name in wanted]
        # A cell such as 1.5 behind the rows that were sniffed would be rounded to a whole number.
        read = ["DOUBLE" if kind == "BIGINT" else kind for kind in kinds]
        cells = ", ".join(f"'c{place}': '{kind}'" for place, kind in enumerate(read))
        selected = ", ".join(
            f"{self._select(place, kinds[place], name == measure)} AS c{new}"
            for new, (place, name) in enumerate(wanted)
        )
        missing = self._reading.texts
        if self._is_full and not any(is_text):  # to look for them takes a tenth of the time
            missing = tuple(filter(_may_be_number, missing))
        origin = self._read(cells, self._paths, self._header, missing)
        return Relation.made(
            self._connection,
            self.name,
            [name for _, name in wanted],
            self.named,
            is_text,
            f"SELECT {selected or '1'} FROM {origin}",
            self._reason,
        )

    def _select(self, place: int, kind: str, is_measure: bool) -> str:
        """Return the SQL of what is kept of a cell of a column."""
        cell = f"c{place}"
        if is_measure:
            return _strict(cell, self._reading.texts)
        if kind == "BIGINT":
            return _whole(cell)
        return self._clean(cell) if kind == "VARCHAR" else cell

    def _clean(self, cell: str) -> str:
        """Return the SQL of a text that is cleaned only where spaces are around it.

        DuckDB has already taken the others that stand for nothing.
        """
        return f"CASE WHEN {spaced(cell)} THEN {clean(cell, self._reading.texts)} ELSE {cell} END"

    def _read(
        self, cells: str, paths: Sequence[Path], header: bool, missing: Collection[str]
    ) -> str:
        """Return the SQL of reading files with known signs and columns."""
        options = {
            "delim": quoted(self._delimiter),
            "quote": quoted(self._quote),
            "escape": quoted(self._escape),
            "header": str(header),
            "skip": str(self._skip),
            "columns": f"{{{cells}}}",
            "buffer_size": str(_BUFFER),
            "compression": "none",
        }
        if missing:
            options["nullstr"] = f"[{listed(missing)}]"
        if self._line_end():
            options["new_line"] = quoted(self._line_end())
        if self._reading.comment is not None:
            options["comment"] = quoted(self._reading.comment)
        files = listed(glob.escape(str(path)) for path in paths)
        settings = ", ".join(f"{key} = {value}" for key, value in options.items())
        return f"read_csv([{files}], auto_detect = False, {settings})"

    def _ask(self, query: str) -> list[tuple]:
        try:
            return self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise TableError(f"{self._title}: {self._reason(str(error))}") from error

    # -------------------------------------------------------------------------- errors

    def _reason(self, message: str) -> str:
        """Return the line and the fault that an error of DuckDB tells of.

        Raises _NotNumbersError if it tells of a cell that is no number.
        """
        line = re.search(r"CSV Error on Line: (\d+)", message)
        where = f"line {int(line[1]):,}" if line else "a line"
        if fields := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
            return f"{where} has {fields[2]} fields; expected {fields[1]}, as in the first line"
        if "unterminated quote" in message:
            return f"{where} has a quote that does not end, or goes on behind it"
        if "nicode" in message or "not utf-8" in message:
            return (
                f"{where} is not text in UTF-8; expected its encoding, such as --encoding cp1252 "
                "(of Excel in Western Europe) or latin-1, or .npy, .npz, Parquet or JSON"
            )
        if "Maximum line size" in message:
            return f"{where} is longer than 2,000,000 bytes; expected lines of a table"
        if found := re.search(rf'{_NO_NUMBER} "c(\d+)"', message):
            raise _NotNumbersError(found[1])
        if "sniffing file" in message or "state machine" in message:
            return "found no table of delimited texts; expected CSV, .npy, .npz, Parquet or JSON"
        return message

    # -------------------------------------------------------------------------- copies

    def _copy(
        self, encoding: str, change: Callable[[Iterable[str]], Iterable[str]] | None = None
    ) -> None:
        """Read copies of the files, in UTF-8 and with changed lines, from now on."""
        paths = []
        for path in self._paths:
            copy = Scratch(self._title)
            try:
                with path.open(encoding=encoding) as lines:
                    for line in (change or _ending_alike)(lines):
                        copy.write(line.encode())
                copy.flush()
            except UnicodeError as error:
                reason = f"found bytes that are not {encoding}: {error}"[:MOST_LETTERS]
                raise TableError(f"{self._title}: {reason}") from error
            self._copies.append(copy)
            paths.append(copy.path)
        self._paths = paths


def _whole(cell: str) -> str:
    """Return the SQL of a number as a whole one; an error for others, and for ones of 2^53."""
    fits = f"{cell} IS NULL OR ({cell} = trunc({cell}) AND abs({cell}) < {2**53})"
    error = f"""error('{_NO_NUMBER} "{cell}": ' || {cell})"""
    return f"CASE WHEN {fits} THEN CAST({cell} AS BIGINT) ELSE {error} END"


def _strict(cell: str, missing: Collection[str]) -> str:
    """Return the SQL of a text as a number; NaN for another text, or a code such as 007."""
    nan = "CAST('nan' AS DOUBLE)"
    is_code = f"CASE WHEN starts_with({cell}, '0') THEN regexp_full_match({cell}, '0[0-9]+') END"
    is_other = f"({clean(cell, missing)}) IS NOT NULL"
    number = f"coalesce({PLAIN.query(cell)}, CASE WHEN {is_other} THEN {nan} END)"
    return f"CASE WHEN {is_code} THEN {nan} ELSE {number} END"


def _may_be_number(text: str) -> bool:
    """Return whether DuckDB may read a text as a number, or as nothing."""
    return not text or any(map(str.isdigit, text)) or text.strip("+-").lower() in _NO_DIGITS


class _NotNumbersError(Exception):
    """A cell of a column of numbers is none."""


def _marked(path: Path) -> str | None:
    """Return the encoding that a mark at the beginning of a file tells of."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


def _is_odd(path: Path) -> bool:
    """Return whether some lines of a file end otherwise than others, or hold only spaces."""
    with path.open("rb") as file:
        return len({line[-2:] == b"\r\n" or not line.strip(b" \r\n") for line in file}) > 1


def _ending_alike(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines that end alike; those of spaces alone become empty."""
    for line in lines:
        yield line.removeprefix("\ufeff") if line.strip(" \r\n") else "\n"
