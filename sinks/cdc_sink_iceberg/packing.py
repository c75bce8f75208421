"""Single values as Iceberg's statistics write them."""

from __future__ import annotations

import struct

# Characters of a bound of text.
TEXT_BOUND = 16
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def pack_integer(value: int, size: int) -> bytes:
    """Return an integer (a boolean, a date, a time, microseconds) of that many bytes."""
    return int(value).to_bytes(size, "little", signed=size > 1)


def pack_float(value: float, *, is_double: bool) -> bytes:
    """Return a float or double."""
    return struct.pack("<d" if is_double else "<f", value)


def pack_decimal(unscaled: int) -> bytes:
    """Return a decimal's digits in the fewest bytes."""
    bits = (unscaled if unscaled >= 0 else ~unscaled).bit_length()
    return unscaled.to_bytes(bits // 8 + 1, "big", signed=True)


def pack_lower_text(value: bytes) -> bytes:
    """Return a text that is not above this one."""
    return value.decode("utf-8", "replace")[:TEXT_BOUND].encode()


def pack_upper_text(value: bytes) -> bytes | None:
    """Return a text that is not below this one; None if there is no short one."""
    text = value.decode("utf-8", "replace")
    if len(text) <= TEXT_BOUND:
        return text.encode()
    kept = text[:TEXT_BOUND]
    for i in range(TEXT_BOUND - 1, -1, -1):
        code = ord(kept[i]) + 1
        if code in _SURROGATES:
            code = _SURROGATES.stop
        if code <= _LAST_CHARACTER:
            return (kept[:i] + chr(code)).encode()
    return None
