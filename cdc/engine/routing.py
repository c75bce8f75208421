"""Route every streamed batch into the log or into a buffer; detect new, renamed and recreated tables; make
the marks of copies that are due.

All decisions are made on the draft of an entry of the ledger; a transaction that comes in parts has one entry
from first part to last, so no table changes its phase in the middle of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from cdc.defaults import SnapshotMode
from cdc.engine.ledger import LedgerEntry, Phase, Requested, TableBook, TableDraft, TableState
from cdc.model import (
    Audience,
    ChangeBatch,
    ChangeSet,
    CopyMark,
    CopyStep,
    Operation,
    Position,
    TableId,
    TableSchema,
)
from cdc.model.batch import EVERYONE, snapshot_batch

# A table that lost its name to another one waits under this schema name until its own new name is seen.
_NAMELESS = ""


@dataclass(slots=True)
class Routed:
    """One ChangeSet, split: `live` batches for the log, others by the number of their buffer. `due` are the
    tables that a copy is due of from here on, each with its state: for whom, and why.
    """

    live: list[ChangeBatch] = field(default_factory=list)
    buffered: dict[int, list[ChangeBatch]] = field(default_factory=dict)
    due: dict[TableId, TableState] = field(default_factory=dict)


class Router:
    """Changes tables' phases on the capture side; has no state of its own."""

    def __init__(self, mode: SnapshotMode, record: Callable[[TableId], str] = lambda _table: "") -> None:
        """`record` returns the record of a table's transforms (`TransformsRows`)."""
        self._first_phase = Phase.LIVE if mode == "never" else Phase.WAITING
        self._record = record

    def route(self, entry: LedgerEntry, changes: ChangeSet) -> Routed:
        """Split a set, with the tables' new states in the entry's draft."""
        draft, routed = entry.tables, Routed()
        for request in changes.resnapshot:
            # By number first: the source may know the table under a newer name than the stream has shown.
            table = draft.by_relation(request.relation) or request.table
            state = draft.get(table)
            is_void = state is not None and not (state.phase is Phase.WAITING and state.audience.is_everyone)
            entry.requested.append(Requested(table, request, is_void=is_void))
            if state is not None and is_void:
                self._start_over(draft, table, state, request.reason, routed)
        for batch in changes.batches:
            state = self._state_of(draft, batch.schema, routed)
            if state.phase is Phase.LIVE:
                routed.live.append(batch)
            else:
                assert state.buffer is not None, "a table that is not live has a buffer"
                routed.buffered.setdefault(state.buffer, []).append(batch)
                if not state.audience.is_everyone:
                    routed.live.append(replace(batch, audience=state.audience.others))
        return routed

    def adopt(self, draft: TableDraft, schema: TableSchema) -> None:
        """Register a table that was found in the catalog before its first change."""
        self._state_of(draft, schema, Routed())

    def start_all_over(self, draft: TableDraft, reason: str) -> Routed:
        """Copy every table again from the beginning, because changes of all of them may be missing."""
        routed = Routed()
        for table, state in draft.items():
            self._start_over(draft, table, state, reason, routed)
        return routed

    def copy_for(
        self, draft: TableDraft, tables: Iterable[TableId], audience: Audience, reason: str
    ) -> Routed:
        """Copy these tables again for some sinks. A copy that has not begun is made for them too.

        The caller omits tables with a copy in progress, whose beginning those sinks may not have seen.
        """
        routed = Routed()
        for table in tables:
            state = draft[table]
            if state.phase is Phase.LIVE:
                self._await_copy(draft, table, state, audience, reason, routed)
            elif not state.audience.covers(audience):
                draft.put(table, replace(state, audience=state.audience | audience))
                routed.due[table] = replace(state, audience=audience)
        return routed

    def _state_of(self, draft: TableDraft, schema: TableSchema, routed: Routed) -> TableState:
        table, relation = schema.table, schema.relation
        state = draft.get(table)
        if state is not None and (relation is None or state.relation in (None, relation)):
            if relation is not None and state.relation is None:
                state = draft.put(table, replace(state, relation=relation))
            return state
        former = draft.by_relation(relation)
        if former is not None:
            return self._rename(draft, former, table, routed)
        if state is not None:
            renewed = replace(state, relation=relation)
            return self._start_over(draft, table, renewed, "dropped and created again", routed)
        fresh = TableState(phase=self._first_phase, relation=relation, transforms=self._record(table))
        if fresh.phase is Phase.WAITING:
            fresh = replace(fresh, buffer=draft.new_buffer())
        return draft.put(table, fresh)

    def _rename(self, draft: TableDraft, former: TableId, table: TableId, routed: Routed) -> TableState:
        replaced = draft.get(table)
        moved = draft[former]
        if replaced is not None:
            draft.put(TableId(_NAMELESS, f"relation {replaced.relation}"), replaced)
        draft.remove(former)
        # Neither name is that of the table which a copy was due of: the new name says it again.
        for name in (former, table):
            routed.due.pop(name, None)
        if not moved.is_copied:
            return draft.put(table, moved)
        # A copy in progress knows the table by its old name: it starts again under the new one.
        return self._start_over(draft, table, moved, "renamed while it was copied", routed, moved.audience)

    def _start_over(
        self,
        draft: TableDraft,
        table: TableId,
        state: TableState,
        reason: str,
        routed: Routed,
        audience: Audience = EVERYONE,
    ) -> TableState:
        if state.phase is Phase.LIVE:
            if self._first_phase is Phase.LIVE:
                return draft.put(table, state)
            return self._await_copy(draft, table, state, audience, reason, routed)
        if state.phase is Phase.PAUSED:
            return draft.put(table, replace(state, dirty=True, reason=reason))
        # What is buffered so far orders before the snapshot of the new copy, which contains it: also where
        # some sinks saw it live.
        again = TableState(
            phase=Phase.WAITING,
            relation=state.relation,
            buffer=state.buffer,
            released=state.released,
            handled=state.handled,
            dirty=True,
            reason=reason,
            audience=audience,
            transforms=state.transforms,
        )
        routed.due[table] = again
        return draft.put(table, again, keep_chunks=False)

    def _await_copy(
        self,
        draft: TableDraft,
        table: TableId,
        state: TableState,
        audience: Audience,
        reason: str,
        routed: Routed,
    ) -> TableState:
        waiting = TableState(
            phase=Phase.WAITING,
            relation=state.relation,
            buffer=draft.new_buffer(),
            dirty=True,
            reason=reason,
            audience=audience,
            transforms=state.transforms,
        )
        routed.due[table] = waiting
        return draft.put(table, waiting, keep_chunks=False)


