"""Writes the newest segment: frames at its end, then one sync per commit.

Only bytes beyond the newest commit are ever cut or written again, and readers never look there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from cdc.errors import LogCorrupt, LogFull
from cdc.files import NO_ROOM, write_atomically, write_chunks
from cdc.log.arrow import encode_schema
from cdc.log.frame import (
    PREAMBLE_BYTES,
    FrameKind,
    Preamble,
    checksum,
    encode_frame_header,
    encode_preamble,
)
from cdc.log.records import HeaderRecord, encode_header
from cdc.log.scan import StoredSchema
from cdc.log.segment import Segment, segment_name
from cdc.model import TableId, TableSchema


class SegmentWriter:
    """The newest segment, open for writing. `position` is the byte where the next frame goes. Closed by the
    log.
    """

    def __init__(self, path: Path, preamble: Preamble, position: int) -> None:
        self.path = path
        self.preamble = preamble
        self.position = position
        self.sync_failed = False
        # A frame at `position` may be there in part.
        self._is_torn = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def add(self, kind: FrameKind, chunks: Sequence[bytes | memoryview], body_crc: int) -> int:
        """Write one frame and return the byte where it begins. On OSError, `position` does not change."""
        at = self.position
        self._is_torn = True
        length = sum(len(chunk) for chunk in chunks)
        header = encode_frame_header(self.preamble, at, kind, length, body_crc)
        self.position = at + write_chunks(self._descriptor, [header, *chunks], at)
        self._is_torn = False
        return at

    def add_body(self, kind: FrameKind, body: bytes) -> int:
        """`add` for a small body."""
        return self.add(kind, [body], checksum(body))

    def sync(self) -> None:
        """Make all added frames durable. After an OSError it is unknown which are."""
        self.sync_failed = True
        os.fdatasync(self._descriptor)
        self.sync_failed = False

    def is_beyond(self, position: int) -> bool:
        """Whether the file has bytes after `position`, including those of a partly written frame."""
        return self.position > position or self._is_torn

    def cut(self, position: int) -> None:
        """Cut the file at `position`."""
        os.ftruncate(self._descriptor, position)
        self.position = position
        self._is_torn = False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def create_segment(
    folder: Path,
    preamble: Preamble,
    header: HeaderRecord,
    schemas: Sequence[TableSchema],
) -> tuple[Segment, dict[TableId, StoredSchema]]:
    """Make a segment with its head, durable under its name on return; and where each schema's frame begins
    in it.
    """
    chunks = [encode_preamble(preamble.log_id, preamble.number)]
    at = PREAMBLE_BYTES
    at = _add_frame(chunks, preamble, at, FrameKind.HEADER, encode_header(header))
    stored: dict[TableId, StoredSchema] = {}
    for schema in schemas:
        stored[schema.table] = StoredSchema(schema, at)
        at = _add_frame(chunks, preamble, at, FrameKind.SCHEMA, encode_schema(schema))
    path = folder / segment_name(preamble.number, header.first)
    write_atomically(path, chunks)
    return Segment(path, preamble.number, header.first, header.first, at), stored


def is_no_room(error: OSError) -> bool:
    """Whether waiting for space may help."""
    return error.errno in NO_ROOM


def full(folder: Path, error: OSError) -> LogFull:
    """Return the error of the log for a full disk."""
    name = errno.errorcode.get(error.errno or 0, "unknown")
    message = f"there is no space left for the log ({name})"
    return LogFull(
        message,
        where=str(folder),
        remedy="Free space on this disk, or lower the source's log.retain. Capture resumes automatically.",
    )


def refused(path: Path, error: OSError) -> LogCorrupt:
    """What the log raises when the disk refuses a write or a sync, and from then on for every append."""
    name = errno.errorcode.get(error.errno or 0, "unknown")
    message = f"the disk refused to write the log ({name}), so the copy in memory cannot be trusted"
    return LogCorrupt(
        message,
        where=str(path),
        remedy="Check the disk (dmesg), then restart: the daemon re-reads the log from the disk "
        "and cuts it after its newest complete commit.",
    )


def _add_frame(chunks: list[bytes], preamble: Preamble, at: int, kind: FrameKind, body: bytes) -> int:
    head = encode_frame_header(preamble, at, kind, len(body), checksum(body))
    chunks += [head, body]
    return at + len(head) + len(body)
