"""The checked byte cursor in pure Python: every read is compared with what is left before it is made."""

from __future__ import annotations

import struct
from typing import Self

from cdc.errors import DecodeError

_U16 = struct.Struct(">H")
_I16 = struct.Struct(">h")
_U32 = struct.Struct(">I")
_I32 = struct.Struct(">i")
_U64 = struct.Struct(">Q")
_I64 = struct.Struct(">q")
_F32 = struct.Struct(">f")
_F64 = struct.Struct(">d")


class ByteCursor:
    """Reads bytes from `data`; a read past the end raises DecodeError and moves nothing. Numbers are for the
    subclass that knows their order.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        return bytes(self._data[self._advance(count) : self._at])

    def skip(self, count: int) -> None:
        self._advance(count)

    def clamp(self, count: int) -> Self:
        """A cursor of its own over the next `count` bytes."""
        start = self._advance(count)
        return type(self)(self._data[start : self._at])

    def u8(self) -> int:
        return self._data[self._advance(1)]

    def text(self, count: int) -> str:
        """The next `count` bytes as UTF-8."""
        return decode_utf8(self.take(count))

    def until_nul(self) -> bytes:
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

    def _require(self, count: int) -> None:
        if count < 0 or count > self.left:
            message = f"{count} bytes expected, {self.left} are left"
            raise DecodeError(message)

    def _advance(self, count: int) -> int:
        self._require(count)
        start = self._at
        self._at += count
        return start


class BigEndianCursor(ByteCursor):
    """Big-endian values."""

    __slots__ = ()

    def u16(self) -> int:
        return int(_U16.unpack_from(self._data, self._advance(2))[0])

    def i16(self) -> int:
        return int(_I16.unpack_from(self._data, self._advance(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack_from(self._data, self._advance(4))[0])

    def i32(self) -> int:
        return int(_I32.unpack_from(self._data, self._advance(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack_from(self._data, self._advance(8))[0])

    def i64(self) -> int:
        return int(_I64.unpack_from(self._data, self._advance(8))[0])

    def f32(self) -> float:
        return float(_F32.unpack_from(self._data, self._advance(4))[0])

    def f64(self) -> float:
        return float(_F64.unpack_from(self._data, self._advance(8))[0])

    def cstring(self) -> str:
        """Text up to the next NUL, which is consumed."""
        return decode_utf8(self.until_nul())


class Reader(BigEndianCursor):
    """A cursor that is used for one object's bytes after the other's: the twin of the compiled one."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(b"")

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """A reader of these bytes."""
        reader = cls()
        reader.open(data)
        return reader

    def open(self, data: bytes | bytearray | memoryview) -> None:
        """Read these bytes from their start, until `close`."""
        super().__init__(data)

    def close(self) -> None:
        super().__init__(b"")

    def remaining(self) -> int:
        return self.left

    def tell(self) -> int:
        return self._at

    def little(self, count: int) -> int:
        """A little-endian number."""
        return int.from_bytes(self.take(count), "little")

    def little_at(self, offset: int, count: int) -> int:
        """The same from further on, without moving."""
        self._require(offset + count)
        return int.from_bytes(self._data[self._at + offset : self._at + offset + count], "little")

    def cut(self, count: int) -> int:
        """The little-endian number in the last bytes, which are not read any more."""
        value = self.little_at(self.left - count, count)
        self._end -= count
        return value

    def view(self, first: int, last: int) -> memoryview:
        """The bytes between two offsets."""
        return self._data[first:last]

    def slice(self, first: int, last: int) -> bytes:
        return bytes(self._data[first:last])

    def rest(self) -> bytes:
        return self.take(self.left)

    def starts_with(self, text: bytes) -> bool:
        return self._data[self._at : min(self._at + len(text), self._end)] == text

    def holds(self, data: bytes) -> bool:
        """Whether exactly this remains."""
        return self.left == len(data) and self.starts_with(data)

    def clamp(self, count: int) -> Self:
        """A reader of its own over the next bytes."""
        part = type(self)()
        self.share(part, count)
        return part

    def share(self, other: Reader, count: int) -> None:
        """Have another one read the next bytes."""
        other.open(self.take(count))


def decode_utf8(data: bytes) -> str:
    """Strict UTF-8, else DecodeError."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        message = "text that is not valid UTF-8"
        raise DecodeError(message) from None  # The cause would carry the value.
