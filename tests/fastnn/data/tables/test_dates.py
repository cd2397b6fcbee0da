import calendar
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data.tables import dates
from fastnn.data.tables.dates import CLOCKS, ISO, NUMBERS, SPELLINGS

CONNECTION = duckdb.connect(config={"threads": 1})
BEGIN = datetime(1970, 1, 1)


def read(spelling, *texts):
    """What a spelling reads in texts: seconds, None for others."""
    query = f"SELECT {dates.query('cell', spelling)} FROM (SELECT unnest(?) AS cell)"
    return [row[0] for row in CONNECTION.execute(query, [list(texts)]).fetchall()]


def seconds(moment):
    return (moment - BEGIN).total_seconds()


moments = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(
    lambda each: each.replace(microsecond=0)
)


# reading


@pytest.mark.parametrize("spelling", [*SPELLINGS[1:], *NUMBERS])
def test_what_a_spelling_writes_it_reads(spelling):
    rng = np.random.default_rng(0)
    for each in rng.integers(0, 3_000_000_000, 9).tolist():
        moment = BEGIN + timedelta(seconds=each)
        text = moment.strftime(spelling)
        assert read(spelling, text) == [seconds(datetime.strptime(text, spelling))]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", datetime(2024, 1, 31)),
        ("2024-01-31 12:30", datetime(2024, 1, 31, 12, 30)),
        ("2024-01-31T12:30:15", datetime(2024, 1, 31, 12, 30, 15)),
        ("2024-01-31T12:30:15.25", datetime(2024, 1, 31, 12, 30, 15, 250_000)),
        ("2024-01-31T12:30:15Z", datetime(2024, 1, 31, 12, 30, 15)),
        ("2024-01-31 12:30:15 UTC", datetime(2024, 1, 31, 12, 30, 15)),
        ("2024-01-31T12:30:15+02:00", datetime(2024, 1, 31, 12, 30, 15)),
        ("2024-01-31 12:30-0530", datetime(2024, 1, 31, 12, 30)),
        ("1900-02-28", datetime(1900, 2, 28)),
        ("9999-12-31", datetime(9999, 12, 31)),
    ],
)
def test_dates_as_iso_has_them(text, moment):
    assert read(ISO, text) == [seconds(moment)]


@pytest.mark.parametrize(
    ("spelling", "text", "moment"),
    [
        ("%Y-%m-%d", "2024-1-5", datetime(2024, 1, 5)),
        ("%d.%m.%Y", "5.1.2024", datetime(2024, 1, 5)),
        ("%d.%m.%Y, %H:%M", "5.1.2024, 9:05", datetime(2024, 1, 5, 9, 5)),
        ("%m/%d/%y %I:%M %p", "1/5/24 9:05 PM", datetime(2024, 1, 5, 21, 5)),
        ("%d-%b-%y", "5-JAN-24", datetime(2024, 1, 5)),
        ("%b %d, %Y", "Jan 5, 2024", datetime(2024, 1, 5)),
        ("%d.%m.%Y %H:%M:%S.%f", "5.1.2024 9:05:01.5", datetime(2024, 1, 5, 9, 5, 1, 500_000)),
    ],
)
def test_dates_as_people_write_them(spelling, text, moment):
    assert spelling in SPELLINGS
    assert read(spelling, text) == [seconds(moment)]


@pytest.mark.parametrize(
    ("spelling", "text"),
    [
        (ISO, "2024-02-30"), (ISO, "2024"), (ISO, "20240131"), (ISO, "2024-1-5"), (ISO, "x"),
        (ISO, "2024-01-31 12"), (ISO, "2024-01-31 25:00"), (ISO, "2024-01-31 12:30 x"),
        ("%d.%m.%Y", "1.2.3"), ("%d.%m.%Y", "31.13.2024"), ("%d.%m.%y", "1.2.3"),
        ("%m/%d/%Y", "31/1/2024"), ("%H:%M", "24:01"), ("%H:%M", "12"), ("%Y-%m-%d", "1-2-3"),
    ],
)  # fmt: skip
def test_what_is_no_date(spelling, text):
    assert read(spelling, text) == [None]


# inputs


def inputs(moments, clock=True, date=True, first=0.0):
    names = dates.parts(clock, date)
    x = np.full((len(moments), len(names)), np.nan)
    dates.write(np.array(list(map(seconds, moments))), clock, date, first, x)
    return dict(zip(names, x.T, strict=True))


def turns(parts, name):
    """The part of a turn that a sine and a cosine stand for, from 0 to 1."""
    turn = np.arctan2(parts[f"{name} sin"], parts[f"{name} cos"]) / (2 * np.pi)
    np.testing.assert_allclose(np.hypot(parts[f"{name} sin"], parts[f"{name} cos"]), 1)
    return turn % 1


@settings(deadline=None)
@given(st.lists(moments, min_size=1, max_size=9))
def test_moments_become_parts_of_dates_and_times(given_moments):
    first = seconds(min(given_moments))
    parts = inputs(given_moments, first=first)
    np.testing.assert_array_equal(parts["year"], [each.year for each in given_moments])
    np.testing.assert_allclose(
        parts["days"], [(seconds(each) - first) / 86400 for each in given_moments]
    )
    for name, expected in {
        "month": [(each.month - 1) / 12 for each in given_moments],
        "day": [
            (each.day - 1) / calendar.monthrange(each.year, each.month)[1] for each in given_moments
        ],
        "weekday": [each.weekday() / 7 for each in given_moments],
        "hour": [
            (each - each.replace(hour=0, minute=0, second=0)).seconds / 86400
            for each in given_moments
        ],
    }.items():
        apart = (turns(parts, name) - expected + 0.5) % 1 - 0.5  # just below 1 is nearly 0
        np.testing.assert_allclose(apart, 0, atol=1e-9)


def test_what_is_not_there_has_no_inputs():
    whole = inputs([datetime(2024, 1, 31, 18)])
    assert not any("hour" in name for name in inputs([datetime(2024, 1, 31)], clock=False))
    clock = inputs([datetime(1900, 1, 1, 18)], date=False)
    assert [*clock] == ["hour sin", "hour cos"]
    assert clock["hour sin"] == whole["hour sin"]
    assert clock["hour cos"] == whole["hour cos"]


def test_clocks_are_those_without_a_date():
    assert [each for each in SPELLINGS if dates.is_clock(each)] == [*CLOCKS]
    assert not any("Y" in each or "y" in each for each in CLOCKS)
