"""One commit in the making: the transaction that callers hold, and the parts already written to the newest
segment with what they add up to.

`Pending` is frozen, so a part that could not be written leaves nothing behind: the log keeps the earlier
value and cuts the file to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from cdc.log.arrow import EncodedBatch, encode_batch, encode_schema
from cdc.log.buffers import Buffers
from cdc.log.frame import FrameKind, checksum
from cdc.log.records import CommitRecord, encode_commit
from cdc.log.scan import StoredSchema
from cdc.log.trailer import BatchTrailer, encode_trailer
from cdc.log.writer import SegmentWriter
from cdc.model import Audience, ChangeSet, Commit, Position, TableId, TableSchema
from cdc.model.batch import EVERYONE
from cdc.spi.log import LogTransaction


@dataclass(frozen=True, slots=True)
class Writes:
    """What a transaction may do to its log, as long as it is open."""

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

    def append(self, changes: ChangeSet) -> None:
        self._check_open()
        self._commit_at = changes.commit_at or self._commit_at
        self._writes.write(changes, [encode_batch(batch, changes.changes) for batch in changes.batches])

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
        if self._buffers is not None:
            changed |= self._buffers.commit(self._touched, self._dropped, position, self._commit_at)
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
        if stored is None or not stored.schema.tells(batch.schema):
            stored = _write_schema(writer, batch.schema, stored)
            schemas[table] = stored
        audience = batch.audience if audience is None else audience | batch.audience
        trailer = encode_trailer(BatchTrailer(stored.at, pending.next, batch.row_count, batch.byte_count))
        writer.add(FrameKind.BATCH, [batch.body, trailer], checksum(trailer, start=batch.crc))
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
