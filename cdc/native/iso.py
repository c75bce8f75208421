"""Dates and timestamps as text, of every year that Arrow can hold.

Arrow's own cast ends at the years ±32767: beyond them it writes words, and other moments where a zone is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.native.calendar import civil_from_days

_SECONDS_PER_DAY = 86_400
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def iso_text(array: Any) -> Any:
    """Return an array of dates, times, timestamps or durations as text: 2026-11-23 01:02:03.000004.

    One with a zone is in UTC, with a Z behind it. A year before 0 has a sign (0 is 1 BC).
    """
    kind = array.type
    if pa.types.is_date32(kind):
        return _with_far_years(array, array.cast(pa.int32()), _day)
    if not pa.types.is_timestamp(kind):
        return array.cast(pa.string())
    counts = array.cast(pa.int64())
    digits = _DIGITS[kind.unit]
    text = _with_far_years(counts.cast(pa.timestamp(kind.unit)), counts, lambda count: _moment(count, digits))
    return text if kind.tz is None else pc.binary_join_element_wise(text, "Z", "")


def with_text_times(array: Any, write: Callable[[Any], Any] = iso_text) -> Any:
    """Return the same values with dates and times as text, however deep: Python's own end at the year 9999.

    `write` makes text of an array that `iso_text` takes.
    """
    kind = array.type
    if pa.types.is_temporal(kind):
        return write(array)
    if pa.types.is_list(kind):
        # A copy: Arrow refuses a mask beside offsets that are a slice.
        offsets = pa.array(array.offsets.to_numpy())
        return pa.ListArray.from_arrays(offsets, with_text_times(array.values, write), mask=array.is_null())
    if pa.types.is_struct(kind):
        children = [with_text_times(array.field(index), write) for index in range(kind.num_fields)]
        fields = [pa.field(each.name, child.type) for each, child in zip(kind, children, strict=True)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    return array


def _with_far_years(array: Any, counts: Any, write: Callable[[int], str]) -> Any:
    """Arrow's text, and ours of the counts of days or units where Arrow writes words."""
    text = array.cast(pa.string())
    odd = pc.fill_null(pc.starts_with(text, "<"), fill_value=False)
    if not pc.any(odd).as_py():
        return text
    written = [write(count) for count in counts.filter(odd).to_pylist()]
    return pc.replace_with_mask(text, odd, pa.array(written, pa.string()))


def _day(day: int) -> str:
    year, month, number = civil_from_days(day)
    return f"{year:05d}-{month:02}-{number:02}" if year < 0 else f"{year:04d}-{month:02}-{number:02}"


def _moment(count: int, digits: int) -> str:
    seconds, fraction = divmod(count, 10**digits)
    day, second = divmod(seconds, _SECONDS_PER_DAY)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{_day(day)} {clock}" + (f".{fraction:0{digits}}" if digits else "")
