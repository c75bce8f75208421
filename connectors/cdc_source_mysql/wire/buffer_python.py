"""Bytes that come in pieces and are read from the start, in pure Python: the twin of `buffer.pyx`."""

from __future__ import annotations

from cdc.native.cursor_python import Reader

# Consumed bytes are freed when they are this many.
_COMPACT_BYTES = 1 << 20


class Buffer:
    """Offsets count from the first byte that is not consumed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0

    def append(self, data: bytes | memoryview) -> None:
        if self._start >= _COMPACT_BYTES:
            del self._data[: self._start]
            self._start = 0
        self._data += data

    def give_back(self) -> None:
        """Free the consumed bytes."""
        if self._start >= _COMPACT_BYTES:
            del self._data[: self._start]
            self._start = 0

    def held(self) -> int:
        return len(self._data) - self._start

    def little(self, offset: int, count: int) -> int:
        return int.from_bytes(self._bytes(offset, count), "little")

    def show(self, reader: Reader, offset: int, count: int) -> None:
        """Have these bytes read, which stay."""
        reader.open(self._bytes(offset, count))

    def _bytes(self, offset: int, count: int) -> bytes:
        return bytes(self._data[self._start + offset : self._start + offset + count])

    def cut(self, offset: int, count: int) -> None:
        """Take these bytes out from among the others."""
        del self._data[self._start + offset : self._start + offset + count]

    def skip(self, count: int) -> None:
        self._start += count

    def take(self, count: int) -> bytes:
        """The next bytes, which are consumed."""
        data = self._bytes(0, count)
        self._start += count
        return data
