"""The values of one row of a binary result set, in the form that they have in rows events, in pure Python:
the twin of `result_row.pyx`.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable, Sequence

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor, Reader
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire.codes import FIXED_BYTES, TEMPORAL
from cdc_source_mysql.wire.events import read_lenenc
from cdc_source_mysql.wire.values_python import Field

# Bytes that a group of decimal digits takes, by their number.
_GROUP_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_GROUP_DIGITS = 9
_MAX_YEAR, _MAX_HOURS = 9999, 838
Image = Callable[[bytes], bytes]


def image_of(plan: ColumnPlan) -> Image:
    """Return the function that turns the plan's values, without length prefix, into those of a rows event."""
    kind = plan.kind
    if kind == "int24":
        return lambda data: data[:3]
    if kind in {"int8", "int16", "int32", "int64", "float32", "float64"}:
        return lambda data: data
    if kind in {"enum", "set"}:
        return lambda data: _cut(data.ljust(8, b"\0"), plan.size)
    if kind in {"bool", "bit"}:
        return lambda data: _widen(data, max(plan.size, 1))
    simple = {"year": _year, "date": _date, "datetime_old": _datetime_old}
    simple |= {"timestamp_old": _timestamp_old, "time_old": _time_old}
    if kind in simple:
        return simple[kind]
    scaled = {"datetime": _datetime, "timestamp": _timestamp, "time": _time}
    if kind in scaled:
        image = scaled[kind]
        return lambda data: image(data, plan.fsp)
    if kind == "decimal":
        return lambda data: _decimal(data, plan.precision, plan.scale)
    return lambda data: _prefixed(data, plan.prefix_bytes)


def _prefixed(data: bytes, width: int) -> bytes:
    if len(data) >= 1 << 8 * width:
        message = "a value that is longer than its column allows"
        raise DecodeError(message)
    return len(data).to_bytes(width, "little") + data


def _cut(data: bytes, size: int) -> bytes:
    if any(data[size:]):
        message = "a number of an enum or set that its column does not have"
        raise DecodeError(message)
    return data[:size]


def _widen(data: bytes, size: int) -> bytes:
    if len(data) > size:
        message = f"a bit value of {len(data)} bytes in a column of {size}"
        raise DecodeError(message)
    return data.rjust(size, b"\0")


def _year(data: bytes) -> bytes:
    year = int.from_bytes(data, "little")
    if year and not 1901 <= year <= 2155:
        message = "a year outside of 1901 to 2155"
        raise DecodeError(message)
    return bytes([year - 1900 if year else 0])


def _parts(data: bytes) -> tuple[int, int, int, int, int, int, int]:
    """Year to microsecond of a date or datetime; all zero when nothing is sent."""
    if len(data) not in {0, 4, 7, 11}:
        raise _malformed()
    cursor = BigEndianCursor(data.ljust(11, b"\0"))
    year = int.from_bytes(cursor.take(2), "little")
    month, day, hour, minute, second = (cursor.u8() for _ in range(5))
    micros = int.from_bytes(cursor.take(4), "little")
    if year > _MAX_YEAR or month > 12 or day > 31 or hour > 23:
        raise _malformed()
    _check_clock(minute, second, micros)
    return year, month, day, hour, minute, second, micros


def _check_clock(minute: int, second: int, micros: int) -> None:
    if minute > 59 or second > 59 or micros > 999_999:
        raise _malformed()


def _malformed() -> DecodeError:
    return DecodeError("a date or time that no calendar has")


def _date(data: bytes) -> bytes:
    year, month, day, *clock = _parts(data)
    if any(clock):
        raise _malformed()
    return (year << 9 | month << 5 | day).to_bytes(3, "little")


