"""Dates and times of day as the server counts and writes them (proleptic Gregorian, microseconds, from
2000-01-01).
"""

from __future__ import annotations

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND
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
# Days of 400 years, after which the calendar repeats.
_DAYS_PER_ERA = 146_097
# 0000-03-01, counted from 2000-01-01.
_ERA_START = -730_425


def date_text(days: int) -> tuple[str, str]:
    """`YYYY-MM-DD` for days since 2000-01-01, and the suffix ` BC` where it applies."""
    year, month, day = civil_from_days(days)
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


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC), month and day; years start in March inside, so that the leap day is the last."""
    era, day_of_era = divmod(days - _ERA_START, _DAYS_PER_ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 2000-01-01; the inverse of `civil_from_days`."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_PER_ERA + day_of_era + _ERA_START
