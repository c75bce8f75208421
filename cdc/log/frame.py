"""The frame, the unit of every segment, and the small bodies in it. Pure conversion between bytes and fields,
no I/O.

The header's checksum is salted with the log's identity, the segment's number and the frame's own place, so a
frame copied, moved or left over from elsewhere never counts as valid. The body's checksum is in the
header, so a reader may trust a length without reading the body. `docs/log-format.md` gives every byte.

Bodies of header, commit and index frames are JSON: integers that may pass 64 bits (a position's order) are
decimal text; times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

import orjson

from cdc.model import Audience, Commit, Position
from cdc.model.position import from_microseconds, to_microseconds

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
    """Kind of a frame's body."""

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


_TRAILER = struct.Struct("<QQQQ")
TRAILER_BYTES = _TRAILER.size


@dataclass(frozen=True, slots=True)
class BatchTrailer:
    """The last bytes of a batch frame: where its schema frame begins in the same segment, so that a reader
    finds it without an index, and the offset that the batch's ordinals are counted from.
    """

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


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """The body of a commit frame.

    `group_at` is the byte where the first frame of this commit begins. `synced` is the byte up to which the
    segment was known durable when this record was written: damage below it cannot be a torn write.
    """

    commit: Commit
    group_at: int
    synced: int
    metadata: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Previous:
    """Record of the previous segment: enough to open the log from the newest segment alone."""

    number: int
    byte_count: int
    commit: Commit | None


@dataclass(frozen=True, slots=True)
class HeaderRecord:
    """The body of a segment's header frame; `schema_count` schema frames follow it."""

    first: int
    created_at: datetime
    metadata: Mapping[str, str]
    schema_count: int
    previous: Previous | None


def encode_commit(record: CommitRecord) -> bytes:
    body = {
        "commit": commit_to_json(record.commit),
        "group_at": record.group_at,
        "synced": record.synced,
        "facts": dict(record.metadata),
    }
    return orjson.dumps(body)


def decode_commit(body: bytes | memoryview) -> CommitRecord:
    value = orjson.loads(body)
    return CommitRecord(commit_from_json(value["commit"]), value["group_at"], value["synced"], value["facts"])


def encode_header(record: HeaderRecord) -> bytes:
    previous = record.previous
    body = {
        "first": record.first,
        "created_at": to_microseconds(record.created_at),
        "facts": dict(record.metadata),
        "schemas": record.schema_count,
        "previous": None
        if previous is None
        else {
            "number": previous.number,
            "bytes": previous.byte_count,
            "commit": optional_commit_to_json(previous.commit),
        },
    }
    return orjson.dumps(body)


def decode_header(body: bytes | memoryview) -> HeaderRecord:
    value = orjson.loads(body)
    last = value["previous"]
    previous = last and Previous(last["number"], last["bytes"], optional_commit_from_json(last["commit"]))
    return HeaderRecord(
        first=value["first"],
        created_at=from_microseconds(value["created_at"]),
        metadata=value["facts"],
        schema_count=value["schemas"],
        previous=previous,
    )


def commit_to_json(commit: Commit) -> dict[str, Any]:
    audience = commit.audience.to_json()
    return {
        "first": commit.first,
        "next": commit.next,
        "order": str(commit.position.order),
        "position": commit.position.text,
        "commit_at": None if commit.commit_at is None else to_microseconds(commit.commit_at),
        "written_at": to_microseconds(commit.written_at),
        "rows": commit.row_count,
        "bytes": commit.byte_count,
        "transactions": commit.transactions,
    } | ({"audience": audience} if audience else {})


def commit_from_json(value: Mapping[str, Any]) -> Commit:
    at = value["commit_at"]
    return Commit(
        first=value["first"],
        next=value["next"],
        position=Position(int(value["order"]), value["position"]),
        commit_at=None if at is None else from_microseconds(at),
        written_at=from_microseconds(value["written_at"]),
        row_count=value["rows"],
        byte_count=value["bytes"],
        transactions=value["transactions"],
        audience=Audience.from_json(value.get("audience")),
    )


def optional_commit_to_json(commit: Commit | None) -> dict[str, Any] | None:
    return None if commit is None else commit_to_json(commit)


def optional_commit_from_json(value: Mapping[str, Any] | None) -> Commit | None:
    return None if value is None else commit_from_json(value)
