"""A database in memory whose transactions a MemorySource follows: heap, history, publication, faults.

It keeps Postgres' rules that snapshots rely on: a change makes a new tuple in a new slot, tuples know the
order of the transaction that wrote them, a truncate gives the table a new generation, and only tables that
are followed at the time of a change appear in the stream. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cdc.errors import CdcError
from cdc.model import ChangeSet, Operation, Position, TableId, TableSchema
from cdc.spi.source import SnapshotChunk
from cdc.testing.events import EPOCH, position, transaction

Row = dict[str, Any]


@dataclass(slots=True)
class HeapTable:
    """A table's tuples by slot: (order of the writing transaction, row), None where a tuple is dead."""

    schema: TableSchema
    generation: int = 1
    tuples: list[tuple[int, Row] | None] = field(default_factory=list)

    def rows(self) -> list[Row]:
        return [dict(entry[1]) for entry in self.tuples if entry]

    def slot_of(self, image: Mapping[str, Any]) -> int | None:
        """The slot of the live tuple with this key (keyless: equal in all columns)."""
        names = self.schema.key or tuple(c.name for c in self.schema.columns)
        for slot, entry in enumerate(self.tuples):
            if entry and all(entry[1].get(n) == image.get(n) for n in names):
                return slot
        return None


class MemoryDatabase:
    """Tables and a history of committed transactions; give it to `MemorySource.Options(database=…)`."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.changed = threading.Condition()
        self.tables: dict[TableId, HeapTable] = {}
        self.followed: set[TableId] = set()
        # What no snapshot can take in yet, and why.
        self.waiting: dict[TableId, CdcError] = {}
        # What the config of the source leaves out.
        self.excluded: set[TableId] = set()
        self.history: list[tuple[int, tuple[ChangeSet, ...]]] = []
        self.acknowledged: Position | None = None
        self.oldest = 0
        self._order = 10
        # The highest relation that any table has had; a new one is beyond it.
        self._relation = 0
        self._faults: dict[str, deque[CdcError]] = {}
        # Called before the catalog is read, and before a snapshot is taken, reads a chunk, and is closed.
        self.before_discover: Callable[[], None] = lambda: None
        self.before_snapshot: Callable[[], None] = lambda: None
        self.before_read: Callable[[SnapshotChunk], None] = lambda _chunk: None
        self.before_close: Callable[[], None] = lambda: None

    @property
    def now(self) -> Position:
        """The position after the newest transaction."""
        with self.changed:
            return position(self._order)

    def create(
        self, schema: TableSchema, rows: Iterable[Mapping[str, Any]] = (), *, followed: bool = False
    ) -> None:
        """Create a table that holds `rows` from before the stream, or give an existing one a new schema."""
        with self.changed:
            heap = self.tables.setdefault(schema.table, HeapTable(schema))
            heap.schema = schema
            heap.tuples += [(0, dict(row)) for row in rows]
            self._relation = max(self._relation, schema.relation or 0)
            if followed:
                self.followed.add(schema.table)

    def drop(self, table: TableId) -> None:
        """Drop a table; its history stays."""
        with self.changed:
            del self.tables[table]

    def rename(self, table: TableId | str, new_name: str) -> TableSchema:
        """Rename a table within its schema: its relation, its rows and whether it is followed stay.

        Its history keeps the old name, later changes have the new one. Return the schema under the new name.
        """
        with self.changed:
            old = table_id(table)
            heap = self.tables.pop(old)
            heap.schema = replace(heap.schema, table=TableId(old.schema, new_name))
            self.tables[heap.schema.table] = heap
            if old in self.followed:
                self.followed.remove(old)
                self.followed.add(heap.schema.table)
            return heap.schema

    def recreate(
        self, schema: TableSchema, rows: Iterable[Mapping[str, Any]] = (), *, followed: bool = False
    ) -> TableSchema:
        """Drop the table of that name and create it again with `rows`, under a relation that none has had.

        `followed` is what a publication FOR ALL TABLES does; otherwise the source must add the table to its
        publication. Returns the schema with the new relation.
        """
        with self.changed:
            old = self.tables[schema.table]
            self.drop(schema.table)
            self.followed.discard(schema.table)
            again = replace(schema, relation=max(self._relation, schema.relation or 0) + 1)
            self.create(again, rows, followed=followed)
            self.tables[schema.table].generation = old.generation + 1
            return again

    def commit(
        self,
        steps: Iterable[Sequence[Any]],
        *,
        commit_at: datetime | None = EPOCH,
        part_rows: int | None = None,
    ) -> Position:
        """Commit one transaction of `(table, op, row[, before[, unchanged]])` and return the position after
        it.

        A table is a TableId or "schema.name". Tables are changed, and the followed ones' changes streamed.
        """
        with self.changed:
            order = self._order
            streamed = []
            for table, *change in steps:
                heap = self.tables[table_id(table)]
                _apply(heap, order, *change)
                if heap.schema.table in self.followed:
                    streamed.append((heap.schema, *change))
            if streamed:
                sets = transaction(order, streamed, commit_at=commit_at, part_rows=part_rows)
                self.history.append((order, tuple(sets)))
            return self._advance()

    def append(self, *sets: ChangeSet) -> Position:
        """Stream scripted sets as one transaction, leaving the tables alone; the last one's position is kept
        when it is ahead.
        """
        with self.changed:
            self.history.append((self._order, tuple(sets)))
            last = sets[-1].position
            if last is not None:
                self._order = max(self._order, last.order - 1)
            return self._advance()

    def advance(self) -> Position:
        """Move the position without a change, as an idle server does."""
        with self.changed:
            return self._advance()

    def trim(self, before: Position) -> None:
        """Forget the history before a position: a source that has read less has a gap."""
        with self.changed:
            self.oldest = before.order
            self.history = [entry for entry in self.history if entry[0] >= before.order]

    def fail(self, method: str, *errors: CdcError) -> None:
        """Make the next calls of a source's method raise these errors, one each. A stream raises at its next
        step.
        """
        with self.changed:
            self._faults.setdefault(method, deque()).extend(errors)
            self.changed.notify_all()

    def mend(self, method: str) -> None:
        """Forget what `fail` has put in for this method and no call has met yet."""
        with self.changed:
            self._faults.pop(method, None)

    def raise_fault(self, method: str) -> None:
        """Raise the next error that `fail` set for this method."""
        with self.changed:
            queue = self._faults.get(method)
            error = queue.popleft() if queue else None
        if error is not None:
            raise error

    def rows(self, table: TableId | str) -> list[Row]:
        """The table's rows now."""
        with self.changed:
            return self.tables[table_id(table)].rows()

    def _advance(self) -> Position:
        self._order += 1
        self.changed.notify_all()
        return position(self._order)


def table_id(table: TableId | str) -> TableId:
    """A TableId from itself or from `schema.name`."""
    if isinstance(table, TableId):
        return table
    schema, _, name = table.partition(".")
    return TableId(schema, name)


def _apply(
    heap: HeapTable,
    order: int,
    op: str,
    row: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    unchanged: Sequence[str] | None = None,
) -> None:
    operation = Operation(op)
    if operation is Operation.TRUNCATE:
        heap.tuples = []
        heap.generation += 1
        return
    image = dict(row or {})
    if operation is not Operation.CREATE:
        slot = heap.slot_of(before or image)
        if slot is None:
            raise AssertionError(f"{heap.schema.table} has no row for this {operation.name.lower()}")
        old = heap.tuples[slot]
        heap.tuples[slot] = None
        if operation is Operation.DELETE:
            return
        image |= {name: old[1].get(name) for name in unchanged or () if old}
    heap.tuples.append((order, image))
