"""Rows events to the rows of all tables, and what their transaction is called.

One source for both implementations: `rows_events_native` is compiled from it, with the types in
`rows_events_native.pxd`. Tables are known by the bodies of their table maps; a map seen again under the same
id is compared, byte by byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.errors import DecodeError
from cdc.model.batch import Envelope
from cdc.native.record_batches import CREATE, DELETE, TRUNCATE, UPDATE, Count, TableShape, TakenRows
from cdc_source_mysql.schema.type_plan import TablePlan
from cdc_source_mysql.wire.codes import (
    DUMMY_TABLE,
    MARIADB_GTID,
    MOST_TABLE_MAPS,
    MYSQL_GTID,
    PARTIAL_UPDATE_ROWS_EVENT,
    ROW_OVERHEAD_BYTES,
)
from cdc_source_mysql.wire.compressed import inflate_body
from cdc_source_mysql.wire.poor_images import (
    KEPT_BYTES,
    SQL_FOREIGN_KEYS,
    STATEMENT_END,
    check_insert,
    check_update,
    diffs_without_document,
    unidentified_row,
    with_defaults,
)

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.batch_builder import BatchBuilder, TableRows
    from cdc.native.cursor_python import Reader
    from cdc_source_mysql.wire.events import Gtid, read_lenenc, uuid_text
    from cdc_source_mysql.wire.image_python import Image, append_nulls
    from cdc_source_mysql.wire.values_python import make_field

# The flag of a partial update's row: JSON columns have diffs.
PARTIAL_JSON = 1


def operation_of(kind: int) -> int:
    """Return the operation of rows events of this type; 0 for other events."""
    if kind in (30, 23, 166, 169):
        return CREATE
    if kind in (31, 24, 39, 167, 170):
        return UPDATE
    if kind in (32, 25, 168, 171):
        return DELETE
    return 0


def has_extra(kind: int) -> bool:
    """Version 2 of the rows events."""
    return 30 <= kind <= 39 or kind >= 169


def is_compressed(kind: int) -> bool:
    return kind >= 166


class Table(TableRows):
    """The rows of one table since the last take; `new` and `old` are the images of the current row."""

    def __init__(self, plan: TablePlan, unrepresentable: str) -> None:
        self.plan = plan
        TableRows.__init__(
            self, TableShape(plan.handle, plan.table, plan.columns, plan.key, "f", unrepresentable)
        )
        self.is_active = True
        self.key = self.shape.key
        self.row_end = plan.row_end
        self.new = Image(plan.columns, self.columns, plan.omitted)
        self.old = Image(plan.columns, self.columns, plan.omitted)

    def make_fields(self) -> list[Any]:
        return [make_field(p, r) for p, r in zip(self.shape.plans, self.shape.policies, strict=True)]

    def completed(self, taken: TakenRows, columns: list[pa.Array]) -> list[pa.Array]:
        if self.unchanged is None:
            return columns
        return with_defaults(taken, columns, self.plan.defaults)


class Mapped:
    """A table map, known by its body without the table id."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.table: Table | None = None
        self.is_known = False


