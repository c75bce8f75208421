"""The frame, the unit of every segment. Pure conversion between bytes and fields, no I/O.

The header's checksum is salted with the log's identity, the segment's number and the frame's own place, so
a frame copied, moved or left over from elsewhere never counts as valid. The body's checksum stands in the
header, so a reader may trust a length without reading the body. `docs/log-format.md` gives every byte.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

FORMAT_VERSION = 1
SEGMENT_MAGIC = b"CDCLOG\r\n"  # The line end shows a transfer that "corrected" it.
FRAME_MAGIC = b"\x8aFR\n"  # Not valid UTF-8, so rare in data; recovery searches for it.

_PREAMBLE = struct.Struct("<8sI16sQ")
_FRAME = struct.Struct("<4sB3xQI")
_SALT = struct.Struct("<16sQQ")
_CRC = struct.Struct("<I")

PREAMBLE_BYTES = _PREAMBLE.size + _CRC.size
FRAME_BYTES = _FRAME.size + _CRC.size


class FrameKind(IntEnum):
    """What a frame's body is."""

    HEADER = 1
    SCHEMA = 2
    BATCH = 3
    COMMIT = 4
    INDEX = 5


@dataclass(frozen=True, slots=True)
class Preamble:
    """The first bytes of a segment: which log it belongs to and its place in it."""

    version: int
    log_id: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's header and its place in the file."""

    at: int
    kind: int
    length: int
    body_crc: int

    @property
    def body_at(self) -> int:
        return self.at + FRAME_BYTES

    @property
    def end(self) -> int:
        return self.body_at + self.length


def encode_preamble(log_id: bytes, number: int, version: int = FORMAT_VERSION) -> bytes:
    """Return the first bytes of segment `number` of that log."""
    head = _PREAMBLE.pack(SEGMENT_MAGIC, version, log_id, number)
    return head + _CRC.pack(zlib.crc32(head))


def decode_preamble(data: bytes) -> Preamble | None:
    """Return the preamble, of any format version; None if these bytes are not a preamble."""
    if len(data) < PREAMBLE_BYTES:
        return None
    magic, version, log_id, number = _PREAMBLE.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _PREAMBLE.size)
    if magic != SEGMENT_MAGIC or crc != zlib.crc32(data[: _PREAMBLE.size]):
        return None
    return Preamble(version, log_id, number)


def encode_frame_header(preamble: Preamble, at: int, kind: FrameKind, length: int, body_crc: int) -> bytes:
    """Return the header of a frame that begins at byte `at` of that segment."""
    head = _FRAME.pack(FRAME_MAGIC, kind, length, body_crc)
    return head + _CRC.pack(zlib.crc32(head, _salt(preamble, at)))


def decode_frame_header(preamble: Preamble, at: int, data: bytes | memoryview) -> Frame | None:
    """Return the frame that begins at byte `at`; None if these bytes are not a frame, or belong to another
    place.
    """
    if len(data) < FRAME_BYTES or data[:4] != FRAME_MAGIC:
        return None
    _, kind, length, body_crc = _FRAME.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _FRAME.size)
    if crc != zlib.crc32(data[: _FRAME.size], _salt(preamble, at)):
        return None
    return Frame(at, kind, length, body_crc)


def checksum(*chunks: bytes | memoryview, start: int = 0) -> int:
    """Return the CRC-32 of the chunks in order, continued from `start`."""
    for chunk in chunks:
        start = zlib.crc32(chunk, start)
    return start


def _salt(preamble: Preamble, at: int) -> int:
    return zlib.crc32(_SALT.pack(preamble.log_id, preamble.number, at))
