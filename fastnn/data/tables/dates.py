"""Spellings of dates and times in texts, and the inputs that a moment becomes."""

from __future__ import annotations

import numpy as np

ISO = "ISO"
"""Dates as ISO 8601 has them, with or without times: 2024-01-31, 2024-01-31 12:30:00."""

_DATES = (
    "%Y-%m-%d",  # without the zeros that ISO has
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d %Y",
    "%d %B %Y",
    "%B %d %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%y",
)
_MONTHS = ("%b %Y", "%B %Y", "%b-%Y", "%b %y", "%b-%y", "%Y-%m", "%m/%Y")
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
"""Times of a day without a date."""

_BOTH = tuple(f"{date}{gap}{time}" for date in _DATES for time in CLOCKS for gap in (" ", ", "))
SPELLINGS = (ISO, *_DATES, *_BOTH, *_MONTHS, *CLOCKS)
"""Spellings of dates, in the order in which they are tried."""

NUMBERS = ("%Y%m%d", "%Y")
"""Spellings that are tried only where a column is said to hold dates."""

_DAY = 86400.0  # seconds
_LOCAL = r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?"
_ISO = rf"{_LOCAL}(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"


def query(cell: str, spelling: str) -> str:
    """Return the SQL of a text as seconds since 1970, by the clock there; NULL for other texts."""
    if spelling == ISO:  # an hour tells more than an instant, so that time zones are left out
        read = f"epoch(TRY_CAST(regexp_extract({cell}, '{_LOCAL}') AS TIMESTAMP))"
        return f"CASE WHEN regexp_full_match({cell}, '{_ISO}') THEN {read} END"
    read = f"epoch(try_strptime({cell}, '{spelling}'))"
    if is_clock(spelling):
        return read
    year = "[0-9]{4}" if "%Y" in spelling else "[0-9]{2}( |$)"
    return f"CASE WHEN regexp_matches({cell}, '{year}') THEN {read} END"  # 1.2.3 is no date


def is_clock(spelling: str) -> bool:
    """Return whether a spelling is of times without a date."""
    return spelling in CLOCKS


def may_be_day(number: float) -> bool:
    """Return whether a whole number may be a day of our time: 20240131."""
    month, day = int(number) // 100 % 100, int(number) % 100
    return 19000101 <= number <= 21001231 and 1 <= month <= 12 and 1 <= day <= 31


def parts(clock: bool, date: bool) -> list[str]:
    """Return the names of the inputs of moments: with times of day, and with dates."""
    names = ["year", "month sin", "month cos", "day sin", "day cos", "weekday sin", "weekday cos"]
    names = [*names, "days"] if date else []
    return [*names, "hour sin", "hour cos"] if clock else names


def write(seconds: np.ndarray, clock: bool, date: bool, first: float, x: np.ndarray) -> None:
    """Write the inputs of moments (rows,) into x (rows, parts).

    Cycles are a sine and a cosine; days are counted from `first`, seconds since 1970.
    """
    place = 0
    if date:
        moments = np.floor(seconds).astype("datetime64[s]")
        days, months = moments.astype("datetime64[D]"), moments.astype("datetime64[M]")
        years = moments.astype("datetime64[Y]")
        x[:, 0] = years.astype(np.int64) + 1970
        length = (months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")
        cycles = (
            (months - years.astype("datetime64[M]")).astype(float) / 12,
            (days - months.astype("datetime64[D]")).astype(float) / length.astype(float),
            (days.astype(np.int64) + 3) % 7 / 7,  # 1970 began on a Thursday
        )
        for turn in cycles:
            _write_cycle(turn, x[:, place + 1 : place + 3])
            place += 2
        x[:, 7] = (seconds - first) / _DAY
        place = 8
    if clock:
        _write_cycle(seconds % _DAY / _DAY, x[:, place : place + 2])


def _write_cycle(turn: np.ndarray, x: np.ndarray) -> None:
    x[:, 0], x[:, 1] = np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)
