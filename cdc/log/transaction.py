"""One commit in the making: parts already written to the newest segment and what they add up to.

Frozen, so a part that could not be written leaves nothing behind: the log keeps the earlier value and cuts
the file to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cdc.log.arrow import BatchTrailer, EncodedBatch, encode_schema, encode_trailer
from cdc.log.frame import FrameKind, checksum
from cdc.log.records import CommitRecord, encode_commit
from cdc.log.scan import StoredSchema
from cdc.log.writer import SegmentWriter
from cdc.model import Audience, ChangeSet, Commit, Position, TableId, TableSchema
from cdc.model.audience import EVERYONE


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
    facts: Mapping[str, str | None] = field(default_factory=dict)
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
    facts: Mapping[str, str | None],
) -> Pending:
    """Write a set's frames (schemas before their first use) and give what the commit has become."""
    schemas = dict(pending.schemas)
    audience = pending.audience
    for batch in batches:
        table = batch.schema.table
        stored = schemas.get(table) or known.get(table)
        if stored is None or not stored.schema.same_shape(batch.schema):
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
        facts={**pending.facts, **facts},
        schemas=schemas,
        audience=audience,
    )


def write_commit(writer: SegmentWriter, pending: Pending, commit: Commit) -> None:
    """Write the commit frame and make all of it durable."""
    record = CommitRecord(commit, pending.group_at, synced=pending.group_at, facts=pending.facts)
    writer.add_body(FrameKind.COMMIT, encode_commit(record))
    writer.sync()


def _write_schema(writer: SegmentWriter, schema: TableSchema, earlier: StoredSchema | None) -> StoredSchema:
    numbered = schema.with_version(earlier.schema.version + 1 if earlier else 1)
    return StoredSchema(numbered, writer.add_body(FrameKind.SCHEMA, encode_schema(numbered)))
