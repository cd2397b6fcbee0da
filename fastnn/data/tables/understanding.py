"""Understanding of a table's columns: what each one holds, and what is made of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fastnn.data.tables import dates
from fastnn.data.tables.columns import GREATEST, Category, Column, Flag, Moment, Number
from fastnn.data.tables.numbers import Spelling, spellings
from fastnn.data.tables.table import NumberFacts, Table, TableError, TextFacts, few, shown

MOST_CATEGORIES = 100
"""Largest number of categories of a column; rarer texts are one category, "other"."""

_NEARLY = 0.9
"""Share of a column's cells from which the others count as missing."""

_FAR = {sign * (10.0**digits - 1) for digits in range(2, 7) for sign in (-1, 1)}
"""Numbers that stand for nothing in many files: 99, -999, ..."""

_SAMPLE = 1000  # rows that tell which spellings of dates come into question
_LEAST_ROWS = 10  # fewer rows tell nothing of an index, or of texts of their own
_OWN_TEXTS = 0.5  # share of different texts from which they are no categories
_FLAGS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"))


@dataclass(frozen=True)
class Wishes:
    """Columns of which the user says what they are; `keep` are not to be left out."""

    categorical: Collection[str] = ()
    numeric: Collection[str] = ()
    dates: Collection[str] = ()
    keep: Collection[str] = ()


