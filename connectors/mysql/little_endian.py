"""The checked byte cursor for MySQL's little-endian forms, for events that are too rare for native code."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import decode_utf8

_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE


class LittleEndian:
    """Reads from `data`; a read past the end raises DecodeError and moves nothing."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self._advance(count)
        return bytes(self._data[start : self._at])

    def skip(self, count: int) -> None:
        self._advance(count)

    def clamp(self, count: int) -> LittleEndian:
        """A cursor of its own over the next `count` bytes."""
        start = self._advance(count)
        return LittleEndian(self._data[start : self._at])

    def unsigned(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def u8(self) -> int:
        return self._data[self._advance(1)]

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

    def text(self, count: int) -> str:
        """The next `count` bytes as UTF-8."""
        return decode_utf8(self.take(count))

    def cstring(self) -> bytes:
        """Bytes up to the next NUL, which is consumed."""
        rest = bytes(self._data[self._at : self._end])
        length = rest.find(0)
        if length < 0:
            message = "a text without its terminating NUL"
            raise DecodeError(message)
        self._advance(length + 1)
        return rest[:length]

    def finish(self) -> None:
        """Everything must have been read."""
        if self.left:
            message = f"{self.left} bytes more than expected"
            raise DecodeError(message)

    def _advance(self, count: int) -> int:
        if count < 0 or count > self.left:
            message = f"{count} bytes expected, {self.left} are left"
            raise DecodeError(message)
        start = self._at
        self._at += count
        return start
