"""The packets of the connection.

One source for both implementations: `packets_native` is compiled from it, with the types in
`packets_native.pxd`.
"""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import (
    LONGEST_PACKET_BYTES,
    NOTHING,
    STREAMED,
    STREAMED_FROM_BYTES,
    TRANSACTION_PAYLOAD_EVENT,
    TYPE_AT,
    WHOLE,
)

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.cursor_python import Reader
    from cdc_source_mysql.wire.buffer_python import Buffer

PACKET_HEADER = 4


class Packets:
    """A payload of 16 MiB - 1 and more comes as several packets, which are joined in place."""

    def __init__(self) -> None:
        self.buffer = Buffer()
        # The payload that `look` showed.
        self.length = 0
        # Of a long packet: the bytes of its payload whose packets are known and joined, 0 before the first.
        self.joined = 0
        self.is_whole = False
        # Of a packet that is read in pieces.
        self.piece_left = 0
        self.continues = False

    def look(self, reader: Reader) -> int:
        """Have the payload of the packet at the start read: WHOLE, NOTHING as long as it isn't there, or
        STREAMED when it is a large TRANSACTION_PAYLOAD, whose beginning is there.
        """
        buffer = self.buffer
        held = buffer.held()
        if held < PACKET_HEADER:
            return NOTHING
        length = buffer.little(0, 3)
        if length >= STREAMED_FROM_BYTES and self.joined == 0:
            if held < PACKET_HEADER + TYPE_AT + 1:
                return NOTHING
            is_event = buffer.little(PACKET_HEADER, 1) == 0
            if is_event and buffer.little(PACKET_HEADER + TYPE_AT, 1) == TRANSACTION_PAYLOAD_EVENT:
                return STREAMED
        if length == LONGEST_PACKET_BYTES:
            if not self.join():
                return NOTHING
            held = buffer.held()
            length = self.joined
        if held < PACKET_HEADER + length:
            return NOTHING
        self.length = length
        buffer.show(reader, PACKET_HEADER, length)
        return WHOLE

    def join(self) -> bool:
        """Take out the headers of the packets that continue the first; whether the last is known."""
        buffer = self.buffer
        if self.joined == 0:
            self.joined = LONGEST_PACKET_BYTES
            self.is_whole = False
        while not self.is_whole:
            at = PACKET_HEADER + self.joined
            if buffer.held() < at + PACKET_HEADER:
                return False
            length = buffer.little(at, 3)
            buffer.cut(at, PACKET_HEADER)
            self.joined += length
            self.is_whole = length < LONGEST_PACKET_BYTES
        return True

    def consume(self) -> int:
        """The packet that `look` showed is done with."""
        self.buffer.skip(PACKET_HEADER + self.length)
        self.joined = 0
        return 0

    def begin_pieces(self) -> int:
        """Read the packet at the start by `piece` from now on."""
        self.piece_left = self.buffer.little(0, 3)
        self.continues = self.piece_left == LONGEST_PACKET_BYTES
        self.buffer.skip(PACKET_HEADER)
        return 0

    def piece(self, most: int) -> bytes:
        """The next bytes of the payload, which are consumed; none when none are there."""
        if self.piece_left == 0 and self.continues:
            if self.buffer.held() < PACKET_HEADER:
                return b""
            self.begin_pieces()
        size = min(most, self.piece_left, self.buffer.held())
        self.piece_left -= size
        return self.buffer.take(size)

    def end_pieces(self) -> bool:
        """Whether the last packet of the payload is known; it must have been read whole."""
        if self.piece(1):
            message = "more bytes in a packet than its event has"
            raise DecodeError(message)
        return not self.continues
