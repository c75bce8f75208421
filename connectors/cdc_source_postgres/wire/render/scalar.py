"""Numbers, dates and other simple types as text, exactly as the server renders them.

With datestyle=ISO, intervalstyle=postgres, timezone=UTC, bytea_output=hex, extra_float_digits=3,
lc_monetary=C. Each function takes the binary form whole, and raises DecodeError when it is not.
"""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.calendar import MICROSECONDS_PER_DAY
from cdc.native.cursor_python import BigEndianCursor, decode_utf8
from cdc_source_postgres.wire.calendar import (
    DATE_INFINITIES,
    TIMESTAMP_INFINITIES,
    clock_text,
    date_text,
)
from cdc_source_postgres.wire.render.floats import float4_text, float8_text

NUMERIC_SPECIALS = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}
NUMERIC_NEGATIVE = 0x4000
NUMERIC_DSCALE_MAX = 0x3FFF
# Postgres' numeric is a number to the base 10,000.
NUMERIC_BASE = 10_000


def bool_text(data: bytes) -> str:
    return "t" if bool_value(data) else "f"


def bool_value(data: bytes) -> bool:
    if data not in {b"\0", b"\1"}:
        message = "a boolean that is neither 0 nor 1"
        raise DecodeError(message)
    return data == b"\1"


def int2_text(data: bytes) -> str:
    return _whole(data, BigEndianCursor.i16)


def int4_text(data: bytes) -> str:
    return _whole(data, BigEndianCursor.i32)


def int8_text(data: bytes) -> str:
    return _whole(data, BigEndianCursor.i64)


def uint4_text(data: bytes) -> str:
    return _whole(data, BigEndianCursor.u32)


def uint8_text(data: bytes) -> str:
    return _whole(data, BigEndianCursor.u64)


def _whole(data: bytes, read: object) -> str:
    cursor = BigEndianCursor(data)
    value = read(cursor)  # type: ignore[operator]
    cursor.finish()
    return str(value)


def float4_binary_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    value = cursor.f32()
    cursor.finish()
    return float4_text(value)


def float8_binary_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    value = cursor.f64()
    cursor.finish()
    return float8_text(value)


def numeric_digits(data: bytes) -> tuple[list[int], int, int, int]:
    """Digits to the base 10,000, the weight of the first, the sign word, and the digits shown after the
    point.
    """
    cursor = BigEndianCursor(data)
    count, weight, sign, dscale = cursor.u16(), cursor.i16(), cursor.u16(), cursor.u16()
    if sign not in {0, NUMERIC_NEGATIVE, *NUMERIC_SPECIALS} or dscale > NUMERIC_DSCALE_MAX:
        message = "a numeric with an unknown sign or scale"
        raise DecodeError(message)
    digits = [cursor.u16() for _ in range(count)]
    cursor.finish()
    if any(digit >= NUMERIC_BASE for digit in digits):
        message = "a numeric with a digit over 9999"
        raise DecodeError(message)
    return digits, weight, sign, dscale