class RowsEvents:
    """`gtid` is that of the current transaction; `place` the current table, for errors."""

    def __init__(self, unrepresentable: str, count: Count, epoch: int) -> None:
        self.unrepresentable = unrepresentable
        self.epoch = epoch
        # Table maps by body, and by the ids of the current file; the last one, for changes come in runs.
        self.bodies: dict[bytes, Mapped] = {}
        self.ids: dict[int, Mapped] = {}
        self.last_id = 0
        self.last_mapped: Mapped | None = None
        # Tables by name, and the rows of all.
        self.active: dict[str, Table] = {}
        self.builder = BatchBuilder(count)
        self.dropped: list[tuple[int, int]] = []
        self.changes = 0
        self.byte_count = 0
        # The current transaction, or what was attributed: a new number is a new code.
        self.gtid = Gtid()
        self.begin_file = ""
        self.begin_offset = 0
        self.number = 0
        self.commit_at = 0
        self.transaction_changes = 0
        # The ordinal of its first row; below 0 when a part has been handed on.
        self.first_change = 0
        # Texts that rows carry instead of those of their transactions; None for none.
        self.attributed: tuple[str, str] | None = None
        self.last_uuid = b""
        self.last_uuid_text = ""
        # The current event is left out.
        self.skips_event = False
        # Since the last take, there was an event without the rows that foreign keys changed with its own.
        self.hides_cascades = False
        # The beginning of the current statement, where MariaDB sends it.
        self.statement = b""
        self.place: Table | None = None

    def begin(self, file: str, offset: int, commit_at: int) -> int:
        """A transaction; `gtid` is its own."""
        self.begin_file = file
        self.begin_offset = offset
        self.transaction_changes = 0
        self.statement = b""
        self.number += 1
        if self.attributed is None:
            self.commit_at = commit_at
        return 0

    def attribute(self, tx: str, position_text: str, commit_at: int) -> int:
        self.attributed = (tx, position_text)
        self.number += 1
        self.commit_at = commit_at
        return 0

    def position_text(self) -> str:
        text = f"{self.begin_file}:{self.begin_offset}"
        return f"{self.epoch}/{text}" if self.epoch else text

    def tx_text(self) -> str:
        gtid = self.gtid
        if gtid.kind == MARIADB_GTID:
            return f"{gtid.domain}-{gtid.server_id}-{gtid.number}"
        if gtid.kind != MYSQL_GTID:
            return self.position_text()
        if self.last_uuid != gtid.uuid:
            self.last_uuid = gtid.uuid
            self.last_uuid_text = uuid_text(gtid.uuid)
        if gtid.tag:
            return f"{self.last_uuid_text}:{gtid.tag.decode('ascii')}:{gtid.number}"
        return f"{self.last_uuid_text}:{gtid.number}"

    def annotate(self, reader: Reader) -> int:
        """The rows that follow come from this statement."""
        self.statement = reader.take(min(reader.remaining(), KEPT_BYTES))
        return 0

    def forget_ids(self) -> int:
        self.ids.clear()
        self.last_mapped = None
        if len(self.bodies) > MOST_TABLE_MAPS:
            self.bodies.clear()
            self.active = {table.plan.table: table for table in self.builder.touched}
        return 0

    def forget(self) -> int:
        for mapped in self.bodies.values():
            forget_map(mapped)
        return 0

    def table_map(self, reader: Reader) -> int:
        table_id = reader.little(6)
        if self.last_mapped is not None and table_id == self.last_id and reader.holds(self.last_mapped.body):
            return 0
        mapped = self.ids.get(table_id)
        if mapped is None or not reader.holds(mapped.body):
            mapped = self.map_of(reader.rest())
            self.ids[table_id] = mapped
        self.last_id = table_id
        self.last_mapped = mapped
        return 0

    def map_of(self, body: bytes) -> Mapped:
        mapped = self.bodies.get(body)
        if mapped is None:
            mapped = self.bodies[body] = Mapped(body)
        return mapped

    def mapped(self, table_id: int) -> Mapped:
        if self.last_mapped is None or table_id != self.last_id:
            mapped = self.ids.get(table_id)
            if mapped is None:
                message = f"rows of table number {table_id}, which no table map describes"
                raise DecodeError(message)
            self.last_mapped = mapped
            self.last_id = table_id
        return self.last_mapped

    def wanted_map(self) -> bytes:
        """The table map that `rows` lacked, as it came."""
        body = b"" if self.last_mapped is None else self.last_mapped.body
        return self.last_id.to_bytes(6, "little") + body

    def set_table(self, body: bytes | memoryview, plan: TablePlan | None) -> int:
        mapped = self.map_of(bytes(body)[6:])
        mapped.is_known = True
        mapped.table = None if plan is None else self.table_of(plan)
        return 0

    def table_of(self, plan: TablePlan) -> Table:
        table = self.active.get(plan.table)
        if table is not None and table.plan == plan:
            return table
        table = Table(plan, self.unrepresentable)
        self.activate(table)
        return table

    def activate(self, table: Table) -> int:
        """Let this plan take the rows of its table; only one does, so that batches keep their order."""
        former = self.active.get(table.plan.table)
        if former is not None:
            former.is_active = False
            self.builder.set_aside(former)
        self.active[table.plan.table] = table
        table.is_active = True
        return 0

    def rows(self, kind: int, reader: Reader) -> bool:
        """Read a rows event; true when its table is not known, and nothing was read."""
        table_id = reader.little(6)
        flags = reader.little(2)
        if not flags & SQL_FOREIGN_KEYS:
            self.hides_cascades = True
        if self.skips_event:
            self.skips_event = False
            self.statement = b""
            return False
        if has_extra(kind):
            extra = reader.little(2)
            reader.skip(extra - 2)
        if table_id == DUMMY_TABLE:
            # It ends a statement, and has no rows.
            return False
        mapped = self.mapped(table_id)
        if not mapped.is_known:
            return True
        table = mapped.table
        if table is not None:
            if not table.is_active:
                self.activate(table)
            self.place = table
            self.read_rows(table, kind, reader)
            self.place = None
        if flags & STATEMENT_END:
            self.statement = b""
        return False

    def read_rows(self, table: Table, kind: int, reader: Reader) -> int:
        operation = operation_of(kind)
        is_whole = self.read_columns(table, operation, reader)
        if is_compressed(kind):
            data = inflate_body(reader.rest())
            reader = Reader()
            reader.open(data)
        while reader.remaining():
            left = reader.remaining()
            if operation == CREATE:
                self.insert(table, reader)
            elif operation == UPDATE:
                self.update(table, reader, kind == PARTIAL_UPDATE_ROWS_EVENT, is_whole)
            else:
                self.delete(table, reader)
            if reader.remaining() == left:
                message = "a row without any bytes"
                raise DecodeError(message)
            self.byte_count += left - reader.remaining() + ROW_OVERHEAD_BYTES
        return 0

    def read_columns(self, table: Table, operation: int, reader: Reader) -> bool:
        """Which columns the event's images have; whether the old ones have all."""
        width = read_lenenc(reader)
        if width != table.width:
            message = f"rows of {width} columns where {table.width} are declared"
            raise DecodeError(message)
        if operation == CREATE:
            table.new.read_present(reader)
            if not table.new.is_whole():
                check_insert(table.plan, table.new.lacking())
            return False
        table.old.read_present(reader)
        if not table.old.identifies(table.key):
            raise unidentified_row(table.plan)
        if operation == UPDATE:
            table.new.read_present(reader)
            if not table.new.is_whole():
                check_update(table.plan, table.new.lacking(), self.statement)
        return table.old.is_whole()

    def insert(self, table: Table, reader: Reader) -> int:
        table.new.read(reader, None)
        if not table.new.is_history(table.row_end):
            self.append(table, CREATE, table.new)
        return 0

    def delete(self, table: Table, reader: Reader) -> int:
        table.old.read(reader, None)
        if not table.old.is_history(table.row_end):
            self.append(table, DELETE, table.old)
        return 0

    def update(self, table: Table, reader: Reader, may_be_partial: bool, is_whole: bool) -> int:  # noqa: FBT001
        old, new = table.old, table.new
        old.read(reader, None)
        diffs = read_diffs(new, reader) if may_be_partial else None
        new.read(reader, diffs)
        if diffs is not None and new.lacks_documents(old):
            # Before any of the row's values is appended: the caller may continue after the event.
            raise diffs_without_document(table.plan)
        if old.is_history(table.row_end):
            return 0
        if new.is_history(table.row_end):
            return self.append(table, DELETE, old)
        # The old image is kept if it is whole or its key differs.
        if is_whole or new.differs(old, table.key):
            table.begin_before()
            old.append(table.old_columns, None)
        new.fill(old)
        return self.append(table, UPDATE, new)

    def append(self, table: Table, op: int, image: Image) -> int:
        """The next row; what it lacks is named as unchanged."""
        self.begin_row(table, op)
        if image.has_absent:
            table.mark_unchanged(image.absent())
        image.append(table.columns, table.old if op == UPDATE else None)
        return 0

    def begin_row(self, table: Table, op: int) -> int:
        if table.ops.length == 0:
            self.builder.touched.append(table)
        if table.last_transaction != self.number:
            table.last_transaction = self.number
            tx, position = self.attributed or (self.tx_text(), self.position_text())
            table.transactions.append(tx)
            table.positions.append(position)
        table.append_envelope(op, self.changes, self.commit_at)
        if self.transaction_changes == 0:
            self.first_change = self.changes
        self.changes += 1
        self.transaction_changes += 1
        return 0

    def truncate(self, plan: TablePlan) -> int:
        table = self.table_of(plan)
        self.begin_row(table, TRUNCATE)
        append_nulls(table.columns)
        self.byte_count += ROW_OVERHEAD_BYTES
        return 0

    def drop_transaction(self, kept: int, end: int) -> bool:
        last = min(end, self.transaction_changes)
        if last <= kept:
            return False
        last += self.first_change
        if last > 0:
            self.dropped.append((max(self.first_change + kept, 0), last))
        return self.first_change + kept < 0

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        self.first_change -= self.changes
        batches = self.builder.take()
        dropped, self.dropped = self.dropped, []
        self.changes = self.byte_count = 0
        self.hides_cascades = False
        return without_dropped(batches, dropped)


