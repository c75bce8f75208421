"""The checked byte cursor for MySQL's little-endian forms, for events that are too rare for native code."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import ByteCursor

_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE


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
        """A length-encoded integer: one byte, or a mark and 2, 3 or 8 bytes."""
        first = self.u8()
        if first < _NULL:
            return first
        if first == _TWO_BYTES:
            return self.u16()
        if first == _THREE_BYTES:
            return self.unsigned(3)
        if first == _EIGHT_BYTES:
            return self.u64()
        message = "a length that is none"
        raise DecodeError(message)

    def cstring(self) -> bytes:
        """Bytes up to the next NUL, which is consumed."""
        return self.until_nul()
