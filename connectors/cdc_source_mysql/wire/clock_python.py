"""Columns of dates and times decoded in pure Python: the twin of `clock.pyx`."""

from __future__ import annotations

from collections.abc import Callable

from cdc.errors import DecodeError
from cdc.native.calendar import MICROSECONDS_PER_SECOND, days_from_civil
from cdc.native.gathered import Refusals
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.calendar import (
    FSP_MAX,
    Moment,
    checked_moment,
    date_fault,
    date_text,
    moment_microseconds,
    moment_of_epoch,
    moment_of_packed,
    moment_text,
    time_text,
)

Decoder = Callable[[bytes], int | str | None]

_DATETIME_SIGN = 1 << 39
_TIME_SIGN = 1 << 23
# Bytes in front of the fraction.
_WHOLE_BYTES = {
    "date": 3,
    "datetime": 5,
    "datetime_old": 8,
    "timestamp": 4,
    "timestamp_old": 4,
    "time": 3,
    "time_old": 3,
}
_WITH_FRACTION = frozenset({"datetime", "timestamp", "time"})
_DATETIME_BYTES = _WHOLE_BYTES["datetime"]
_TIMESTAMP_BYTES = _WHOLE_BYTES["timestamp"]


def clock_bytes(plan: ColumnPlan) -> int:
    """The size of every value."""
    if not 0 <= plan.fsp <= FSP_MAX:
        message = f"{plan.fsp} digits of fraction where 0 to {FSP_MAX} are expected"
        raise DecodeError(message)
    return _WHOLE_BYTES[plan.kind] + (_fraction_bytes(plan) if plan.kind in _WITH_FRACTION else 0)


def _fraction_bytes(plan: ColumnPlan) -> int:
    return (plan.fsp + 1) // 2


def _microseconds(number: int, size: int) -> int:
    """A fraction of `size` bytes counts units of 100^-size seconds."""
    limit: int = 100**size
    if number >= limit:
        message = "a fraction of a second that is not less than 1"
        raise DecodeError(message)
    return number * (MICROSECONDS_PER_SECOND // limit)


def _date(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    def decode(data: bytes) -> int | str | None:
        packed = int.from_bytes(data, "little")
        year, month, day = packed >> 9, packed >> 5 & 15, packed & 31
        checked_moment((year, month, day, 0, 0, 0, 0))
        if plan.as_text:
            return date_text(year, month, day)
        fault = date_fault(year, month, day)
        return refusals.refuse(fault) if fault else days_from_civil(year, month, day)

    return decode


def _moment(moment: Moment, plan: ColumnPlan, refusals: Refusals) -> int | str | None:
    if plan.as_text:
        return moment_text(moment, plan.fsp)
    fault = date_fault(*moment[:3])
    return refusals.refuse(fault) if fault else moment_microseconds(moment)


def _datetime(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    size = _fraction_bytes(plan)

    def decode(data: bytes) -> int | str | None:
        packed = int.from_bytes(data[:_DATETIME_BYTES], "big") - _DATETIME_SIGN
        if packed < 0:
            message = "a DATETIME before the year 0"
            raise DecodeError(message)
        fraction = _microseconds(int.from_bytes(data[_DATETIME_BYTES:], "big"), size)
        return _moment(moment_of_packed(packed, fraction), plan, refusals)

    return decode


def _datetime_old(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    def decode(data: bytes) -> int | str | None:
        date, clock = divmod(int.from_bytes(data, "little"), 1_000_000)
        moment = (date // 10_000, date // 100 % 100, date % 100)
        checked = checked_moment((*moment, clock // 10_000, clock // 100 % 100, clock % 100, 0))
        return _moment(checked, plan, refusals)

    return decode


def _epoch(seconds: int, fraction: int, plan: ColumnPlan, refusals: Refusals) -> int | str | None:
    if plan.as_text:
        return moment_text(moment_of_epoch(seconds, fraction), plan.fsp)
    count = seconds * MICROSECONDS_PER_SECOND + fraction
    return count or refusals.refuse(codes.ZERO_DATE)


def _timestamp(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    size = _fraction_bytes(plan)

    def decode(data: bytes) -> int | str | None:
        seconds = int.from_bytes(data[:_TIMESTAMP_BYTES], "big")
        fraction = _microseconds(int.from_bytes(data[_TIMESTAMP_BYTES:], "big"), size)
        return _epoch(seconds, fraction, plan, refusals)

    return decode


def _timestamp_old(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    return lambda data: _epoch(int.from_bytes(data, "little"), 0, plan, refusals)


def _time(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    size = _fraction_bytes(plan)
    bits = 8 * size

    def decode(data: bytes) -> str:
        packed = int.from_bytes(data, "big") - (_TIME_SIGN << bits)
        whole, fraction = divmod(abs(packed), 1 << bits)
        microsecond = _microseconds(fraction, size)
        sign = "-" if packed < 0 else ""
        return time_text(sign, whole >> 12, whole >> 6 & 63, whole & 63, microsecond, plan.fsp)

    return decode


def _time_old(plan: ColumnPlan, refusals: Refusals) -> Decoder:
    def decode(data: bytes) -> str:
        number = int.from_bytes(data, "little", signed=True)
        whole = abs(number)
        sign = "-" if number < 0 else ""
        return time_text(sign, whole // 10_000, whole // 100 % 100, whole % 100, 0, plan.fsp)

    return decode


CLOCK_DECODERS: dict[str, Callable[[ColumnPlan, Refusals], Decoder]] = {
    "date": _date,
    "datetime": _datetime,
    "datetime_old": _datetime_old,
    "timestamp": _timestamp,
    "timestamp_old": _timestamp_old,
    "time": _time,
    "time_old": _time_old,
}