def forget_map(mapped: Mapped) -> int:
    mapped.is_known = False
    mapped.table = None
    return 0


def read_diffs(new: Image, reader: Reader) -> bytes | None:
    """Which JSON columns of a partial update's row have diffs."""
    options = read_lenenc(reader)
    if options & PARTIAL_JSON:
        return new.read_diffs(reader)
    if options:
        message = f"an update with options {options}, which this version does not support"
        raise DecodeError(message)
    return None


def _without(batch: pa.RecordBatch, ranges: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    """The batch without the rows whose ordinals lie in these half-open ranges."""
    ordinals = batch.column(Envelope.SEQ).to_numpy()
    keep = np.ones(len(ordinals), np.bool_)
    for first, end in ranges:
        keep &= (ordinals < first) | (ordinals >= end)
    return batch if keep.all() else batch.filter(pa.array(keep))


def without_dropped(
    batches: Sequence[tuple[int, pa.RecordBatch]], ranges: Sequence[tuple[int, int]]
) -> list[tuple[int, pa.RecordBatch]]:
    """(handle, batch) in their order, without empty batches and the rows that a transaction rolled back."""
    if ranges:
        batches = [(handle, _without(batch, ranges)) for handle, batch in batches]
    return [(handle, batch) for handle, batch in batches if batch.num_rows]
