"""A compressed transaction read event by event in pure Python: the twin of a part of `native.pyx`."""

from __future__ import annotations

from zlib import crc32

from cdc.errors import DecodeError
from cdc_source_mysql.wire.codes import CHECKSUM_BYTES, HEADER_BYTES, PAYLOAD_HEAD_BYTES, PIECE_BYTES
from cdc_source_mysql.wire.events_python import Event, read_header, read_payload_fields
from cdc_source_mysql.wire.packets_python import Packets
from cdc_source_mysql.wire.payload import Payload
from cdc_source_mysql.wire.rare import SmallPayload, payload_of

_SIZE_AT = 9


class Inside:
    """The inside of one TRANSACTION_PAYLOAD: decompressed when its packet is there, or, a large one, as
    it comes.
    """

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self._payload: Payload | SmallPayload | None = None
        self._plain = bytearray()
        self._is_streamed = False
        self._tail_bytes = 0
        self._tail = b""
        self._checksum = 0
        # What has come of the beginning of a large one; None: none is coming.
        self._head: bytes | None = None

    @property
    def is_open(self) -> bool:
        return self._payload is not None

    @property
    def is_coming(self) -> bool:
        return self._head is not None

    def head(self) -> bytes | None:
        """The beginning of a large one, up to its compressed bytes and some of them; None: not there yet."""
        if self._head is None:
            self._packets.begin_pieces()
            self._head = b""
        while len(self._head) < PAYLOAD_HEAD_BYTES:
            piece = self._packets.piece(PAYLOAD_HEAD_BYTES - len(self._head))
            if not piece:
                return None
            self._head += piece
        return self._head[1:]

    def open(self, body: bytes, place: str) -> None:
        """All of it is there."""
        self._open(body, 0, place)
        self._is_streamed = False

    def open_streamed(self, event: Event, place: str, *, has_checksum: bool) -> None:
        """It comes in pieces; the event is what `head` gave."""
        self._tail_bytes = CHECKSUM_BYTES if has_checksum else 0
        self._open(event.body, event.size - len(event.whole) - self._tail_bytes, place)
        self._checksum = crc32(event.whole)
        self._head = None
        self._tail = b""
        self._is_streamed = True

    def _open(self, body: bytes, missing: int, place: str) -> None:
        fields, data = read_payload_fields(body)
        self._payload = payload_of(fields, data, missing, place)

    def event(self) -> Event | None:
        """The next event; None when it is not there yet, or when there is none (`is_open` is false then)."""
        while self._payload is not None:
            size = HEADER_BYTES
            if len(self._plain) >= HEADER_BYTES:
                size = max(int.from_bytes(self._plain[_SIZE_AT : _SIZE_AT + 4], "little"), HEADER_BYTES)
            if len(self._plain) >= size:
                return read_header(bytes(self._plain[:size]))
            if not self._pump(self._payload):
                return None
        return None

    def consume(self, event: Event) -> None:
        """The event that `event` showed is done with."""
        del self._plain[: event.size]

    def _pump(self, payload: Payload | SmallPayload) -> bool:
        """Decompress more, or end; false when more bytes are needed."""
        if isinstance(payload, Payload) and payload.is_hungry:
            piece = self._packets.piece(min(PIECE_BYTES, payload.missing))
            self._checksum = crc32(piece, self._checksum)
            payload.add(piece)
            return bool(piece)
        if not payload.finished:
            self._plain += payload.read()
            return True
        if self._plain:
            message = "a compressed transaction that ends inside an event"
            raise DecodeError(message)
        if self._is_streamed and not self._read_tail():
            return False
        self._payload = None
        return True

    def _read_tail(self) -> bool:
        """Whether what is behind it is there."""
        while len(self._tail) < self._tail_bytes:
            piece = self._packets.piece(self._tail_bytes - len(self._tail))
            if not piece:
                return False
            self._tail += piece
        if not self._packets.end_pieces():
            return False
        if self._tail_bytes and int.from_bytes(self._tail, "little") != self._checksum:
            message = "an event whose checksum is wrong"
            raise DecodeError(message)
        return True
