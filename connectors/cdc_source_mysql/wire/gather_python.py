"""The rows of all tables gathered in pure Python: the twin of `gather.pyx`."""

from __future__ import annotations

import pyarrow as pa

from cdc.errors import DecodeError
from cdc.native.cursor_python import Cursor
from cdc.native.gathered import CREATE, DELETE, TRUNCATE, UPDATE, Count
from cdc.native.gathering import Gathering
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.annotations import STATEMENT_END
from cdc_source_mysql.wire.events_python import Gtid
from cdc_source_mysql.wire.little_endian import LittleEndian, lenenc
from cdc_source_mysql.wire.rare import inflate_body, without_dropped
from cdc_source_mysql.wire.table_python import (
    Image,
    Kind,
    Moment,
    Table,
    read_present,
    unexpected_options,
)
from cdc_source_mysql.wire.target import (
    Target,
    check_insert,
    check_update,
    diffs_without_document,
    unidentified_row,
)

_PARTIAL_JSON = 1
OPERATIONS = {
    **dict.fromkeys((30, 23, 166, 169), CREATE),
    **dict.fromkeys((31, 24, 39, 167, 170), UPDATE),
    **dict.fromkeys((32, 25, 168, 171), DELETE),
}


class Mapped:
    """A table map, known by its body without the table id."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.table: Table | None = None
        self.is_known = False


class Gatherer:
    """`gtid` is that of the transaction at hand; `place` the table at hand, for errors."""

    def __init__(self, unrepresentable: str, count: Count, epoch: int) -> None:
        self._unrepresentable = unrepresentable
        self._epoch = epoch
        self._bodies: dict[bytes, Mapped] = {}
        self._ids: dict[int, Mapped] = {}
        self._wanted = b""
        self._active: dict[str, Table] = {}
        self._gathering: Gathering = Gathering(count)
        self._dropped: list[tuple[int, int]] = []
        self.changes = 0
        self.byte_count = 0
        self.gtid = Gtid()
        self._begin = ("", 0)
        self._moment = Moment()
        self.transaction_changes = 0
        # The ordinal of its first row; below 0 when a part has been handed on.
        self._first_change = 0
        self._attributed: tuple[str, str] | None = None
        self.place: Table | None = None
        # The event at hand is left out.
        self.skips_event = False
        # The beginning of the statement at hand, where MariaDB tells it.
        self.statement = b""

    def begin(self, file: str, offset: int, commit_at: int) -> None:
        """A transaction; `gtid` is its own."""
        self._begin = (file, offset)
        self.transaction_changes = 0
        self.statement = b""
        self._moment.number += 1
        if self._attributed is None:
            self._moment.commit_at = commit_at

    def attribute(self, tx: str, position_text: str, commit_at: int) -> None:
        self._attributed = (tx, position_text)
        self._moment = Moment(self._moment.number + 1, commit_at)

    @property
    def position_text(self) -> str:
        file, offset = self._begin
        return f"{self._epoch}/{file}:{offset}" if self._epoch else f"{file}:{offset}"

    @property
    def tx_text(self) -> str:
        gtid = self.gtid
        if gtid.kind == "mariadb":
            return f"{gtid.domain}-{gtid.server_id}-{gtid.number}"
        if gtid.kind == "mysql":
            return ":".join([gtid.uuid, *([gtid.tag] if gtid.tag else []), str(gtid.number)])
        return self.position_text

    def forget_ids(self) -> None:
        self._ids.clear()
        if len(self._bodies) > codes.MOST_TABLE_MAPS:
            self._bodies.clear()
            self._active = {table.target.table: table for table in self._gathering.touched}

    def forget(self) -> None:
        for mapped in self._bodies.values():
            mapped.is_known = False
            mapped.table = None

    def table_map(self, body: bytes) -> None:
        table_id = LittleEndian(body).u48()
        self._ids[table_id] = self._mapped(body[6:])

    def _mapped(self, body: bytes) -> Mapped:
        return self._bodies.setdefault(body, Mapped(body))

    @property
    def wanted_map(self) -> bytes:
        """The table map that `rows` lacked, as it came."""
        return self._wanted

    def set_table(self, body: bytes | memoryview, target: Target | None) -> None:
        mapped = self._mapped(bytes(body)[6:])
        mapped.is_known = True
        mapped.table = None if target is None else self._table_of(target)

    def _table_of(self, target: Target) -> Table:
        table = self._active.get(target.table)
        if table is not None and table.target == target:
            return table
        table = Table(target, self._unrepresentable)
        self._activate(table)
        return table

    def _activate(self, table: Table) -> None:
        """Of all targets of one table one gathers rows at a time, so that its batches keep their order."""
        former = self._active.get(table.target.table)
        if former is not None:
            former.is_active = False
            self._gathering.set_aside(former)
        self._active[table.target.table] = table
        table.is_active = True

    def rows(self, kind: int, body: bytes) -> bool:
        """Gather a rows event; true when its table is not known, and nothing was gathered."""
        header = LittleEndian(body)
        table_id = header.u48()
        flags = header.u16()
        if self.skips_event:
            self.skips_event, self.statement = False, b""
            return False
        if codes.WRITE_ROWS_EVENT <= kind <= codes.PARTIAL_UPDATE_ROWS_EVENT or kind >= 169:
            header.skip(header.u16() - 2)
        if table_id == codes.DUMMY_TABLE:
            # It ends a statement, and has no rows.
            return False
        mapped = self._ids.get(table_id)
        if mapped is None:
            message = f"rows of table number {table_id}, which no table map describes"
            raise DecodeError(message)
        if not mapped.is_known:
            self._wanted = body[:6] + mapped.body
            return True
        if mapped.table is not None:
            if not mapped.table.is_active:
                self._activate(mapped.table)
            self.place = mapped.table
            self._read_rows(mapped.table, kind, header)
            self.place = None
        if flags & STATEMENT_END:
            self.statement = b""
        return False

    def _read_rows(self, table: Table, kind: int, header: LittleEndian) -> None:
        width = header.lenenc()
        if width != table.width:
            message = f"rows of {width} columns where {table.width} are declared"
            raise DecodeError(message)
        cursor = Cursor(header.take(header.left))
        operation = OPERATIONS[kind]
        first = read_present(cursor, table.width)
        if operation == CREATE and not all(first):
            check_insert(table.target, (i for i, is_there in enumerate(first) if not is_there))
        if operation != CREATE and not table.has_key(first):
            raise unidentified_row(table.target)
        second = read_present(cursor, table.width) if operation == UPDATE else []
        if operation == UPDATE and not table.is_whole(second):
            absent = (i for i, is_there in enumerate(second) if not is_there)
            check_update(table.target, absent, self.statement)
        if kind >= codes.WRITE_ROWS_COMPRESSED_EVENT_V1:
            cursor = Cursor(inflate_body(cursor.take(cursor.left)))
        is_whole = table.is_whole(first)
        while cursor.left:
            left = cursor.left
            if operation == CREATE:
                self._insert(table, table.read_image(cursor, first))
            elif operation == UPDATE:
                old = table.read_image(cursor, first)
                diffs = _read_options(table, cursor) if kind == codes.PARTIAL_UPDATE_ROWS_EVENT else b""
                new = table.read_image(cursor, second, diffs)
                self._update(table, old, new, is_whole=is_whole)
            else:
                self._delete(table, table.read_image(cursor, first))
            if cursor.left == left:
                message = "a row without any bytes"
                raise DecodeError(message)
            self.byte_count += left - cursor.left + codes.ROW_OVERHEAD_BYTES

    def _insert(self, table: Table, new: Image) -> None:
        if not table.is_history(new):
            self._begin_row(table, CREATE)
            table.append_row(new)

    def _delete(self, table: Table, old: Image) -> None:
        if not table.is_history(old):
            self._begin_row(table, DELETE)
            table.append_row(old)

    def _update(self, table: Table, old: Image, new: Image, *, is_whole: bool) -> None:
        """Keep the old image if it is whole or its key differs, and fill from it what the new one lacks."""
        if any(b.kind is Kind.DIFFS and a.kind is not Kind.PRESENT for a, b in zip(old, new, strict=True)):
            raise diffs_without_document(table.target)
        if table.is_history(old):
            return
        if table.is_history(new):
            self._delete(table, old)
            return
        if is_whole or table.key_changed(old, new):
            table.append_before(old)
        filled = [b if b.kind is not Kind.ABSENT else a for a, b in zip(old, new, strict=True)]
        self._begin_row(table, UPDATE)
        table.append_row(filled, old)

    def _begin_row(self, table: Table, op: int) -> None:
        if not table.ops.length:
            self._gathering.touched.append(table)
        if table.last_transaction != self._moment.number:
            table.last_transaction = self._moment.number
            tx, position = self._attributed or (self.tx_text, self.position_text)
            table.transactions.append(tx)
            table.positions.append(position)
        table.append_envelope(op, self.changes, self._moment.commit_at)
        if not self.transaction_changes:
            self._first_change = self.changes
        self.changes += 1
        self.transaction_changes += 1

    def truncate(self, target: Target) -> None:
        table = self._table_of(target)
        self._begin_row(table, TRUNCATE)
        table.append_nulls()
        self.byte_count += codes.ROW_OVERHEAD_BYTES

    def drop_transaction(self, kept: int = 0, end: int | None = None) -> bool:
        last = self.transaction_changes if end is None else min(end, self.transaction_changes)
        if last <= kept:
            return False
        first, last = self._first_change + kept, self._first_change + last
        if last > 0:
            self._dropped.append((max(first, 0), last))
        return first < 0

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self._first_change -= self.changes
        batches = self._gathering.take()
        dropped, self._dropped = self._dropped, []
        self.changes = self.byte_count = 0
        return without_dropped(batches, dropped)


def _read_options(table: Table, cursor: Cursor) -> bytes:
    """Which JSON columns of a partial update have diffs."""
    options = lenenc(cursor)
    if options & _PARTIAL_JSON:
        return cursor.take((len(table.json_columns) + 7) >> 3)
    if options:
        raise unexpected_options(options)
    return b""