def _datetime(data: bytes, fsp: int) -> bytes:
    year, month, day, hour, minute, second, micros = _parts(data)
    packed = (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second
    return (packed + 0x8000000000).to_bytes(5, "big") + _fraction(micros, fsp)


def _timestamp(data: bytes, fsp: int) -> bytes:
    return _epoch(data).to_bytes(4, "big") + _fraction(_parts(data)[6], fsp)


def _time(data: bytes, fsp: int) -> bytes:
    negative, hours, minute, second, micros = _time_parts(data)
    width = (fsp + 1) // 2
    value = (hours << 12 | minute << 6 | second) << 8 * width
    value |= int.from_bytes(_fraction(micros, fsp), "big")
    if negative:
        value = -value
    return (value + (0x800000 << 8 * width)).to_bytes(3 + width, "big")


def _datetime_old(data: bytes) -> bytes:
    year, month, day, hour, minute, second, _ = _parts(data)
    number = 0
    for part in (year, month, day, hour, minute, second):
        number = number * 100 + part
    return number.to_bytes(8, "little")


def _timestamp_old(data: bytes) -> bytes:
    return _epoch(data).to_bytes(4, "little")


def _time_old(data: bytes) -> bytes:
    negative, hours, minute, second, _ = _time_parts(data)
    number = hours * 10000 + minute * 100 + second
    return (-number if negative else number).to_bytes(3, "little", signed=True)


def _epoch(data: bytes) -> int:
    """Seconds since 1970 of a datetime in UTC; 0 for the zero date."""
    year, month, day, hour, minute, second, _ = _parts(data)
    if not any((year, month, day, hour, minute, second)):
        return 0
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise _malformed() from None  # The cause would carry the value.
    seconds = calendar.timegm(moment.timetuple())
    if not 0 <= seconds < 1 << 32:
        message = "a timestamp outside of what the server stores"
        raise DecodeError(message)
    return seconds


def _time_parts(data: bytes) -> tuple[int, int, int, int, int]:
    """Sign, hours (days included), minutes, seconds, microseconds."""
    if len(data) not in {0, 8, 12}:
        raise _malformed()
    cursor = BigEndianCursor(data.ljust(12, b"\0"))
    negative = cursor.u8()
    days = int.from_bytes(cursor.take(4), "little")
    hours, minute, second = (cursor.u8() for _ in range(3))
    micros = int.from_bytes(cursor.take(4), "little")
    if negative > 1 or hours > 23 or days * 24 + hours > _MAX_HOURS:
        raise _malformed()
    _check_clock(minute, second, micros)
    return negative, days * 24 + hours, minute, second, micros


def _fraction(micros: int, fsp: int) -> bytes:
    width = (fsp + 1) // 2
    return int(micros // 10 ** (6 - 2 * width)).to_bytes(width, "big")


def _decimal(data: bytes, precision: int, scale: int) -> bytes:
    whole, dot, fraction = data.lstrip(b"-").partition(b".")
    whole, fraction = whole.lstrip(b"0"), fraction.ljust(scale, b"0")
    if (
        len(data) - len(data.lstrip(b"-")) > 1
        or len(whole) > precision - scale
        or len(fraction) != scale
        or (whole + fraction).strip(b"0123456789")
        or (dot and not scale)
    ):
        message = "a decimal that its column cannot hold"
        raise DecodeError(message)
    leading = (precision - scale) % _GROUP_DIGITS
    digits = whole.rjust(precision - scale, b"0")
    out = _group(digits[:leading])
    for at in range(leading, len(digits), _GROUP_DIGITS):
        out += _group(digits[at : at + _GROUP_DIGITS])
    for at in range(0, scale, _GROUP_DIGITS):
        out += _group(fraction[at : at + _GROUP_DIGITS])
    out[0] ^= 0x80
    return bytes(byte ^ 0xFF for byte in out) if data.startswith(b"-") else bytes(out)


def _group(digits: bytes) -> bytearray:
    return bytearray(int(digits or b"0").to_bytes(_GROUP_BYTES[len(digits)], "big"))


_ROW = 0x00


class ResultRow:
    """`column` is the one that is being read, for errors; -1 for none."""

    def __init__(self, plans: Sequence[ColumnPlan]) -> None:
        self._images = [image_of(plan) for plan in plans]
        self._types = [0] * len(plans)
        self.column = -1

    def define(self, column: int, code: int) -> None:
        """The column's values are of this type; it is one of ours."""
        self._types[column] = code

    def append(self, reader: Reader, fields: Sequence[Field]) -> None:
        """Read a row, whole, and decode its values into their columns."""
        if reader.u8() != _ROW:
            message = "a packet that is no row of a result set"
            raise DecodeError(message)
        nulls = reader.little((len(fields) + 9) // 8) >> 2
        for i, field in enumerate(fields):
            self.column = i
            if nulls >> i & 1:
                field.null()
                continue
            image = BigEndianCursor(self._images[i](self._value(reader, i)))
            field.value(image)
            image.finish()
        self.column = -1
        reader.finish()

    def _value(self, reader: Reader, i: int) -> bytes:
        code = self._types[i]
        if code in FIXED_BYTES:
            return reader.take(FIXED_BYTES[code])
        return reader.take(reader.u8() if code in TEMPORAL else read_lenenc(reader))
