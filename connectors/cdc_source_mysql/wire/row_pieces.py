"""Rows events that MariaDB splits: PARTIAL_ROW_DATA."""

from __future__ import annotations

import struct

from cdc.errors import DecodeError

# Position and total, then flags; 1: the original size follows.
_PIECE = struct.Struct("<IIB")
_HAS_SIZE = 1
_LONGEST_PIECES_BYTES = 1 << 31


class RowPieces:
    """Joins the pieces of one rows event at a time."""

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