def numeric_text(data: bytes) -> str:
    digits, weight, sign, dscale = numeric_digits(data)
    if sign in NUMERIC_SPECIALS:
        return NUMERIC_SPECIALS[sign]

    def group(power: int) -> str:
        index = weight - power
        return f"{digits[index]:04d}" if 0 <= index < len(digits) else "0000"

    whole = "".join(group(power) for power in range(weight, -1, -1)) or "0"
    # Only the first group is shown without its leading zeros.
    head = whole[:4].lstrip("0") or "0" if weight >= 0 else "0"
    text = head + whole[4:] if weight >= 0 else "0"
    if dscale:
        fraction = "".join(group(-1 - i) for i in range((dscale + 3) // 4))
        text += f".{fraction[:dscale]}"
    return f"-{text}" if sign == NUMERIC_NEGATIVE else text


def money_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    value = cursor.i64()
    cursor.finish()
    units, cents = divmod(abs(value), 100)
    return f"{'-' if value < 0 else ''}${units:,}.{cents:02d}"


def date_binary_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    days = cursor.i32()
    cursor.finish()
    if days in DATE_INFINITIES:
        return DATE_INFINITIES[days]
    text, suffix = date_text(days)
    return text + suffix


def time_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    value = cursor.i64()
    cursor.finish()
    return clock_text(_checked_time(value))


def timetz_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    value, west_seconds = cursor.i64(), cursor.i32()
    cursor.finish()
    east = -west_seconds
    minutes, seconds = divmod(abs(east), 60)
    hours, minutes = divmod(minutes, 60)
    zone = f"{'-' if east < 0 else '+'}{hours:02d}"
    if minutes or seconds:
        zone += f":{minutes:02d}"
    if seconds:
        zone += f":{seconds:02d}"
    return clock_text(_checked_time(value)) + zone


def _checked_time(value: int) -> int:
    if not 0 <= value <= MICROSECONDS_PER_DAY:
        message = "a time of day outside 00:00 to 24:00"
        raise DecodeError(message)
    return value


def timestamp_text(data: bytes) -> str:
    return _timestamp(data, "")


def timestamptz_text(data: bytes) -> str:
    return _timestamp(data, "+00")


def _timestamp(data: bytes, zone: str) -> str:
    cursor = BigEndianCursor(data)
    value = cursor.i64()
    cursor.finish()
    if value in TIMESTAMP_INFINITIES:
        return TIMESTAMP_INFINITIES[value]
    days, clock = divmod(value, MICROSECONDS_PER_DAY)
    text, suffix = date_text(days)
    return f"{text} {clock_text(clock)}{zone}{suffix}"


def text_text(data: bytes) -> str:
    return decode_utf8(data)


def bytea_text(data: bytes) -> str:
    return "\\x" + data.hex()


def char_text(data: bytes) -> str:
    """The one-byte type "char": empty for zero, octal for what is not ASCII."""
    if len(data) != 1:
        message = f'a "char" of {len(data)} bytes'
        raise DecodeError(message)
    byte = data[0]
    if byte >= 0x80:
        return f"\\{byte:03o}"
    return chr(byte) if byte else ""


def versioned_text(data: bytes) -> str:
    """jsonb, jsonpath, ltree, lquery, ltxtquery: the version 1, then the text."""
    if data[:1] != b"\1":
        message = "a value whose format version is not 1"
        raise DecodeError(message)
    return decode_utf8(data[1:])


def uuid_text(data: bytes) -> str:
    if len(data) != 16:
        message = f"a uuid of {len(data)} bytes"
        raise DecodeError(message)
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def bit_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    count = cursor.i32()
    if count < 0:
        message = "a bit string of negative length"
        raise DecodeError(message)
    raw = cursor.take((count + 7) // 8)
    cursor.finish()
    return f"{int.from_bytes(raw):0{len(raw) * 8}b}"[:count] if count else ""


def interval_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    microseconds, days, months = cursor.i64(), cursor.i32(), cursor.i32()
    cursor.finish()
    for value, text in TIMESTAMP_INFINITIES.items():
        # PostgreSQL 17 and later: all three fields at their limit.
        if microseconds == value and DATE_INFINITIES.get(days) == DATE_INFINITIES.get(months) == text:
            return text
    years = _truncated(months, 12)
    parts: list[str] = []
    before = False
    for value, unit in ((years, "year"), (months - 12 * years, "mon"), (days, "day")):
        if value:
            plus = "+" if before and value > 0 else ""
            parts.append(f"{plus}{value} {unit}{'' if value == 1 else 's'}")
            before = value < 0
    if microseconds or not parts:
        sign = "-" if microseconds < 0 else "+" if before else ""
        parts.append(sign + clock_text(abs(microseconds)))
    return " ".join(parts)


def _truncated(value: int, by: int) -> int:
    return -(-value // by) if value < 0 else value // by
