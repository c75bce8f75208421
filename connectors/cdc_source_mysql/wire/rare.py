"""What both binlog decoders do with what is rare: rows taken back, compressed statements, rows in pieces,
a server's start.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cdc.errors import DecodeError, UnknownEvent
from cdc.model.batch import Envelope
from cdc_source_mysql.wire.codes import HEADER_BYTES, QUERY_COMPRESSED_EVENT, QUERY_EVENT
from cdc_source_mysql.wire.compressed import inflate
from cdc_source_mysql.wire.payload import UNCOMPRESSED, ZSTD, Payload

_SIZE_AT = 9
_TYPE_AT = 4
# Behind the header: thread, time, length of the database's name, error, length of the variables.
_POST_HEADER = struct.Struct("<IIBHH")
_SIZE = struct.Struct("<I")
# The methods and lengths that a compressed body's first byte may say: zlib, with 1 to 4 bytes of length.
_ZLIB_FIRST, _ZLIB_LAST = 0x81, 0x84
# In a format description: behind its version and the server's.
_STARTED_AT = 2 + 50
# Position and total, then flags; 1: the original size follows.
_PIECE = struct.Struct("<IIB")
_HAS_SIZE = 1
_LONGEST_PIECES_BYTES = 1 << 31
# Up to this size a transaction is decompressed at once; a set has a few times as much.
_SMALL_BYTES = 1 << 20
_CODEC = pa.Codec("zstd")


def without(batch: pa.RecordBatch, ranges: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    """The batch without the rows whose ordinals lie in these half-open ranges."""
    ordinals = batch.column(Envelope.SEQ).to_numpy()
    keep = np.ones(len(ordinals), np.bool_)
    for first, end in ranges:
        keep &= (ordinals < first) | (ordinals >= end)
    return batch if keep.all() else batch.filter(pa.array(keep))


def without_dropped(
    batches: Sequence[tuple[int, pa.RecordBatch]], ranges: Sequence[tuple[int, int]]
) -> list[tuple[int, pa.RecordBatch]]:
    """(handle, batch) in their order, without dropped rows and empty batches."""
    if ranges:
        batches = [(handle, without(batch, ranges)) for handle, batch in batches]
    return [(handle, batch) for handle, batch in batches if batch.num_rows]


def plain_query(event: bytes) -> bytes:
    """The event as it is, but MariaDB's QUERY_COMPRESSED as the QUERY that it was."""
    if event[_TYPE_AT] != QUERY_COMPRESSED_EVENT:
        return event
    if len(event) < HEADER_BYTES + _POST_HEADER.size:
        message = "a compressed statement that ends in its header"
        raise DecodeError(message)
    _, _, database, _, variables = _POST_HEADER.unpack_from(event, HEADER_BYTES)
    at = HEADER_BYTES + _POST_HEADER.size + variables + database + 1
    plain = bytearray(event[:at] + inflate_body(event[at:]))
    plain[_TYPE_AT] = QUERY_EVENT
    _SIZE.pack_into(plain, _SIZE_AT, len(plain))
    return bytes(plain)


def inflate_body(data: bytes) -> bytes:
    """What MariaDB compressed of an event's body."""
    if not data or not _ZLIB_FIRST <= data[0] <= _ZLIB_LAST:
        message = "a compressed event whose compression is not zlib's"
        raise DecodeError(message)
    return inflate(data)


def file_name(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        message = "a binlog file whose name is not text"
        raise DecodeError(message) from None


def tells_server_start(description: bytes | memoryview) -> bool:
    """Whether a format description (its body) stands where the server started. Servers also leave the time
    out where a dump begins inside of a file.
    """
    return any(description[_STARTED_AT : _STARTED_AT + 4])


def nested() -> DecodeError:
    return DecodeError("a transaction begins inside another")


def unknown(event_type: int) -> UnknownEvent:
    return UnknownEvent(
        f"an event of type {event_type}, which this version does not support",
        remedy="Update the daemon; nothing after the event was read.",
    )


class SmallPayload:
    """A compressed transaction that is all there, decompressed at once: `Payload` for small ones, at a
    fraction of the price.
    """

    missing = 0
    is_hungry = False

    def __init__(self, data: bytes, plain_bytes: int, place: str) -> None:
        self.finished = False
        self._data = data
        self._plain_bytes = plain_bytes
        self._place = place

    def read(self) -> bytes:
        """All of it."""
        self.finished = True
        try:
            return bytes(_CODEC.decompress(self._data, self._plain_bytes, asbytes=True))
        except (OSError, pa.ArrowException) as error:
            message = "a compressed transaction cannot be decompressed"
            raise DecodeError(message, where=self._place) from error


def payload_of(fields: Sequence[int], data: bytes, missing: int, place: str) -> Payload | SmallPayload:
    """The payload of a transaction by its header's fields (1 size, 2 compression, 3 size before it), of which
    `data` is there and `missing` bytes are not.
    """
    compression = fields[2]
    if fields[1] != len(data) + missing:
        message = f"a compressed transaction of {len(data) + missing} bytes that says {fields[1]}"
        raise DecodeError(message)
    if not missing and compression == ZSTD and 0 < fields[3] <= _SMALL_BYTES:
        return SmallPayload(data, fields[3], place)
    payload = Payload(compression, fields[1], fields[1 if compression == UNCOMPRESSED else 3], place)
    payload.add(data)
    return payload


class RowPieces:
    """MariaDB's PARTIAL_ROW_DATA: a rows event in pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0

    def add(self, body: bytes) -> bytes | None:
        """The whole rows event, header included, with the last piece; None before."""
        if len(body) < _PIECE.size:
            message = "a piece of a rows event that ends in its header"
            raise DecodeError(message)
        total, number, flags = _PIECE.unpack_from(body)
        content = body[_PIECE.size + (8 if flags & _HAS_SIZE else 0) :]
        if number != len(self._pieces) + 1 or number > total:
            message = f"piece {number} of {total} of a rows event where piece {len(self._pieces) + 1} is due"
            raise DecodeError(message)
        self._bytes += len(content)
        if self._bytes > _LONGEST_PIECES_BYTES:
            message = "a rows event in pieces of more than 2 GiB"
            raise DecodeError(message)
        self._pieces.append(content)
        if number < total:
            return None
        event, self._pieces, self._bytes = b"".join(self._pieces), [], 0
        return event
