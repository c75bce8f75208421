"""Decides for every streamed batch: into the main log, or held back;
and notices new, renamed and re-created tables.

All methods are called with the router's lock held; a transaction that comes in parts keeps it from first part
to last, so no table changes its phase in the middle of one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from cdc.engine.repeats import Repeats
from cdc.engine.specs import SnapshotMode
from cdc.engine.tables import Facts, Phase, TableBook, TableState, held_facts
from cdc.model import Audience, ChangeBatch, ChangeSet, TableId, TableSchema
from cdc.model.audience import EVERYONE

# A table that lost its name to another one waits under this schema name until its own new name is seen.
_NAMELESS = ""


@dataclass(slots=True)
class Routed:
    """One ChangeSet, split: `live` batches for the main log, `held` ones by the number of their held log,
    and the facts that go with it. `due` are the tables that a copy is due of from here on, each with its
    state: for whom, and why.
    """

    live: list[ChangeBatch] = field(default_factory=list)
    held: dict[int, list[ChangeBatch]] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    due: dict[TableId, TableState] = field(default_factory=dict)


class Router:
    """Changes tables' phases on the capture side; `lock` guards phases against the snapshot coordinator."""

    def __init__(self, book: TableBook, mode: SnapshotMode) -> None:
        self.book = book
        self.lock = threading.RLock()
        self._first_phase = Phase.LIVE if mode == "never" else Phase.WAITING
        self._requests: Counter[TableId] = Counter()
        self._requested_at: dict[TableId, int] = {}
        self.repeats = Repeats()

    def route(self, changes: ChangeSet) -> Routed:
        """Split a set; new states are in the book at once, the caller commits the facts with the set."""
        routed = Routed()
        for request in changes.resnapshot:
            # By number first: the source may know the table under a newer name than the stream has shown.
            table = self.book.by_relation(request.relation) or request.table
            self._requests[table] += 1
            if changes.position is not None:
                self._requested_at[table] = changes.position.order
            state = self.book.get(table)
            if state is not None and not (state.phase is Phase.WAITING and state.audience.is_everyone):
                self._start_over(table, state, request.reason, routed)
                self.repeats.note(table, request)
        for batch in changes.batches:
            state = self._state_of(batch.schema, routed)
            if state.phase is Phase.LIVE:
                routed.live.append(batch)
            else:
                assert state.held is not None, "a table that is not live has a held log"
                routed.held.setdefault(state.held, []).append(batch)
                if not state.audience.is_everyone:
                    routed.live.append(replace(batch, audience=state.audience.others))
        return routed

    def requests(self, table: TableId) -> int:
        """How often the source has asked in this process for the table to be read again.

        A snapshot that was opened before such a request may lack what it is about, even of a table that only
        waits for its copy, whose phase the request leaves as it is.
        """
        return self._requests[table]

    def requested_at(self, table: TableId) -> int:
        """The order of the position of the last such request: what it is about may be missing in a snapshot
        that orders before.
        """
        return self._requested_at.get(table, 0)

    def is_new(self, schema: TableSchema) -> bool:
        """Whether neither the table's name nor its number is known: the stream has nothing to tell of it."""
        return self.book.get(schema.table) is None and self.book.by_relation(schema.relation) is None

    def agrees(self, schema: TableSchema) -> bool:
        """Whether the book has this name with this number (or with none yet)."""
        state = self.book.get(schema.table)
        return state is not None and (schema.relation is None or state.relation in (None, schema.relation))

    def adopt(self, schema: TableSchema) -> Facts:
        """Make a table known that was found in the catalog before any change of it; the facts to commit."""
        routed = Routed()
        self._state_of(schema, routed)
        return routed.facts

    def start_all_over(self, reason: str) -> Routed:
        """Copy every table again from nothing: changes of all of them may be missing."""
        routed = Routed()
        self._requested_at.clear()
        for table, state in self.book.items():
            self._start_over(table, state, reason, routed)
        return routed

    def copy_for(self, tables: Iterable[TableId], audience: Audience, reason: str) -> Routed:
        """Copy these tables again for some sinks. A copy that has not begun is made for them too.

        The caller leaves out tables with a copy under way, whose beginning those sinks may not have seen.
        """
        routed = Routed()
        for table in tables:
            state = self.book[table]
            if state.phase is Phase.LIVE:
                self._await_copy(table, state, audience, reason, routed)
            elif not state.audience.covers(audience):
                self._set(table, replace(state, audience=state.audience | audience), routed)
                routed.due[table] = replace(state, audience=audience)
        return routed

    def leave(self, selects: Callable[[TableId], bool]) -> dict[TableId, TableState]:
        """Return the tables that the source's config no longer selects, and those whose name isn't known.

        Their changes are not captured any more, so their state must not outlive the selection: a table that
        returns is new, and is copied.
        """
        return {table: state for table, state in self.book.items() if not (table.schema and selects(table))}

    def _state_of(self, schema: TableSchema, routed: Routed) -> TableState:
        table, relation = schema.table, schema.relation
        state = self.book.get(table)
        if state is not None and (relation is None or state.relation in (None, relation)):
            if relation is not None and state.relation is None:
                state = self._set(table, replace(state, relation=relation), routed)
            return state
        former = self.book.by_relation(relation)
        if former is not None:
            return self._rename(former, table, routed)
        if state is not None:
            renewed = replace(state, relation=relation)
            return self._start_over(table, renewed, "dropped and created again", routed)
        fresh = TableState(phase=self._first_phase, relation=relation)
        if fresh.phase is Phase.WAITING:
            fresh = replace(fresh, held=self.book.next_held())
        return self._set(table, fresh, routed)

    def _rename(self, former: TableId, table: TableId, routed: Routed) -> TableState:
        replaced = self.book.get(table)
        moved = self.book[former]
        confirmed = self.book.held_next(former)
        if replaced is not None:
            nameless = TableId(_NAMELESS, f"relation {replaced.relation}")
            reached = self.book.held_next(table)
            self._set(nameless, replaced, routed)
            if replaced.phase is not Phase.LIVE:
                self.book.set_held_next(nameless, reached)
                routed.facts |= held_facts(nameless, reached)
        routed.facts |= self.book.facts_of(former, None)
        self.book.remove(former)
        # Neither name is that of the table which a copy was due of: the new name says it again.
        for name in (former, table):
            routed.due.pop(name, None)
        if moved.phase is Phase.LIVE:
            return self._set(table, moved, routed)
        # A copy in progress knows the table by its old name: it starts again under the new one.
        state = self._start_over(table, moved, "renamed while it was copied", routed, moved.audience)
        self.book.set_held_next(table, confirmed)
        routed.facts |= held_facts(table, confirmed)
        return state

    def _start_over(
        self,
        table: TableId,
        state: TableState,
        reason: str,
        routed: Routed,
        audience: Audience = EVERYONE,
    ) -> TableState:
        if state.phase is Phase.LIVE:
            if self._first_phase is Phase.LIVE:
                return self._set(table, state, routed)
            return self._await_copy(table, state, audience, reason, routed)
        # What is held so far orders before the snapshot of the new copy, which contains it: also where some
        # sinks saw it live.
        again = TableState(
            phase=Phase.WAITING,
            relation=state.relation,
            held=state.held,
            released=state.released,
            handled=state.handled,
            dirty=True,
            reason=reason,
            audience=audience,
        )
        routed.due[table] = again
        return self._set(table, again, routed, keep_chunks=False)

    def _await_copy(
        self, table: TableId, state: TableState, audience: Audience, reason: str, routed: Routed
    ) -> TableState:
        waiting = TableState(
            phase=Phase.WAITING,
            relation=state.relation,
            held=self.book.next_held(),
            dirty=True,
            reason=reason,
            audience=audience,
        )
        routed.due[table] = waiting
        return self._set(table, waiting, routed, keep_chunks=False)

    def _set(
        self, table: TableId, state: TableState, routed: Routed, *, keep_chunks: bool = True
    ) -> TableState:
        routed.facts |= self.book.facts_of(table, state, keep_chunks=keep_chunks)
        self.book.set(table, state)
        if not keep_chunks:
            self.book.forget_chunks(table)
        return state
