"""DECIMAL's stored form: groups of nine digits in four bytes, the leftovers of both ends in fewer.

The highest bit is the sign, inverted; a negative number has all its bytes inverted.
"""

from __future__ import annotations

from cdc.errors import DecodeError

DIGITS_PER_GROUP = 9
# Bytes that so many leftover digits take.
LEFTOVER_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
# Columns have no more than 65 digits; values in JSON are given whole groups, of which the server has nine.
MAX_PRECISION = 81
MAX_SCALE = 38


def stored_bytes(precision: int, scale: int) -> int:
    """The width of a value."""
    return _part_bytes(precision - scale) + _part_bytes(scale)


def unscaled(data: bytes, precision: int, scale: int) -> int:
    """The number times 10^scale."""
    if not 0 < precision <= MAX_PRECISION or not 0 <= scale <= min(precision, MAX_SCALE):
        message = f"a decimal of precision {precision} and scale {scale}"
        raise DecodeError(message)
    if len(data) != stored_bytes(precision, scale):
        message = f"{stored_bytes(precision, scale)} bytes expected, {len(data)} came"
        raise DecodeError(message)
    is_negative = data[0] < 0x80
    plain = bytes([data[0] ^ 0x80, *data[1:]])
    if is_negative:
        plain = bytes(byte ^ 0xFF for byte in plain)
    value = at = 0
    for digits in group_digits(precision, scale):
        size = LEFTOVER_BYTES[digits]
        group = int.from_bytes(plain[at : at + size], "big")
        if group >= 10**digits:
            message = f"a decimal with more than {digits} digits in a group of {digits}"
            raise DecodeError(message)
        value = value * 10**digits + group
        at += size
    return -value if is_negative else value


def decimal_text(data: bytes, precision: int, scale: int) -> bytes:
    """As the server writes it, with `scale` digits after the point."""
    value = unscaled(data, precision, scale)
    digits = f"{abs(value):0{scale + 1}d}"
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    return f"{'-' if value < 0 else ''}{whole}{'.' if scale else ''}{fraction}".encode()


def group_digits(precision: int, scale: int) -> list[int]:
    """The number of digits of each group, in their order."""
    whole, fraction = precision - scale, scale
    groups = [whole % DIGITS_PER_GROUP] + [DIGITS_PER_GROUP] * (whole // DIGITS_PER_GROUP)
    groups += [DIGITS_PER_GROUP] * (fraction // DIGITS_PER_GROUP) + [fraction % DIGITS_PER_GROUP]
    return [digits for digits in groups if digits]


def _part_bytes(digits: int) -> int:
    groups, leftover = divmod(digits, DIGITS_PER_GROUP)
    return groups * LEFTOVER_BYTES[DIGITS_PER_GROUP] + LEFTOVER_BYTES[leftover]
