"""Packets of the connection in pure Python: the twin of `buffer.pyx`."""

from __future__ import annotations

from enum import Enum, auto

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import (
    LONGEST_PACKET_BYTES,
    STREAMED_FROM_BYTES,
    TRANSACTION_PAYLOAD_EVENT,
    TYPE_AT,
)

_HEADER_BYTES = 4
# Consumed bytes are freed when they are this many.
_COMPACT_BYTES = 1 << 20


class Look(Enum):
    """Whether the payload of a packet is there; STREAMED: of a large transaction, which is read in pieces."""

    NOTHING = auto()
    WHOLE = auto()
    STREAMED = auto()


class Packets:
    """A payload of 16 MiB - 1 and more comes as several packets, which are joined."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start = 0
        self._joined = 0
        self._is_whole = False
        self._piece_left = 0
        self._continues = False

    def append(self, data: bytes | memoryview) -> None:
        if self._start >= _COMPACT_BYTES:
            del self._data[: self._start]
            self._start = 0
        self._data += data

    @property
    def _left(self) -> int:
        return len(self._data) - self._start

    def look(self) -> tuple[Look, bytes]:
        """The payload of the packet at the start."""
        if self._left < _HEADER_BYTES:
            return Look.NOTHING, b""
        length = self._length_at(self._start)
        if length >= STREAMED_FROM_BYTES and not self._joined:
            if self._left < _HEADER_BYTES + TYPE_AT + 1:
                return Look.NOTHING, b""
            at = self._start + _HEADER_BYTES
            if self._data[at] == 0 and self._data[at + TYPE_AT] == TRANSACTION_PAYLOAD_EVENT:
                return Look.STREAMED, b""
        if length == LONGEST_PACKET_BYTES:
            if not self._join():
                return Look.NOTHING, b""
            length = self._joined
        if self._left < _HEADER_BYTES + length:
            return Look.NOTHING, b""
        at = self._start + _HEADER_BYTES
        return Look.WHOLE, bytes(self._data[at : at + length])

    def _length_at(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 3], "little")

    def _join(self) -> bool:
        """Take out the headers of the packets that continue the first; whether the last is known."""
        if not self._joined:
            self._joined = LONGEST_PACKET_BYTES
            self._is_whole = False
        while not self._is_whole:
            at = self._start + _HEADER_BYTES + self._joined
            if len(self._data) < at + _HEADER_BYTES:
                return False
            length = self._length_at(at)
            del self._data[at : at + _HEADER_BYTES]
            self._joined += length
            self._is_whole = length < LONGEST_PACKET_BYTES
        return True

    def consume(self, length: int) -> None:
        """The packet that `look` showed is done with."""
        self._start += _HEADER_BYTES + length
        self._joined = 0

    def begin_pieces(self) -> None:
        """Read the packet at the start by `piece` from now on."""
        self._piece_left = self._length_at(self._start)
        self._continues = self._piece_left == LONGEST_PACKET_BYTES
        self._start += _HEADER_BYTES

    def piece(self, most: int) -> bytes:
        """The next bytes of the payload, which are consumed; none when none are there."""
        if not self._piece_left and self._continues:
            if self._left < _HEADER_BYTES:
                return b""
            self.begin_pieces()
        size = min(most, self._piece_left, self._left)
        data = bytes(self._data[self._start : self._start + size])
        self._start += size
        self._piece_left -= size
        return data

    def end_pieces(self) -> bool:
        """Whether the last packet of the payload is known; it must have been read whole."""
        if self.piece(1):
            message = "more bytes in a packet than its event has"
            raise DecodeError(message)
        return not self._continues
