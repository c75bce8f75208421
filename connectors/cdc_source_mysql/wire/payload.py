"""Large events: the body of a TRANSACTION_PAYLOAD, decompressed as it arrives within a few hundred KiB
whatever its size, and the rows events that MariaDB splits (PARTIAL_ROW_DATA).

A whole transaction is one such payload. Input is asked for before anything is decompressed, never during: the
decompressor can't be interrupted, and the connection may be silent in the middle of the event.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from cdc.errors import DecodeError

# What MySQL writes into the field `compression type`.
ZSTD = 0
UNCOMPRESSED = 255
# Decompressed bytes handed over at once.
OUTPUT_BYTES = 128 * 1024
# What is there before the decompressor is asked: a zstd block has up to 128 KiB, and Arrow reads its input in
# pieces of 64 KiB ahead of need.
INPUT_BYTES = 512 * 1024
# Up to this size a transaction is decompressed at once; a set has a few times as much.
_SMALL_BYTES = 1 << 20
_CODEC = pa.Codec("zstd")


class Body:
    """The compressed bytes that have arrived: a file for Arrow."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self.available = 0
        self.closed = False

    def add(self, data: bytes | memoryview) -> None:
        self._pieces.append(memoryview(data))
        self.available += len(data)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        wanted = self.available if size < 0 else min(size, self.available)
        self.available -= wanted
        taken: list[memoryview] = []
        while wanted:
            piece = self._pieces.popleft()
            if len(piece) > wanted:
                self._pieces.appendleft(piece[wanted:])
                piece = piece[:wanted]
            taken.append(piece)
            wanted -= len(piece)
        return b"".join(taken)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


class Payload:
    """One event's body. `missing` is what is still to be added of it."""

    def __init__(self, compression: int, compressed_bytes: int, uncompressed_bytes: int, place: str) -> None:
        if compression not in (ZSTD, UNCOMPRESSED):
            raise DecodeError(
                f"the transaction is compressed by method {compression}: expected 0 (zstd) or 255 (none)",
                where=place,
                remedy="Update the daemon; nothing of this transaction was read.",
            )
        self._body = Body()
        self._place = place
        self.missing = compressed_bytes
        self._promised = uncompressed_bytes
        self._given = 0
        self._stream: Any = None
        if compression == ZSTD:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._body, mode="r"), "zstd")

    @property
    def finished(self) -> bool:
        """Whether everything that the event promised has been given."""
        return self._given >= self._promised and self.missing == 0

    @property
    def is_hungry(self) -> bool:
        """Whether more must be added before the next `read`."""
        return self.missing > 0 and self._body.available < INPUT_BYTES

    def add(self, data: bytes | memoryview) -> None:
        """The next compressed bytes, in order."""
        if len(data) > self.missing:
            raise DecodeError("a compressed transaction has more bytes than it promised", where=self._place)
        self.missing -= len(data)
        self._body.add(data)

    def read(self) -> bytes:
        """The next decompressed bytes; only when not hungry and not finished.

        Raises:
            DecodeError: the bytes are not what the event promised.
        """
        wanted = min(OUTPUT_BYTES, self._promised - self._given)
        if wanted == 0:
            # Only the end mark of the compressed frame is left.
            self._body.read()
            return b""
        try:
            data: bytes = self._body.read(wanted) if self._stream is None else self._stream.read(wanted)
        except (OSError, pa.ArrowException) as error:
            raise DecodeError("a compressed transaction cannot be decompressed", where=self._place) from error
        if len(data) < wanted and (self.missing == 0 or not data):
            raise DecodeError("a compressed transaction is shorter than it promised", where=self._place)
        self._given += len(data)
        return data


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


# Position and total, then flags; 1: the original size follows.
_PIECE = struct.Struct("<IIB")
_HAS_SIZE = 1
_LONGEST_PIECES_BYTES = 1 << 31


class RowPieces:
    """Joins the pieces of one rows event (PARTIAL_ROW_DATA) at a time."""

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
