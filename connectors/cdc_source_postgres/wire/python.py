"""pgoutput in pure Python: the twin of `native.pyx`, for machines without a compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.cursor_python import Cursor
from cdc.native.gathered import CREATE, DELETE, TRUNCATE, UPDATE, Count, TableShape
from cdc.native.gathering_python import Gathering, TableRows
from cdc.native.refusals import locate
from cdc_source_postgres.messages import lsn_text
from cdc_source_postgres.type_plan import ColumnPlan
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
from cdc_source_postgres.wire.copy_python import CopyDecoder
from cdc_source_postgres.wire.fields_python import Field

__all__ = ["CopyDecoder", "PgoutputDecoder"]

Frames = Callable[[int], tuple[int, memoryview]]
# Kind of a value (n null, u unchanged, t text, b binary) and its bytes.
Value = tuple[int, bytes]

_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"
_OLD_KEY, _OLD_ROW, _NEW = b"KON"
_BEGIN, _COMMIT, _INSERT, _UPDATE, _DELETE = b"BCIUD"
_WAL_DATA, _KEEPALIVE_FRAME = b"wk"


@dataclass(frozen=True, slots=True)
class Transaction:
    """What its Begin says; `commit_at` counts from 1970, `number` from the first one of the stream."""

    number: int = 0
    xid: int = 0
    commit_lsn: int = 0
    commit_at: int = 0

    @property
    def position(self) -> str:
        return lsn_text(self.commit_lsn)


class Table(TableRows[Field]):
    """The rows of one table since the last take."""

    def _make_fields(self) -> list[Field]:
        return [Field(p.codec, r) for p, r in zip(self.shape.plans, self.shape.refusals, strict=True)]


class PgoutputDecoder:
    """See `cdc_source_postgres.wire.decoder.Pgoutput`."""

    def __init__(self, unrepresentable: str, count: Count) -> None:
        self._unrepresentable = unrepresentable
        self._tables: dict[int, Table | None] = {}
        self._gathering: Gathering[Table] = Gathering(count)
        self.changes = 0
        self.byte_count = 0
        self.transactions = 0
        self.in_transaction = False
        self.end_lsn = 0
        self.commit_ts_us: int | None = None
        self.received_lsn = 0
        self._transaction = Transaction()
        self._place: tuple[TableShape, int] | None = None

    @property
    def xid(self) -> int:
        return self._transaction.xid

    @property
    def commit_lsn(self) -> int:
        return self._transaction.commit_lsn

    def set_relation(
        self,
        relid: int,
        schema_name: str,
        table_name: str,
        plans: Sequence[ColumnPlan] | None,
        key: Sequence[int],
        identity: str,
    ) -> None:
        shape = None
        if plans is not None:
            name = f"{schema_name}.{table_name}"
            shape = TableShape(relid, name, plans, key, identity, self._unrepresentable)
        former = self._tables.get(relid)
        if former is not None:
            self._gathering.set_aside(former)
        self._tables[relid] = None if shape is None else Table(shape)

    def knows(self, relid: int) -> bool:
        return relid in self._tables

    def drain(self, get_copy_data: Frames, soft_bytes: int, hard_bytes: int) -> tuple[int, memoryview | None]:
        while True:
            length, frame = get_copy_data(1)
            if length <= 0:
                return (WOULD_BLOCK if length == 0 else ENDED), None
            view = memoryview(frame)
            self._note_received(view)
            if view[0] == _KEEPALIVE_FRAME:
                return KEEPALIVE, view
            payload = view[XLOG_HEADER_BYTES:]
            if self.feed(payload):
                return MESSAGE, payload
            if self.in_transaction:
                if self.byte_count >= hard_bytes:
                    return PART, None
            elif self.byte_count >= soft_bytes:
                return FULL, None

    def _note_received(self, frame: memoryview) -> None:
        cursor = Cursor(frame)
        tag = cursor.u8()
        if tag == _WAL_DATA:
            cursor.skip(8)
        elif tag != _KEEPALIVE_FRAME:
            message = f"a frame of kind {tag} in the replication stream"
            raise DecodeError(message, where=self._transaction_place())
        wal_end = cursor.u64()
        cursor.skip(8)
        self.received_lsn = max(self.received_lsn, wal_end)

    def feed(self, payload: bytes | memoryview) -> int:
        cursor = Cursor(payload)
        self._place = None
        try:
            tag = cursor.u8()
            step = _STEPS.get(tag)
            if step is None:
                return tag
            step(self, cursor)
        except CdcError as error:
            raise locate(error, self._where()) from None
        return 0

    def _where(self) -> str:
        if self._place is None:
            return self._transaction_place()
        shape, column = self._place
        return shape.place(column, self._transaction.position)

    def _transaction_place(self) -> str:
        return f"commit {self._transaction.position}" if self.in_transaction else "the replication stream"

    def truncate(self, relids: Sequence[int]) -> None:
        for relid in relids:
            try:
                table = self._table(relid)
            except DecodeError as error:
                raise locate(error, self._transaction_place()) from None
            if table is None:
                continue
            self._begin_row(table, TRUNCATE)
            table.append_nulls()
            self.byte_count += ROW_OVERHEAD_BYTES

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self.changes = self.byte_count = self.transactions = 0
        return self._gathering.take()

    def begin(self, cursor: Cursor) -> None:
        if self.in_transaction:
            message = "a Begin inside a transaction"
            raise DecodeError(message)
        commit_lsn, commit_ts, xid = cursor.u64(), cursor.i64(), cursor.u32()
        cursor.finish()
        number = self._transaction.number + 1
        self._transaction = Transaction(number, xid, commit_lsn, _from_1970(commit_ts))
        self.in_transaction = True

    def commit(self, cursor: Cursor) -> None:
        self._require_transaction()
        _, commit_lsn, end_lsn, commit_ts = cursor.u8(), cursor.u64(), cursor.u64(), cursor.i64()
        cursor.finish()
        if commit_lsn != self._transaction.commit_lsn:
            message = f"a Commit of {lsn_text(commit_lsn)}, which is not the transaction begun"
            raise DecodeError(message)
        self.commit_ts_us = _from_1970(commit_ts)
        self.in_transaction = False
        self.end_lsn = end_lsn
        self.received_lsn = max(self.received_lsn, end_lsn)
        self.transactions += 1

    def _require_transaction(self) -> None:
        if not self.in_transaction:
            message = "a change or a Commit outside of a transaction"
            raise DecodeError(message)

    def _table(self, relid: int) -> Table | None:
        self._require_transaction()
        try:
            table = self._tables[relid]
        except KeyError:
            message = f"a change of relation {relid}, which was never described"
            raise DecodeError(message) from None
        if table is not None:
            self._place = (table.shape, -1)
        return table

    def insert(self, cursor: Cursor) -> None:
        total = cursor.left
        table = self._table(cursor.u32())
        if table is None:
            return
        _expect(cursor, _NEW)
        new = _tuple(cursor, len(table.columns))
        cursor.finish()
        self._append(table, CREATE, new, total)

    def update(self, cursor: Cursor) -> None:
        total = cursor.left
        table = self._table(cursor.u32())
        if table is None:
            return
        tag = cursor.u8()
        old: list[Value] | None = None
        if tag in {_OLD_KEY, _OLD_ROW}:
            old = _tuple(cursor, len(table.columns))
            _expect(cursor, _NEW)
        elif tag != _NEW:
            raise _unexpected(tag)
        new = _tuple(cursor, len(table.columns))
        cursor.finish()
        if old is not None:
            is_key = tag == _OLD_KEY
            has_before = not is_key or _key_changed(table.shape.key, old, new)
            known = table.shape.key if is_key else range(len(new))
            for i in known:
                if new[i][0] == _UNCHANGED:
                    new[i] = old[i]
            if has_before:
                self._append_before(table, old)
        self._append(table, UPDATE, new, total)

    def delete(self, cursor: Cursor) -> None:
        total = cursor.left
        table = self._table(cursor.u32())
        if table is None:
            return
        tag = cursor.u8()
        if tag not in {_OLD_KEY, _OLD_ROW}:
            raise _unexpected(tag)
        old = _tuple(cursor, len(table.columns))
        cursor.finish()
        if tag == _OLD_KEY:
            # Null in a key tuple means "not sent", except in the key itself.
            key = set(table.shape.key)
            old = [
                (_UNCHANGED, b"") if kind == _NULL and i not in key else (kind, data)
                for i, (kind, data) in enumerate(old)
            ]
        self._append(table, DELETE, old, total)

    def _begin_row(self, table: Table, op: int) -> None:
        if not table.ops:
            self._gathering.touched.append(table)
        transaction = self._transaction
        if table.last_transaction != transaction.number:
            table.last_transaction = transaction.number
            table.transactions.append(str(transaction.xid))
            table.positions.append(transaction.position)
        table.append_envelope(op, self.changes, transaction.commit_at)
        self.changes += 1

    def _append(self, table: Table, op: int, values: list[Value], total: int) -> None:
        self._begin_row(table, op)
        table.mark_unchanged(tuple(i for i, (kind, _) in enumerate(values) if kind == _UNCHANGED))
        self._append_values(table, table.columns, values)
        self.byte_count += total + ROW_OVERHEAD_BYTES

    def _append_before(self, table: Table, values: list[Value]) -> None:
        table.begin_before()
        self._append_values(table, table.old_columns, values)

    def _append_values(self, table: Table, columns: list[Field], values: list[Value]) -> None:
        for i, (column, (kind, data)) in enumerate(zip(columns, values, strict=True)):
            self._place = (table.shape, i)
            if kind == _BINARY:
                column.binary(data)
            elif kind == _TEXT:
                column.text(data)
            else:
                column.null()


_STEPS: dict[int, Callable[[PgoutputDecoder, Cursor], None]] = {
    _BEGIN: PgoutputDecoder.begin,
    _COMMIT: PgoutputDecoder.commit,
    _INSERT: PgoutputDecoder.insert,
    _UPDATE: PgoutputDecoder.update,
    _DELETE: PgoutputDecoder.delete,
}


def _from_1970(microseconds: int) -> int:
    if microseconds > INT64_MAX - EPOCH_MICROSECONDS:
        message = "a commit time out of range"
        raise DecodeError(message)
    return microseconds + EPOCH_MICROSECONDS


def _expect(cursor: Cursor, tag: int) -> None:
    found = cursor.u8()
    if found != tag:
        raise _unexpected(found)


def _unexpected(tag: int) -> DecodeError:
    return DecodeError(f"an unexpected kind of tuple ({tag})")


def _tuple(cursor: Cursor, expected: int) -> list[Value]:
    count = cursor.u16()
    if count != expected:
        message = f"a row of {count} columns where {expected} are declared"
        raise DecodeError(message)
    values: list[Value] = []
    for _ in range(count):
        kind = cursor.u8()
        if kind in {_TEXT, _BINARY}:
            values.append((kind, cursor.take(cursor.i32())))
        elif kind in {_NULL, _UNCHANGED}:
            values.append((kind, b""))
        else:
            message = f"an unknown kind of value ({kind})"
            raise DecodeError(message)
    return values


def _key_changed(key: Sequence[int], old: list[Value], new: list[Value]) -> bool:
    return any(new[i][0] != _UNCHANGED and new[i] != old[i] for i in key)
