"""Apply the changes of one delivery to the tables within one transaction, or a few (`steps`).

If one table cannot store its changes, the attempt ends with `TableRefused`; the sink then sets that table
aside and tries again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from cdc.errors import DecodeError, SchemaChangeRefused, SinkRefused, UnsupportedSchema
from cdc.merge import TableRefused, from_truncate
from cdc.model import ChangeBatch, CopyStep, TableId, TableSchema
from cdc.spi import Delivery, SinkContext
from cdc.sql import append, history, mirror, versioned
from cdc.sql.copies import Copies
from cdc.sql.dialect import Connection
from cdc.sql.mapping import Change
from cdc.sql.options import TableOptions
from cdc.sql.own_tables import SetAsideEntry, Shelf
from cdc.sql.progress import DeliveryProgress, Overfull, end_of
from cdc.sql.steps import Done, Piece, Room
from cdc.sql.tables import Tables

T = TypeVar("T")

_APPLY = {"mirror": mirror.apply, "append": append.apply, "history": history.apply}
_APPLY_VERSIONED = {"mirror": versioned.mirror, "append": versioned.append, "history": versioned.history}
_OF_A_TABLE = (SinkRefused, UnsupportedSchema, SchemaChangeRefused, DecodeError)


@dataclass(slots=True)
class Application:
    """One attempt at a delivery.

    `refused` are the tables that ended an earlier attempt, `apart` the offsets at which a piece begins, and
    a transaction where a commit begins, `high` is the highest offset that the sink ever had. `step` commits
    what is done: up to the end of a commit, given the prefix of the delivery that ends there, or, given None,
    within one.
    """

    connection: Connection
    tables: Tables
    shelf: Shelf
    options: TableOptions
    context: SinkContext
    refused: Collection[TableId]
    apart: Collection[int]
    room: Room
    progress: DeliveryProgress
    high: int
    step: Callable[[Delivery | None], None]
    _replayed_below: int = 0
    _forgotten: int = 0

    def run(self, delivery: Delivery) -> None:
        """Apply all parts.

        Raises:
            TableRefused: a table cannot be stored.
            Overfull: changes need a piece of their own, or a transaction.
        """
        self._replayed_below = self.high if delivery.first < self.high else 0
        for part in delivery.parts():
            self._part(part)
            del part  # A wide row must be gone before it is committed, and before the next is read.
            self._commit_if_full()
        self._forget(delivery.next)

    def _commit_if_full(self) -> None:
        """Commit a part of a commit if no more fits, while none of its rows is in memory."""
        if self.room.is_full_for([]) and not self.progress.is_saved and self.progress.is_within_first:
            self.step(None)
            self.progress.stepped()

    def _part(self, part: Sequence[ChangeBatch]) -> None:
        rest = self.progress.undone(part)
        pieces = self.room.pieces(rest, self.progress.last, self.apart)
        if not self.connection.alters_in_transactions:
            pieces = (each for piece in pieces for each in _by_definition(piece))
        for piece in pieces:
            if piece.apart or self.room.is_full_for(piece.batches):
                self._make_room(piece.batches[0])
            self._forget(end_of(piece.batches))
            self._piece(piece.batches, self._replayed_below)
            self.room.take(piece.batches)
            self.progress.applied(piece)

    def _make_room(self, batch: ChangeBatch) -> None:
        """Commit what is done, in front of this batch."""
        if self.progress.ends_before(batch) and not self.progress.is_saved:
            prefix = self.progress.moved()
            self._forget(prefix.next)
            self.step(prefix)
        elif self.progress.is_saved or self.progress.is_in_first(batch):
            self.step(None)
            self.progress.stepped()
        else:
            assert batch.commit is not None
            raise Overfull([batch.commit.first])

    def _piece(self, piece: Sequence[ChangeBatch], replayed_below: int) -> None:
        for batches in self._lower_case_first(list(_grouped(piece)), lambda run: run[0].schema):
            admitted = self._admitted(batches)
            if not admitted:
                continue
            with self._of_table(admitted[0]):
                if admitted[0].mark is None or self._step_of_copy(admitted[0], replayed_below):
                    self._apply(admitted, replayed_below)

    def _settle(self, batch: ChangeBatch) -> None:
        """Commit before the first row that needs a definition, with the rows before it; none of the
        definition's table is in the same piece.
        """
        if self.connection.has_definitions:
            self._make_room(batch)
            self.tables.settled()

    def _lower_case_first(self, items: Sequence[T], schema_of: Callable[[T], TableSchema]) -> list[T]:
        """New tables with a capital letter last: of names that differ in case only, the one in lower case is
        taken over as it is, whichever comes first.
        """
        late = [self._is_late(schema_of(item)) for item in items]
        first = [item for item, is_late in zip(items, late, strict=True) if not is_late]
        return first + [item for item, is_late in zip(items, late, strict=True) if is_late]

    def _is_late(self, schema: TableSchema) -> bool:
        name = str(schema.table)
        return self.tables.is_new(schema) and self.connection.dialect.folded(name) != name

    def _step_of_copy(self, batch: ChangeBatch, replayed_below: int) -> bool:
        """Take one step of a table's copy, or its new definition; whether the mark's truncate is for the
        table that readers see.

        A step that the sink has had before a replay is known: only what is in its place is put right.
        """
        assert batch.mark is not None
        has_rows = self._took_step(batch, replayed_below)
        self._settle(batch)
        return has_rows

    def _took_step(self, batch: ChangeBatch, replayed_below: int) -> bool:
        assert batch.mark is not None
        copies = Copies(self.tables, self.connection, self.options, self.context)
        if batch.mark.step is CopyStep.ALTERED:
            # In a replay, only what the sink has not had changes the table.
            self.tables.mapping([batch], replayed_below)
        elif batch.mark.seq < replayed_below:
            copies.passed(batch.schema)
        elif batch.mark.step is CopyStep.PENDING:
            copies.await_one(batch.schema, batch.mark)
        elif batch.mark.step is CopyStep.BEGIN:
            return copies.begin(batch.schema, batch.mark) and batch.row_count > 0
        elif batch.mark.step is CopyStep.FINISHED:
            copies.finish(batch.schema, batch.mark, lambda: self._settle(batch))
        else:
            copies.cancel(batch.schema)
        return batch.row_count > 0

    def _apply(self, batches: Sequence[ChangeBatch], replayed_below: int) -> None:
        if batches[0].row_count == 0:
            # A definition without rows: only the table is made or changed.
            self.tables.mapping(batches, replayed_below)
            return
        mapping = self.tables.mapping(batches, replayed_below)
        self._settle(batches[0])
        change = Change(self.connection, mapping, batches, replayed_below, self.context.count, self.room)
        apply = (_APPLY_VERSIONED if mapping.dialect.is_versioned else _APPLY)[self.options.mode]
        # What is new must see the rows as the replayed changes leave them: one after the other.
        for piece in change.split_at(replayed_below):
            apply(piece)

    def _forget(self, end: int) -> None:
        """Take what comes again, up to an offset, out of a changelog; a table that is set aside keeps what it
        has. No further than the current changes: the rest stays readable when a step ends here.
        """
        first = max(self._forgotten, self.progress.skipped_below)
        end = min(end, self._replayed_below)
        if self.options.mode != "append" or first >= end or self.connection.dialect.is_versioned:
            return
        kept = {details.table for details in self.shelf}
        for stored in self.tables.stored():
            if stored.table not in kept:
                append.forget(self.connection, self.tables.target(stored), first, end)
        self._forgotten = end

    def _admitted(self, batches: list[ChangeBatch]) -> list[ChangeBatch]:
        """The changes of one table that the sink takes: none while it is set aside, until a truncate."""
        schema = batches[0].schema
        entry = self.shelf.find(schema)
        if entry is None:
            return batches
        rest = _from_truncate(batches, entry.details.since)
        if rest and entry.details.table not in self.refused and self.tables.refusal(schema) is None:
            self.shelf.readmit(entry)
            self.context.log("table no longer skipped", table=str(schema.table))
            return rest
        self.context.count("changes_set_aside", sum(batch.row_count for batch in batches))
        self._recheck(entry, schema)
        return []

    def _recheck(self, entry: SetAsideEntry, schema: TableSchema) -> None:
        """Return whether a table that is set aside could be taken as it is since this change."""
        if (
            entry.details.deliverable
            or entry.details.table in self.refused
            or not self.tables.is_unchecked(schema)
        ):
            return
        refusal = self.tables.refusal(schema)
        if refusal is None:
            self.shelf.mark_deliverable(entry, schema.table)
        elif schema.table != entry.details.table:
            self.shelf.put(schema, entry.details.since, refusal)

    @contextmanager
    def _of_table(self, batch: ChangeBatch) -> Iterator[None]:
        """Raise TableRefused for what one table cannot take from this batch on; all else stops the sink."""
        schema = batch.schema
        since = None if self.connection.alters_in_transactions else max(_first_seq(batch), 0)
        try:
            yield
        except _OF_A_TABLE as error:
            if self.options.schema_changes == "stop" and isinstance(error, SchemaChangeRefused):
                raise
            raise TableRefused(schema, error, since) from error
        except self.connection.Error as error:
            told = self.connection.table_refusal(error)
            if told is None:
                raise
            raise TableRefused(schema, told, since) from error


def _from_truncate(batches: Sequence[ChangeBatch], since: int) -> list[ChangeBatch]:
    for i, batch in enumerate(batches):
        rest = from_truncate(batch, since)
        if rest is not None:
            return [rest, *batches[i + 1 :]]
    return []


def _by_definition(piece: Piece) -> Iterator[Piece]:
    """Cut a piece so that no batch is behind one of its table with another definition, or behind a mark.

    What precedes a definition can then be committed without it.
    """
    if len(piece.batches) == 1:
        yield piece
        return
    start, known = 0, dict[TableId, TableSchema]()
    for i, batch in enumerate(piece.batches):
        is_other = batch.table in known and known[batch.table] != batch.schema
        if i > start and (batch.mark is not None or piece.batches[i - 1].mark is not None or is_other):
            yield Piece(piece.batches[start:i], Done(i - start), piece.apart and start == 0)
            start, known = i, {}
        known[batch.table] = batch.schema
    yield Piece(piece.batches[start:], Done(len(piece.batches) - start), piece.apart and start == 0)


def _grouped(part: Sequence[ChangeBatch]) -> Iterator[list[ChangeBatch]]:
    """Runs of batches of one table and schema version, in the order of their first change; a mark, and a
    batch without rows, is a run of its own.

    Tables are independent of each other; within one the order is kept.
    """
    runs: list[list[ChangeBatch]] = []
    newest: dict[TableId, list[ChangeBatch]] = {}
    for batch in part:
        if batch.row_count == 0 or batch.mark is not None:
            newest.pop(batch.table, None)
            runs.append([batch])
            continue
        last = newest.get(batch.table)
        if last is None or not (last[0].schema is batch.schema or last[0].schema == batch.schema):
            last = newest[batch.table] = []
            runs.append(last)
        last.append(batch)
    return iter(sorted(runs, key=lambda batches: _first_seq(batches[0])))


def _first_seq(batch: ChangeBatch) -> int:
    """Return the place of a batch in the order; a batch that only names a table comes first."""
    if batch.mark is not None:
        return batch.mark.seq
    return int(batch.seq[0].as_py()) if batch.row_count else -1