def unselected(book: TableBook, selects: Callable[[TableId], bool]) -> dict[TableId, TableState]:
    """Return the tables that the source's config no longer selects, and those whose name is not known.

    Their changes are no longer captured, so their state must be deleted: a table that is selected again is
    new, and is copied.
    """
    return {table: state for table, state in book.items() if not (table.schema and selects(table))}


def forget(entry: LedgerEntry, tables: Mapping[TableId, TableState], position: Position) -> None:
    """Forget tables whose changes are no longer captured; sinks learn that their rows wait for a copy."""
    for_everyone = {table: replace(state, audience=EVERYONE) for table, state in tables.items()}
    marks = tuple(due_batches(for_everyone, entry.schema, position))
    for table in tables:
        entry.tables.remove(table)
    entry.append(ChangeSet(marks, None, len(marks)))


def mark_batch(
    schema: TableSchema, step: CopyStep, position: Position, audience: Audience, *, truncates: bool = False
) -> ChangeBatch:
    """Return a mark; with `truncates` also one `t` row, so that sinks remove their rows."""
    rows = int(truncates)
    at = datetime.now(UTC)
    columns = [pa.nulls(rows, column.type) for column in schema.columns]
    batch = snapshot_batch(schema, Operation.TRUNCATE, columns, rows, position.text, at)
    return replace(batch, audience=audience, mark=CopyMark(step, at))


def due_batches(
    due: Mapping[TableId, TableState],
    schema_of: Callable[[TableId], TableSchema | None],
    position: Position,
    first: int = 0,
) -> list[ChangeBatch]:
    """Return a PENDING mark for each table that the log has a schema of, with ordinals from `first` on.

    A schema of another table that had the name before does not count.
    """
    made: list[ChangeBatch] = []
    for table, state in due.items():
        schema = schema_of(table)
        if schema is not None and (
            None in (schema.relation, state.relation) or schema.relation == state.relation
        ):
            made.append(mark_batch(schema, CopyStep.PENDING, position, state.audience))
    return [batch.shifted(first + i) for i, batch in enumerate(made)]
