"""pgoutput into Arrow.

One source for both implementations: `stream_native` is compiled from it, with the types in
`stream_native.pxd`. Every tuple is split and checked whole before any of its values is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.record_batches import CREATE, DELETE, TRUNCATE, UPDATE, Count, TableShape, locate
from cdc_source_postgres.schema.type_plan import ColumnPlan
from cdc_source_postgres.wire.calendar import EPOCH_MICROSECONDS, INT64_MAX
from cdc_source_postgres.wire.codes import (
    ENDED,
    FULL,
    KEEPALIVE,
    MESSAGE,
    PART,
    ROW_OVERHEAD_BYTES,
    WOULD_BLOCK,
    XLOG_HEADER_BYTES,
)
from cdc_source_postgres.wire.messages import lsn_text

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.batch_builder import BatchBuilder, TableRows
    from cdc.native.cursor_python import Reader
    from cdc_source_postgres.wire.fields_python import make_field
    from cdc_source_postgres.wire.frames_python import Frames
    from cdc_source_postgres.wire.row_python import Row, append_nulls

OLD_KEY, OLD_ROW, NEW = b"KON"
BEGIN, COMMIT, INSERT, UPDATED, DELETED = b"BCIUD"
WAL_DATA, KEEPALIVE_FRAME = b"wk"


class Table(TableRows):
    """The rows of one table since the last take; `new` and `old` are the images of the current row."""

    def __init__(self, shape: TableShape) -> None:
        TableRows.__init__(self, shape)
        self.key = shape.key
        self.key_set = frozenset(shape.key)
        self.new = Row(self.width)
        self.old = Row(self.width)

    def make_fields(self) -> list[Any]:
        return [make_field(p.codec, r) for p, r in zip(self.shape.plans, self.shape.policies, strict=True)]


class PgoutputDecoder:
    """See `cdc_source_postgres.wire.decoder.Pgoutput`."""

    def __init__(self, unrepresentable: str, count: Count) -> None:
        self.unrepresentable = unrepresentable
        self.tables: dict[int, Table | None] = {}
        self.builder = BatchBuilder(count)
        self.reader = Reader()
        self.changes = 0
        self.byte_count = 0
        self.transactions = 0
        self.in_transaction = False
        self.end_lsn = 0
        self.commit_ts_us: int | None = None
        self.received_lsn = 0
        # Of the last Begin; `number` counts them.
        self.number = 0
        self.xid = 0
        self.commit_lsn = 0
        self.commit_at = 0
        # The relation of the last change: changes come in runs.
        self.last_relid = -1
        self.last_table: Table | None = None
        # The current table, for errors.
        self.place: Table | None = None

    def set_relation(
        self,
        relid: int,
        schema_name: str,
        table_name: str,
        plans: Sequence[ColumnPlan] | None,
        key: Sequence[int],
        identity: str,
    ) -> None:
        table = None
        if plans is not None:
            name = f"{schema_name}.{table_name}"
            table = Table(TableShape(relid, name, plans, key, identity, self.unrepresentable))
        former = self.tables.get(relid)
        if former is not None:
            self.builder.set_aside(former)
        self.tables[relid] = table
        self.last_relid = -1

    def knows(self, relid: int) -> bool:
        return relid in self.tables

    def drain(self, frames: Frames, soft_bytes: int, hard_bytes: int) -> tuple[int, bytes | None]:
        reader = self.reader
        while True:
            length = frames.next(reader)
            if length <= 0:
                return (WOULD_BLOCK if length == 0 else ENDED), None
            tag = self.read_frame(reader)
            if tag == KEEPALIVE_FRAME:
                return KEEPALIVE, reader.slice(0, length)
            if tag:
                return MESSAGE, reader.slice(XLOG_HEADER_BYTES, length)
            if self.byte_count >= (hard_bytes if self.in_transaction else soft_bytes):
                # A wide row must not be held beside its columns while they are written.
                frames.release()
                return (PART if self.in_transaction else FULL), None

    def read_frame(self, reader: Reader) -> int:
        """One CopyData: 0 when consumed, k for a keepalive, else the tag of the message inside."""
        try:
            tag = reader.u8()
            if tag == WAL_DATA:
                reader.skip(8)
            elif tag != KEEPALIVE_FRAME:
                message = f"a frame of kind {tag} in the replication stream"
                raise DecodeError(message)
            self.note_received(reader.u64())
            reader.skip(8)
            return tag if tag == KEEPALIVE_FRAME else self.read_message(reader)
        except CdcError as error:
            raise self.located(error) from None

    def note_received(self, lsn: int) -> int:
        if lsn > self.received_lsn:  # noqa: PLR1730  (compared in C)
            self.received_lsn = lsn
        return 0

    def feed(self, payload: bytes | memoryview) -> int:
        reader = self.reader
        reader.open(payload)
        try:
            return self.read_message(reader)
        except CdcError as error:
            raise self.located(error) from None
        finally:
            reader.close()

    def located(self, error: CdcError) -> CdcError:
        position = lsn_text(self.commit_lsn) if self.in_transaction else ""
        if self.place is not None:
            column = max(self.place.new.column, self.place.old.column)
            return locate(error, self.place.shape.place(column, position))
        return locate(error, f"commit {position}" if position else "the replication stream")

    def read_message(self, reader: Reader) -> int:
        """0 when consumed, else the tag of a message for the caller."""
        self.place = None
        tag = reader.u8()
        if tag == INSERT:
            return self.read_insert(reader)
        if tag == UPDATED:
            return self.read_update(reader)
        if tag == DELETED:
            return self.read_delete(reader)
        if tag == BEGIN:
            return self.read_begin(reader)
        if tag == COMMIT:
            return self.read_commit(reader)
        return tag

    def read_begin(self, reader: Reader) -> int:
        if self.in_transaction:
            message = "a Begin inside a transaction"
            raise DecodeError(message)
        commit_lsn, commit_ts, xid = reader.u64(), reader.i64(), reader.u32()
        reader.finish()
        self.commit_at = from_1970(commit_ts)
        self.commit_lsn = commit_lsn
        self.xid = xid
        self.number += 1
        self.in_transaction = True
        return 0

    def read_commit(self, reader: Reader) -> int:
        self.require_transaction()
        reader.skip(1)
        commit_lsn, end_lsn, commit_ts = reader.u64(), reader.u64(), reader.i64()
        reader.finish()
        if commit_lsn != self.commit_lsn:
            message = f"a Commit of {lsn_text(commit_lsn)}, which is not the transaction begun"
            raise DecodeError(message)
        self.commit_ts_us = from_1970(commit_ts)
        self.in_transaction = False
        self.end_lsn = end_lsn
        self.note_received(end_lsn)
        self.transactions += 1
        return 0

    def require_transaction(self) -> int:
        if not self.in_transaction:
            message = "a change or a Commit outside of a transaction"
            raise DecodeError(message)
        return 0

    def table_of(self, relid: int) -> Table | None:
        """The relation's table, None when it is left out."""
        self.require_transaction()
        if relid != self.last_relid:
            try:
                self.last_table = self.tables[relid]
            except KeyError:
                message = f"a change of relation {relid}, which was never described"
                raise DecodeError(message) from None
            self.last_relid = relid
        self.place = self.last_table
        return self.last_table

    def read_insert(self, reader: Reader) -> int:
        total = reader.remaining()
        table = self.table_of(reader.u32())
        if table is None:
            return 0
        expect_new(reader)
        table.new.split(reader)
        reader.finish()
        return self.append(table, CREATE, table.new, total)

    def read_update(self, reader: Reader) -> int:
        total = reader.remaining()
        table = self.table_of(reader.u32())
        if table is None:
            return 0
        tag = reader.u8()
        if tag in (OLD_KEY, OLD_ROW):
            table.old.split(reader)
            expect_new(reader)
        elif tag != NEW:
            raise_unexpected(tag)
        table.new.split(reader)
        reader.finish()
        if tag != NEW:
            # The old image is kept if it is full or its key differs.
            has_before = tag == OLD_ROW or table.new.differs(table.old, table.key)
            table.new.fill(table.old, table.key_set if tag == OLD_KEY else None)
            if has_before:
                table.begin_before()
                table.old.append(table.old_columns)
        return self.append(table, UPDATE, table.new, total)

    def read_delete(self, reader: Reader) -> int:
        total = reader.remaining()
        table = self.table_of(reader.u32())
        if table is None:
            return 0
        tag = reader.u8()
        if tag not in (OLD_KEY, OLD_ROW):
            raise_unexpected(tag)
        table.old.split(reader)
        reader.finish()
        if tag == OLD_KEY:
            table.old.forget_nulls(table.key_set)
        return self.append(table, DELETE, table.old, total)

    def append(self, table: Table, op: int, row: Row, total: int) -> int:
        self.begin_row(table, op)
        if row.has_unchanged:
            table.mark_unchanged(row.unchanged())
        row.append(table.columns)
        self.byte_count += total + ROW_OVERHEAD_BYTES
        return 0

    def begin_row(self, table: Table, op: int) -> int:
        if table.last_transaction != self.number:
            table.last_transaction = self.number
            table.transactions.append(str(self.xid))
            table.positions.append(lsn_text(self.commit_lsn))
        if table.ops.length == 0:
            self.builder.touched.append(table)
        table.append_envelope(op, self.changes, self.commit_at)
        self.changes += 1
        return 0

    def truncate(self, relids: Sequence[int]) -> None:
        self.place = None
        for relid in relids:
            try:
                table = self.table_of(relid)
            except CdcError as error:
                raise self.located(error) from None
            if table is None:
                continue
            self.begin_row(table, TRUNCATE)
            append_nulls(table.columns)
            self.byte_count += ROW_OVERHEAD_BYTES

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self.changes = self.byte_count = self.transactions = 0
        return self.builder.take()


def from_1970(microseconds: int) -> int:
    if microseconds > INT64_MAX - EPOCH_MICROSECONDS:
        message = "a commit time out of range"
        raise DecodeError(message)
    return microseconds + EPOCH_MICROSECONDS


def expect_new(reader: Reader) -> int:
    tag = reader.u8()
    return 0 if tag == NEW else raise_unexpected(tag)


def raise_unexpected(tag: int) -> NoReturn:
    message = f"an unexpected kind of tuple ({tag})"
    raise DecodeError(message)
