"""The last bytes of a batch frame: what a local segment says of the batch before them.

Schema frames are addressed by their byte in the same segment: a reader finds them without an index.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_TRAILER = struct.Struct("<QQQQ")
TRAILER_BYTES = _TRAILER.size


@dataclass(frozen=True, slots=True)
class BatchTrailer:
    """Where the schema frame begins, and the offset that the batch's ordinals are counted from."""

    schema_at: int
    base: int
    row_count: int
    byte_count: int


def encode_trailer(trailer: BatchTrailer) -> bytes:
    return _TRAILER.pack(trailer.schema_at, trailer.base, trailer.row_count, trailer.byte_count)


def split_trailer(frame: memoryview) -> tuple[memoryview, BatchTrailer]:
    """The batch of a batch frame's body, and its trailer."""
    at = len(frame) - TRAILER_BYTES
    return frame[:at], BatchTrailer(*_TRAILER.unpack_from(frame, at))
