"""The checked byte cursor for MySQL's little-endian forms, for events that are too rare for native code."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import ByteCursor

# Bytes of the number behind each mark; lower bytes are numbers themselves.
_WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_FIRST_MARK = 0xFB


def lenenc(cursor: ByteCursor) -> int:
    """A length-encoded number: one byte, or a mark and 2, 3 or 8 bytes."""
    first = cursor.u8()
    if first < _FIRST_MARK:
        return first
    width = _WIDTHS.get(first)
    if width is None:
        message = f"a length that begins with {first}"
        raise DecodeError(message)
    return int.from_bytes(cursor.take(width), "little")


class LittleEndian(ByteCursor):
    """Little-endian values, and the lengths that MySQL writes before others."""

    __slots__ = ()

    def unsigned(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def u16(self) -> int:
        return self.unsigned(2)

    def u32(self) -> int:
        return self.unsigned(4)

    def u48(self) -> int:
        return self.unsigned(6)

    def u64(self) -> int:
        return self.unsigned(8)

    def lenenc(self) -> int:
        """See `lenenc`."""
        return lenenc(self)

    def cstring(self) -> bytes:
        """Bytes up to the next NUL, which is consumed."""
        return self.until_nul()