@dataclass
class Understood:
    """What was understood of a column: its description, or None if it is left out.

    `missing` counts its missing values; `facts` are those of numbers, `counts` those of texts.
    """

    name: str
    kind: str
    column: Column | None
    example: str = ""
    missing: int = 0
    became: str = ""
    facts: NumberFacts | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Understanding:
    """The understanding of the columns of a table, with the rows to learn from."""

    def __init__(
        self,
        table: Table,
        wishes: Wishes,
        decimal: str | None = None,
        thousands: str | None = None,
        decimal_comma: bool = False,
    ):
        self.table, self._wishes = table, wishes
        self._rows: np.ndarray | None = None
        self._signs = decimal, thousands
        self._comma = decimal_comma

    def columns(self, names: Sequence[str], rows: np.ndarray) -> list[Understood]:
        """Return what is understood of the columns with these names; `rows` are learned from."""
        self._rows = rows
        numbers = [name for name in names if not self.table.is_text(name)]
        facts = dict(zip(numbers, self.table.number_facts(numbers), strict=True))
        point = any(not each.whole for each in facts.values())
        spelled = self._spelled([name for name in names if name not in facts], point)
        return [
            self._number(name, facts[name]) if name in facts else self._text(name, spelled[name])
            for name in names
        ]

    def ordered(self, name: str) -> Column:
        """Return the description of a column of numbers or dates; raise TableError for others."""
        if not self.table.is_text(name):
            return Number(name)
        if (spelling := self.spelling(name)) is not None:
            return Number(name, None, spelling)
        if (moment := self._moment(name, self.table.text_facts(name, 2))) is not None:
            return moment
        raise TableError(
            f"{self.table.name}: column {name!r} holds "
            f"{shown(_example(self.table.text_facts(name, 1)))}; expected numbers or dates"
        )

    # -------------------------------------------------------------------------- numbers

    def _number(self, name: str, facts: NumberFacts) -> Understood:
        """Return what is understood of a column of numbers."""
        column = Number(name)
        example = f"{facts.low:.6g} to {facts.high:.6g}"
        missing = facts.missing + facts.infinite
        known = len(self.table) - missing
        found = Understood(name, "number", column, example, missing, "1 input", facts)
        if known == 0:
            return _left_out(found, "holds no values", empty=True)
        if facts.infinite:
            found.notes.append(
                f"column {name!r}: {_rows(facts.infinite)} an infinite number, which counts as "
                "missing"
            )
        if max(abs(facts.low), abs(facts.high)) > GREATEST:
            found.notes.append(
                f"column {name!r}: numbers beyond {GREATEST:g} are bounded, unless in float64"
            )
        if name in self._wishes.keep or not self.table.named:
            return found
        if facts.low == facts.high and missing == 0:
            return _left_out(found, f"is {facts.low:.6g} in all rows")
        found.notes += self._doubts(name, facts)
        enough = len(self.table) >= _LEAST_ROWS
        if enough and facts.whole and (facts.steps or self._is_index(name, facts)):
            return _left_out(found, "is a running index")
        return found

    def _doubts(self, name: str, facts: NumberFacts) -> Iterator[str]:
        """Yield remarks on numbers that may be dates, or stand for missing values."""
        if facts.whole and dates.may_be_day(facts.low) and dates.may_be_day(facts.high):
            yield f"column {name!r} holds numbers like {facts.low:.0f}; --dates reads them as dates"
        for far in {facts.low, facts.high} & _FAR:
            values = self.table.values(Number(name), name)
            others = np.abs(values[(values != far) & np.isfinite(values)])
            count = int((values == far).sum())
            if 1 < count < len(others) and others.max() < abs(far) / 2:
                yield (
                    f"column {name!r} holds {far:.0f} in {count:,} rows, far from all others; if "
                    f"it stands for nothing: --missing {far:.0f}"
                )

    def _is_index(self, name: str, facts: NumberFacts) -> bool:
        """Return whether a column without a name has each whole number of its range once."""
        if not name.startswith("Unnamed: ") or facts.missing:
            return False
        different = self.table.text_facts(name, 0).distinct
        return facts.high - facts.low == len(self.table) - 1 == different - 1

    # ---------------------------------------------------------------------------- texts

    def _text(self, name: str, spelling: Spelling | None) -> Understood:
        """Return what is understood of a column of texts, which may be spelled numbers."""
        wishes, table = self._wishes, self.table
        facts = table.text_facts(name, MOST_CATEGORIES + 1)
        found = Understood(name, "text", None, _example(facts), facts.missing, counts=facts.counts)
        if facts.distinct == 0:
            return _left_out(found, "holds no values", empty=True)
        keep = name in wishes.keep
        if facts.distinct == 1 and not keep:
            return _left_out(found, f"is {shown(next(iter(facts.counts)))} in all rows")
        if name in wishes.categorical:
            return self._category(found, facts)
        if name in wishes.numeric and spelling is None:
            raise TableError(
                f"{table.name}: column {name!r} is said to be numeric and holds "
                f"{few(list(map(shown, facts.counts)), 3)}; expected numbers"
            )
        if spelling is not None and name not in wishes.dates:
            return self._spelled_number(found, spelling)
        if (pair := _pair(facts)) is not None:
            usual = next(iter(table.text_facts(name, 1, self._rows).counts), pair[0])
            flag = Flag(name, usual.lower(), pair)
            return replace(found, kind="boolean", column=flag, became="1 input")
        if (moment := self._moment(name, facts)) is not None:
            return self._dated(found, moment)
        if name in wishes.dates:
            raise TableError(
                f"{table.name}: column {name!r} is said to hold dates and holds "
                f"{few(list(map(shown, facts.counts)), 3)}; expected dates"
            )
        known = len(table) - facts.missing
        own = facts.distinct > max(_OWN_TEXTS * known, MOST_CATEGORIES / 2)
        if (own or facts.distinct == known) and known >= _LEAST_ROWS and not keep:
            what = (
                "its own text in each row"
                if facts.distinct == known
                else (f"{facts.distinct:,} different texts")
            )
            return _left_out(found, f"has {what}")
        return self._category(found, facts)

    def _category(self, found: Understood, facts: TextFacts) -> Understood:
        """Return a column with the most frequent texts of the rows to learn from."""
        learned = self.table.text_facts(found.name, MOST_CATEGORIES + 1, self._rows)
        chosen = list(learned.counts)[:MOST_CATEGORIES]
        if not chosen:
            return _left_out(found, "holds no values to learn from", empty=True)
        other = learned.distinct > MOST_CATEGORIES
        column = Category(found.name, chosen[0], tuple(sorted(chosen)), other)
        if not other and (new := facts.counts.keys() - learned.counts.keys()):
            count = sum(facts.counts[text] for text in new)
            found.notes.append(
                f"column {found.name!r}: {_rows(count)} {few(sorted(map(shown, new)))}, which "
                "training had not"
            )
        became = f"{column.width} inputs" if column.width > 1 else "1 input"
        if other:
            found.notes.append(
                f"column {found.name!r} holds {facts.distinct:,} different texts: the "
                f'{MOST_CATEGORIES} most frequent are categories, the rest are one, "other"'
            )
        return replace(found, kind="category", column=column, became=became)

    def _spelled_number(self, found: Understood, spelling: Spelling) -> Understood:
        """Return a column of numbers that texts hold; note how, and which are none."""
        column = Number(found.name, None, spelling)
        odd = self.table.odd(column, found.name)
        count = self._unread(found.name, column, found.missing)
        if count:
            texts = few([shown(text) for text, _, _ in odd])
            found.notes.append(
                f"column {found.name!r} holds numbers, and in {_count(count)} {texts}: missing "
                "(--categorical makes categories of all)"
            )
        if not spelling.plain:
            found.notes.append(f"column {found.name!r}: numbers {spelling.describe()}")
        numbers = found.counts.keys() - {text for text, _, _ in odd}
        return replace(
            found,
            kind="number",
            column=column,
            example=next((text for text in found.counts if text in numbers), found.example),
            became="1 input",
            counts={},
            missing=found.missing + count,
        )

    def _unread(self, name: str, column: Column, missing: int) -> int:
        """Return the number of texts that a description cannot read, or reads as infinite."""
        finite = f"CASE WHEN isfinite({column.query('{}', True)}) THEN 1 END"
        (read,) = self.table.count(name, [finite])
        return len(self.table) - missing - read

    def _dated(self, found: Understood, moment: Moment) -> Understood:
        values = self.table.values(moment, found.name)
        known = values[np.isfinite(values)]
        clock = dates.is_clock(moment.spelling) or bool((known % 86400 != 0).any())
        learned = values[self._rows]
        learned = learned[np.isfinite(learned)]
        usual = float(np.median(learned if len(learned) else known))
        column = replace(moment, clock=clock, first=float(known.min()), fill=usual)
        count = len(values) - len(known) - found.missing
        how = "" if moment.spelling == dates.ISO else f", read as {moment.spelling}"
        found.notes.append(
            f"column {found.name!r} holds {'times' if not column.date else 'dates'}{how}: "
            f"{few(dates.parts(clock, column.date), 10)}"
        )
        if count:
            odd = few([shown(text) for text, _, _ in self.table.odd(column, found.name)])
            found.notes.append(
                f"column {found.name!r} holds dates, and in {_count(count)} {odd}: missing"
            )
        became = f"{column.width} inputs"
        return replace(
            found,
            kind="date",
            column=column,
            became=became,
            counts={},
            missing=found.missing + count,
        )

    def _moment(self, name: str, facts: TextFacts) -> Moment | None:
        """Return a column of dates if nearly all of its cells are spelled in one way."""
        told = name in self._wishes.dates
        some = next(iter(facts.counts))
        if not told and not any(sign.isdigit() for sign in some):
            return None
        tried = [*dates.SPELLINGS, *(dates.NUMBERS if told else ())]
        counts = self._count_dates(name, tried, _SAMPLE)
        least = max(1, _NEARLY * max(counts))  # few spellings are worth a look at all rows
        tried = [each for each, count in zip(tried, counts, strict=True) if count >= least]
        counts = self._count_dates(name, tried)
        best = max(counts, default=0)
        if best == 0 or best < _NEARLY * (len(self.table) - facts.missing):
            return None
        return Moment(name, None, tried[counts.index(best)])

    def _count_dates(self, name: str, tried: Sequence[str], some: int | None = None) -> list[int]:
        """Return the numbers of cells, or of some of them, that have each spelling of dates."""
        return self.table.count(name, [dates.query("{}", each) for each in tried], some)

    # ------------------------------------------------------------------------- spelling

    def spelling(self, name: str) -> Spelling | None:
        """Return how the numbers of a column of texts are spelled; None if it holds others."""
        return self._spelled([name])[name]

    def _spelled(self, names: Sequence[str], point: bool = False) -> dict[str, Spelling | None]:
        """Return how numbers are spelled in columns of texts; columns agree where they can.

        `point` tells that other columns have decimal points.
        """
        fitting = {name: self._fitting(name) for name in names}
        decimals = [{each.decimal for each in fits} for fits in fitting.values()]
        point = point or {"."} in decimals
        comma = {","} in decimals or (self._comma and not point)
        return {name: _preferred(fits, comma and not point) for name, fits in fitting.items()}

    def _count_fits(self, name: str, tried: Sequence[Spelling]) -> list[int]:
        """Return the numbers of cells that are codes, and that have each of the spellings."""
        return self.table.count(name, [_IF_CODE, *(each.query("{}") for each in tried)])

    def _fitting(self, name: str) -> list[Spelling]:
        """Return the spellings that nearly all cells of a column have."""
        if name in self._wishes.categorical or name in self._wishes.dates:
            return []
        facts = self.table.text_facts(name, 100)
        if not any(sign.isdigit() for text in facts.counts for sign in text):
            return []
        examples = [*facts.counts, *self.table.examples(name, 300)]
        known = len(self.table) - facts.missing
        tried = _needed(_promising(spellings(examples, *self._signs), examples), examples)
        codes, *counts = self._count_fits(name, tried)
        best = max(counts, default=0)
        if 0 < best < known:  # a rare cell may need what no example does
            usual = Number(name, None, tried[counts.index(best)])
            examples += [text for text, _, _ in self.table.odd(usual, name)]
            tried = _promising(spellings(examples, *self._signs), examples)
            codes, *counts = self._count_fits(name, tried)
            best = max(counts, default=0)
        told = name in self._wishes.numeric
        if not told and (codes or best < _NEARLY * known):
            return []
        fits = [each for each, count in zip(tried, counts, strict=True) if count == best and best]
        if not any(sign in text for text in examples for sign in ".,"):
            return fits[:1]
        return fits


