"""Dates and times as MySQL packs and writes them, and as Arrow counts them (proleptic Gregorian).

A moment is seven numbers: year, month, day, hour, minute, second, microsecond; month and day may be 0.
"""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.calendar import MICROSECONDS_PER_SECOND, civil_from_days, days_from_civil
from cdc_source_mysql.wire import codes

FSP_MAX = 6
MAX_HOURS = 838
# What is added to a YEAR that is not 0.
YEAR_BASE = 1900
MONTH_DAYS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# JSON keeps microseconds in the low 24 bits of its packed temporals.
_PACKED_FRACTION_BITS = 24

Moment = tuple[int, int, int, int, int, int, int]
ZERO: Moment = (0, 0, 0, 0, 0, 0, 0)


def date_fault(year: int, month: int, day: int) -> str:
    """Why Arrow can't hold the date; empty when it can."""
    if year == month == day == 0:
        return codes.ZERO_DATE
    if month == 0 or day == 0:
        return codes.PARTIAL_DATE
    if year == 0:
        return codes.YEAR_ZERO
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > MONTH_DAYS[month] + (month == 2 and is_leap):
        return codes.INVALID_DATE
    return ""


def moment_microseconds(moment: Moment) -> int:
    """Microseconds since 1970-01-01 of a moment without fault."""
    year, month, day, hour, minute, second, microsecond = moment
    seconds = (days_from_civil(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    return seconds * MICROSECONDS_PER_SECOND + microsecond


def moment_of_epoch(seconds: int, microseconds: int) -> Moment:
    """A TIMESTAMP in UTC; 0 means the zero date."""
    if seconds == microseconds == 0:
        return ZERO
    days, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return (*civil_from_days(days), hour, minute, second, microseconds)


def checked_moment(moment: Moment) -> Moment:
    year, month, day, hour, minute, second, microsecond = moment
    if year > 9999 or month > 12 or day > 31:
        message = "a date with a number that no calendar has"
        raise DecodeError(message)
    if hour > 23 or minute > 59 or second > 59 or microsecond >= MICROSECONDS_PER_SECOND:
        message = "a time of day outside 00:00 to 24:00"
        raise DecodeError(message)
    return moment


def date_text(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"


def moment_text(moment: Moment, fsp: int) -> str:
    year, month, day, hour, minute, second, microsecond = moment
    return f"{date_text(year, month, day)} {hour:02d}:{minute:02d}:{second:02d}{_fraction(microsecond, fsp)}"


def time_text(sign: str, hours: int, minute: int, second: int, microsecond: int, fsp: int) -> str:
    """A TIME as the server writes it: `sign` is `-` or nothing, hours may exceed 24."""
    if hours > MAX_HOURS or minute > 59 or second > 59 or microsecond >= MICROSECONDS_PER_SECOND:
        message = "a TIME outside -838:59:59 to 838:59:59"
        raise DecodeError(message)
    return f"{sign}{hours:02d}:{minute:02d}:{second:02d}{_fraction(microsecond, fsp)}"


def _fraction(microsecond: int, fsp: int) -> str:
    return f".{microsecond:06d}"[: fsp + 1] if fsp else ""


def moment_of_packed(whole: int, microsecond: int) -> Moment:
    """DATETIME's packed form: 13 months a year, then day, hour, minute and second in 5, 5, 6 and 6 bits."""
    year, month = divmod(whole >> 22, 13)
    moment = year, month, whole >> 17 & 31, whole >> 12 & 31, whole >> 6 & 63, whole & 63, microsecond
    return checked_moment(moment)


def packed_datetime_text(packed: int) -> str:
    """JSON's DATETIME and TIMESTAMP."""
    return moment_text(_unpacked(packed), FSP_MAX)


def packed_date_text(packed: int) -> str:
    """JSON's DATE."""
    year, month, day = _unpacked(packed)[:3]
    return date_text(year, month, day)


def packed_time_text(packed: int) -> str:
    """JSON's TIME."""
    whole, fraction = divmod(abs(packed), 1 << _PACKED_FRACTION_BITS)
    if whole >> 22:
        message = "a JSON TIME of more than 22 bits of hours"
        raise DecodeError(message)
    return time_text("-" if packed < 0 else "", whole >> 12, whole >> 6 & 63, whole & 63, fraction, FSP_MAX)


def _unpacked(packed: int) -> Moment:
    if packed < 0:
        message = "a JSON date before the year 0"
        raise DecodeError(message)
    whole, fraction = divmod(packed, 1 << _PACKED_FRACTION_BITS)
    return moment_of_packed(whole, fraction)
