"""Dates, times and timestamps from the server's text (datestyle=ISO, timezone=UTC), in Arrow's units from
1970.
"""

from __future__ import annotations

import re

from cdc.errors import DecodeError
from cdc.native.calendar import (
    MICROSECONDS_PER_DAY,
    MICROSECONDS_PER_SECOND,
    civil_from_days,
    days_from_civil,
)
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_postgres.wire import codes
from cdc_source_postgres.wire.calendar import (
    FIRST_DAY,
    FIRST_MICROSECOND,
    INT32_MAX,
    INT64_MAX,
)

_DATE = re.compile(r"([0-9]{4,7})-([0-9]{2})-([0-9]{2})( BC)?\Z")
_TIMESTAMP = re.compile(r"([0-9]{4,7}-[0-9]{2}-[0-9]{2}) ([0-9:.]+)(\+00)?( BC)?\Z")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?\Z")
_INFINITIES = frozenset({"infinity", "-infinity"})
_MONTHS = 12
_SIXTIETHS = 60


def date_value(text: str, policy: UnrepresentablePolicy) -> int | None:
    """Days since 1970."""
    if text in _INFINITIES:
        return policy.refuse(codes.INFINITY)
    match = _DATE.match(text)
    if match is None:
        raise _invalid("a date")
    return checked_days(_days(text[: match.end(3)], bool(match[4])), policy)


def checked_days(days: int, policy: UnrepresentablePolicy) -> int | None:
    """Days since 1970, if no earlier than the year 1."""
    if days > INT32_MAX:
        message = "a date beyond the calendar's end"
        raise DecodeError(message)
    return policy.refuse(codes.BEFORE_YEAR_1) if days < FIRST_DAY else days


def time_value(text: str, policy: UnrepresentablePolicy) -> int | None:
    """Microseconds since midnight."""
    return checked_time(_clock(text), policy)


def checked_time(value: int, policy: UnrepresentablePolicy) -> int | None:
    if value == MICROSECONDS_PER_DAY:
        return policy.refuse(codes.MIDNIGHT_24)
    if not 0 <= value < MICROSECONDS_PER_DAY:
        message = "a time of day outside 00:00 to 24:00"
        raise DecodeError(message)
    return value


def timestamp_value(text: str, zone: str, policy: UnrepresentablePolicy) -> int | None:
    """Microseconds since 1970; `zone` is what must follow the clock."""
    if text in _INFINITIES:
        return policy.refuse(codes.INFINITY)
    match = _TIMESTAMP.match(text)
    if match is None or (match[3] or "") != zone:
        raise _invalid("a timestamp")
    value = _days(match[1], bool(match[4])) * MICROSECONDS_PER_DAY + _clock(match[2])
    return checked_timestamp(value, policy)


def checked_timestamp(value: int, policy: UnrepresentablePolicy) -> int | None:
    """Microseconds since 1970, if Arrow holds them and no earlier than the year 1."""
    if value < FIRST_MICROSECOND:
        return policy.refuse(codes.BEFORE_YEAR_1)
    return policy.refuse(codes.BEYOND_RANGE) if value > INT64_MAX else value


def _invalid(what: str) -> DecodeError:
    return DecodeError(f"text that is not {what}")


def _days(text: str, is_bc: bool) -> int:  # noqa: FBT001
    year, month, day = (int(part) for part in text.split("-"))
    if year == 0 or not 1 <= month <= _MONTHS:
        raise _invalid("a date")
    year = 1 - year if is_bc else year
    days = days_from_civil(year, month, day)
    if civil_from_days(days) != (year, month, day):
        raise _invalid("a date")
    return days


def _clock(text: str) -> int:
    match = _TIME.match(text)
    if match is None:
        raise _invalid("a time of day")
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3])
    if minutes >= _SIXTIETHS or seconds >= _SIXTIETHS:
        raise _invalid("a time of day")
    fraction = int((match[4] or "").ljust(6, "0"))
    return ((hours * 60 + minutes) * 60 + seconds) * MICROSECONDS_PER_SECOND + fraction
