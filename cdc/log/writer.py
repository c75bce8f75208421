"""Write the newest segment: the transaction that callers hold, the parts already written with what they add
up to, their frames, and one sync per commit.

Only bytes beyond the newest commit are ever cut or written again, and readers never look there. `Pending` is
frozen, so a part that could not be written leaves nothing behind: the log keeps the earlier value and cuts
the file to it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from cdc.errors import LogCorrupt, LogFull
from cdc.files import NO_ROOM, write_atomically, write_chunks
from cdc.log.arrow import EncodedBatch, encode_batch, encode_schema
from cdc.log.buffers import Buffers
from cdc.log.frame import (
    PREAMBLE_BYTES,
    BatchTrailer,
    CommitRecord,
    FrameKind,
    HeaderRecord,
    Preamble,
    checksum,
    encode_commit,
    encode_frame_header,
    encode_header,
    encode_preamble,
    encode_trailer,
)
from cdc.log.scan import StoredSchema
from cdc.log.segment import Segment, restore, segment_name
from cdc.model import Audience, ChangeSet, Commit, Position, TableId, TableSchema
from cdc.model.batch import EVERYONE
from cdc.spi.log import EncodedChanges, LogTransaction


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
        """Return whether the file has bytes after `position`, including those of a partly written frame."""
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
    """Return whether waiting for space may help."""
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
    """Return the error of a write or sync that the disk refused. The next transaction re-reads the log."""
    name = errno.errorcode.get(error.errno or 0, "unknown")
    message = f"the disk refused to write the log ({name}), so the copy in memory cannot be trusted"
    return LogCorrupt(
        message,
        where=str(path),
        remedy="Check the disk (dmesg). The daemon re-reads the log every minute, and continues after the "
        "newest commit once the disk accepts writes.",
    )


def lost(path: Path) -> LogCorrupt:
    """Return the error of a disk that, after a refused write, lacks bytes that it had confirmed."""
    return LogCorrupt(
        "the disk has lost commits that it had confirmed", where=str(path), remedy=restore(path)
    )


def _add_frame(chunks: list[bytes], preamble: Preamble, at: int, kind: FrameKind, body: bytes) -> int:
    head = encode_frame_header(preamble, at, kind, len(body), checksum(body))
    chunks += [head, body]
    return at + len(head) + len(body)


def encode_changes(changes: ChangeSet) -> EncodedChanges:
    """See `LogWriter.encode`."""
    return EncodedChanges(changes, [encode_batch(batch, changes.changes) for batch in changes.batches])


@dataclass(frozen=True, slots=True)
class Writes:
    """Operations of an open transaction on its log."""

    write: Callable[[ChangeSet, Sequence[EncodedBatch]], None]
    commit: Callable[[Position, Mapping[str, str | None]], Commit]
    end: Callable[[Transaction], None]


class Transaction:
    """Implements `cdc.spi.log.LogTransaction` on local disk; made by `SegmentedLog.begin`."""

    def __init__(self, writes: Writes, buffers: Buffers | None) -> None:
        self._writes = writes
        self._buffers = buffers
        self._touched: dict[int, LogTransaction] = {}
        self._dropped: set[int] = set()
        self._commit_at: datetime | None = None
        self._is_over = self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, changes: ChangeSet | EncodedChanges) -> None:
        self._check_open()
        encoded = changes if isinstance(changes, EncodedChanges) else encode_changes(changes)
        self._commit_at = encoded.changes.commit_at or self._commit_at
        self._writes.write(encoded.changes, encoded.batches)

    def buffer(self, number: int, changes: ChangeSet) -> None:
        self._check_open()
        if number not in self._touched:
            self._touched[number] = self._buffers_of_log().begin(number)
        self._commit_at = changes.commit_at or self._commit_at
        self._touched[number].append(changes)

    def drop(self, number: int) -> None:
        self._check_open()
        self._buffers_of_log()
        self._dropped.add(number)

    def commit(self, position: Position, metadata: Mapping[str, str | None] | None = None) -> Commit:
        self._check_open()
        self._is_over = True
        changed = dict(metadata or {})
        if self._touched or self._dropped:
            changed |= self._buffers_of_log().commit(self._touched, self._dropped, position, self._commit_at)
        commit = self._writes.commit(position, changed)
        if self._dropped:
            self._buffers_of_log().remove(self._dropped)
        return commit

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_over = self._is_closed = True
        for transaction in self._touched.values():
            transaction.close()
        self._writes.end(self)

    def _check_open(self) -> None:
        if self._is_over:
            message = "the transaction is committed or closed"
            raise ValueError(message)

    def _buffers_of_log(self) -> Buffers:
        if self._buffers is None:
            message = "this log has no place for buffers"
            raise ValueError(message)
        return self._buffers


@dataclass(frozen=True, slots=True)
class Pending:
    """The parts so far: offsets `first` to `next`, bytes `group_at` to `end` of the newest segment."""

    first: int
    next: int
    group_at: int
    end: int
    row_count: int = 0
    byte_count: int = 0
    transactions: int = 0
    commit_at: datetime | None = None
    schemas: Mapping[TableId, StoredSchema] = field(default_factory=dict)
    audience: Audience | None = None

    def commit(self, position: Position, written_at: datetime) -> Commit:
        return Commit(
            first=self.first,
            next=self.next,
            position=position,
            commit_at=self.commit_at,
            written_at=written_at,
            row_count=self.row_count,
            byte_count=self.byte_count,
            transactions=self.transactions,
            audience=self.audience or EVERYONE,
        )


def write_part(
    writer: SegmentWriter,
    pending: Pending,
    changes: ChangeSet,
    batches: Sequence[EncodedBatch],
    known: Mapping[TableId, StoredSchema],
) -> Pending:
    """Write a set's frames (schemas before their first use) and return the extended commit."""
    schemas = dict(pending.schemas)
    audience = pending.audience
    for batch in batches:
        table = batch.schema.table
        stored = schemas.get(table) or known.get(table)
        if stored is None or not stored.schema.covers(batch.schema):
            stored = _write_schema(writer, batch.schema, stored)
            schemas[table] = stored
        audience = batch.audience if audience is None else audience | batch.audience
        trailer = encode_trailer(BatchTrailer(stored.at, pending.next, batch.row_count, batch.byte_count))
        writer.add(FrameKind.BATCH, [*batch.body, trailer], checksum(trailer, start=batch.crc))
    return replace(
        pending,
        next=pending.next + changes.changes,
        end=writer.position,
        row_count=pending.row_count + sum(batch.row_count for batch in batches),
        byte_count=pending.byte_count + sum(batch.byte_count for batch in batches),
        transactions=pending.transactions + changes.transactions,
        commit_at=changes.commit_at or pending.commit_at,
        schemas=schemas,
        audience=audience,
    )


def write_commit(
    writer: SegmentWriter, pending: Pending, commit: Commit, metadata: Mapping[str, str | None]
) -> None:
    """Write the commit frame and make all of it durable."""
    record = CommitRecord(commit, pending.group_at, synced=pending.group_at, metadata=metadata)
    writer.add_body(FrameKind.COMMIT, encode_commit(record))
    writer.sync()


def _write_schema(writer: SegmentWriter, schema: TableSchema, earlier: StoredSchema | None) -> StoredSchema:
    numbered = schema.with_version(earlier.schema.version + 1 if earlier else 1)
    return StoredSchema(numbered, writer.add_body(FrameKind.SCHEMA, encode_schema(numbered)))
