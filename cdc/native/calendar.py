"""Days of the proleptic Gregorian calendar, counted from 1970-01-01 as Arrow does."""

from __future__ import annotations

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND
# Days of 400 years, after which the calendar repeats.
_DAYS_PER_ERA = 146_097
# 0000-03-01, counted from 1970-01-01.
_ERA_START = -719_468


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; years start in March inside, so that the leap day is the last."""
    era, year_of_era = divmod(year - (month <= 2), 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return (
        era * _DAYS_PER_ERA
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        + _ERA_START
    )


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC), month and day: the inverse of `days_from_civil`."""
    era, day_of_era = divmod(days - _ERA_START, _DAYS_PER_ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return year_of_era + era * 400 + (month <= 2), month, day
