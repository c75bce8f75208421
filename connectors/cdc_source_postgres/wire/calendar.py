"""Dates and times of day as the server counts and writes them (proleptic Gregorian, microseconds, from
2000-01-01).
"""

from __future__ import annotations

from cdc.native.calendar import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND, civil_from_days

# 2000-01-01 less 1970-01-01.
EPOCH_DAYS = 10_957
EPOCH_MICROSECONDS = EPOCH_DAYS * MICROSECONDS_PER_DAY
# 0001-01-01, counted from 1970-01-01: what lies before is BC.
FIRST_DAY = -719_162
FIRST_MICROSECOND = FIRST_DAY * MICROSECONDS_PER_DAY
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
DATE_INFINITIES = {2**31 - 1: "infinity", -(2**31): "-infinity"}
TIMESTAMP_INFINITIES = {2**63 - 1: "infinity", -(2**63): "-infinity"}


def date_text(days: int) -> tuple[str, str]:
    """`YYYY-MM-DD` for days since 2000-01-01, and the suffix ` BC` where it applies."""
    year, month, day = civil_from_days(days + EPOCH_DAYS)
    if year <= 0:
        return f"{1 - year:04d}-{month:02d}-{day:02d}", " BC"
    return f"{year:04d}-{month:02d}-{day:02d}", ""


def clock_text(microseconds: int) -> str:
    """`HH:MM:SS[.ffffff]`, the fraction without trailing zeros; hours may exceed 24."""
    seconds, fraction = divmod(microseconds, MICROSECONDS_PER_SECOND)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text
