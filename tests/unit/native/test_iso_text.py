"""Dates and timestamps as text, in the years that Arrow's own cast gets wrong too."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from cdc.native.calendar import MICROSECONDS_PER_DAY, days_from_civil
from cdc.native.iso import iso_text

# Ends of Arrow's own cast, and of Postgres.
DAYS = [(32767, 12, 31), (32768, 1, 1), (5874897, 12, 31), (-1, 12, 31), (-32768, 2, 29), (0, 1, 1)]
SHOWN = ["32767-12-31", "32768-01-01", "5874897-12-31", "-0001-12-31", "-32768-02-29", "0000-01-01"]


def test_a_date_of_any_year_is_written() -> None:
    days = [days_from_civil(*day) for day in DAYS]
    assert iso_text(pa.array([*days, None], pa.date32())).to_pylist() == [*SHOWN, None]
    assert iso_text(pa.array([None, *days], pa.date32()).slice(2)).to_pylist() == SHOWN[1:]


@pytest.mark.parametrize(("zone", "end"), [(None, ""), ("UTC", "Z")])
def test_a_timestamp_of_any_year_is_written(zone: str | None, end: str) -> None:
    days = [day for day in DAYS if abs(day[0]) < 290_000]
    counts = [days_from_civil(*day) * MICROSECONDS_PER_DAY + 3_723_000_004 for day in days]
    shown = [f"{text} 01:02:03.000004{end}" for text, day in zip(SHOWN, DAYS, strict=True) if day in days]
    assert iso_text(pa.array([*counts, None], pa.timestamp("us", zone))).to_pylist() == [*shown, None]
    last = iso_text(pa.array([2**63 - 1], pa.timestamp("us", zone))).to_pylist()
    assert last == [f"294247-01-10 04:00:54.775807{end}"]


def test_seconds_have_no_fraction() -> None:
    at = days_from_civil(40000, 1, 1) * 86_400
    assert iso_text(pa.array([at, 0], pa.timestamp("s"))).to_pylist() == [
        "40000-01-01 00:00:00",
        "1970-01-01 00:00:00",
    ]


def test_years_that_arrow_writes_are_as_it_writes_them() -> None:
    moments = pa.array([datetime(2026, 11, 23, 1, 2, 3, 4, UTC), None], pa.timestamp("us", "UTC"))
    days = pa.array([date(2026, 11, 23), None])
    assert iso_text(moments).equals(moments.cast(pa.string()))
    assert iso_text(days).equals(days.cast(pa.string()))