_IF_CODE = (
    "CASE WHEN starts_with({}, '0') THEN CASE WHEN regexp_full_match({}, '0[0-9]+') THEN 1 END END"
)
"""The SQL of whether a text is a whole number that begins with 0, as codes do."""


def _needed(tried: Sequence[Spelling], examples: Sequence[str]) -> list[Spelling]:
    """Return the spellings without those whose sign between thousands no example needs."""
    needed: list[Spelling] = []
    for each in tried:
        plain = [other for other in needed if other.decimal == each.decimal]
        if not any(_fit(other, examples) == _fit(each, examples) for other in plain):
            needed.append(each)
    return needed


def _fit(spelling: Spelling, examples: Sequence[str]) -> int:
    """Return the number of examples that have a spelling."""
    pattern = re.compile(spelling.pattern)
    return sum(pattern.fullmatch(text) is not None for text in examples)


def _promising(tried: Sequence[Spelling], examples: Sequence[str]) -> list[Spelling]:
    """Return the spellings that the most examples have, nearly."""
    fits = [_fit(each, examples) for each in tried]
    return [each for each, fit in zip(tried, fits, strict=True) if fit >= _NEARLY * max(fits) > 0]


def _preferred(fits: Sequence[Spelling], comma: bool) -> Spelling | None:
    """Return the plainest of the spellings that fit, with a decimal comma or a point."""
    wanted = [each for each in fits if (each.decimal == ",") == comma]
    return next(iter([*wanted, *fits]), None)


def _pair(facts: TextFacts) -> tuple[str, str] | None:
    """Return the usual pair of texts, such as no and yes, that are all texts of a column."""
    found = {text.lower() for text in facts.counts}
    return next((each for each in _FLAGS if found == set(each)), None)


def _left_out(found: Understood, why: str, empty: bool = False) -> Understood:
    """Return a column that is left out, with a note that says why."""
    back = "" if empty else f"; --keep {found.name!r} takes it"
    found.notes.append(f"column {found.name!r} is left out: it {why}{back}")
    return replace(found, column=None, became="left out")


def _example(facts: TextFacts) -> str:
    return next(iter(facts.counts), "")


def _count(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _rows(count: int) -> str:
    return "1 row holds" if count == 1 else f"{count:,} rows hold"
