"""Beside the stream, one thread a source: finds new tables, has them followed and copied,
and watches the source's position.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from cdc.engine.capture_context import CaptureContext
from cdc.engine.copies import CopyRequests
from cdc.engine.ledger import Phase
from cdc.engine.routing import mark_batch
from cdc.engine.snapshot import TableCopier
from cdc.engine.unfollowed import UnfollowedTables
from cdc.engine.waiting_tables import WaitingTables
from cdc.errors import CdcError, SourceRefused, UnsupportedSchema
from cdc.model import ChangeSet, CopyStep, Position, TableId, TableSchema
from cdc.spi.source import MeasuresRetained, NamesUnreadable

# How often tables that the stream showed first are looked for.
POLL_SECONDS = 0.1
# While a table waits for the stream, the catalog is read this often.
ROUND_SECONDS = 0.3
# What concerns one table and must not hold up the others: no key, no privilege.
TABLE_REFUSALS = (UnsupportedSchema, SourceRefused)


class Coordinator:
    """Runs discovery and snapshots of one source.

    `settled` is set while every selected table is live or refused.
    """

    def __init__(self, context: CaptureContext, opened: threading.Event, requests: CopyRequests) -> None:
        self._source = context.source
        self._ledger = context.ledger
        self._log = context.log
        self._router = context.router
        self._status = context.status
        self._report = context.report
        self._pacing = context.pacing
        self._opened = opened
        self._requests = requests
        self._copier = TableCopier(context)
        self._discovered_at = float("-inf")
        # What the catalog shows ahead of the stream, with the position by which the stream must show it.
        self._ahead: dict[object, Position] = {}
        self.refused: dict[TableId, CdcError] = {}
        self._reported: set[TableId] = set()
        # Refused here, not by the source: a copy is due again and again.
        self._paused: dict[TableId, CdcError] = {}
        self._waiting = WaitingTables(context)
        self._unfollowed = UnfollowedTables(context)
        self._saw_tables = True
        self.settled = threading.Event()

    @property
    def is_settled(self) -> bool:
        """Whether every selected table is live or refused now: since `settled` one may have begun to wait."""
        return self.settled.is_set() and not self._to_copy()

    def run(self, stop: threading.Event) -> None:
        """Until stopped; raises what the source raises, and may be called again."""
        while not self._opened.wait(POLL_SECONDS):
            if stop.is_set():
                return
        while not stop.is_set():
            if self._due() or (self._rested() and self._is_urgent()):
                self._round(stop)
            stop.wait(POLL_SECONDS)

    def _due(self) -> bool:
        return time.monotonic() - self._discovered_at >= self._pacing.discover_seconds

    def _rested(self) -> bool:
        return time.monotonic() - self._discovered_at >= ROUND_SECONDS

    def _is_urgent(self) -> bool:
        return bool(self._to_copy()) or self._unfollowed.is_waiting or self._requests.is_due

    def _to_copy(self) -> list[TableId]:
        return [table for table in self._ledger.tables.unfinished() if table not in self.refused]

    def _round(self, stop: threading.Event) -> None:
        due, before = self._due(), self._identities()
        schemas = {schema.table: schema for schema in self._source.discover()}
        # Read after the catalog: the stream has shown what the catalog shows once it is here.
        asked_at = datetime.now(UTC)
        seen_at = self._source.current()
        self._discovered_at = time.monotonic()
        self._warn_of_empty_selection(schemas)
        if due:
            self.refused.clear()
            self._measure_retained()
        self._adopt(list(schemas.values()), seen_at)
        # Once the tables that exist are known: a new one waits for its copy before all seems to be there.
        self._status.looked(seen_at, asked_at)
        self._follow(list(schemas.values()))
        self._refuse_unreadable(schemas)
        for table, error in self._unfollowed.look(schemas, seen_at).items():
            self._refuse(table, error)
        self._forget_dropped(before, schemas, seen_at)
        if self._requests.is_open:
            self.settled.clear()
        self._requests.take(schemas)
        self._pause_repeated()
        wanted = [schemas[table] for table in self._to_copy() if self._is_ready(table, schemas)]
        self._status.waiting_tables = len(wanted)
        if wanted:
            self.settled.clear()
            self._copy_all(wanted, stop)
        self._waiting.keep_unready([t for t in self._to_copy() if not self._is_ready(t, schemas)])
        # One that is refused because it waits in vain keeps waiting.
        self._waiting.keep({*self._to_copy(), *self.refused})
        for table, error in self._waiting.stuck().items():
            self._refuse(table, error)
        self._status.copying.last_error = self._waiting.last_error
        self._report_recovered()
        self._requests.finish(self.refused)
        if not self._to_copy():
            self._report_finished()
        if not stop.is_set() and not (self._to_copy() or self._ahead or self._unfollowed.is_waiting):
            self._status.waiting_tables = 0
            self.settled.set()

    def _measure_retained(self) -> None:
        if isinstance(self._source, MeasuresRetained):
            self._status.retained_bytes = self._source.retained_bytes()

    def _report_finished(self) -> None:
        progress, self._status.snapshot = self._status.snapshot, None
        if progress is not None:
            self._report(
                "copy finished",
                tables=progress.tables_done,
                rows=progress.rows,
                seconds=round(progress.seconds, 1),
            )

    def _report_recovered(self) -> None:
        for table in sorted(self._reported - self.refused.keys()):
            self._report("table no longer skipped", table=str(table))
        self._reported &= self.refused.keys()
        self._status.refuse_only({str(table) for table in self.refused})

    def _warn_of_empty_selection(self, schemas: Collection[TableId]) -> None:
        """Once each time that the selection matches no table: it may be meant so, and is rarely. Tables that
        discovery no longer shows are followed until they are known to be gone.
        """
        is_live = any(state.phase is Phase.LIVE for _, state in self._ledger.tables.items())
        if self._saw_tables and not schemas and not is_live:
            self._report(
                "no table matches `tables`: nothing is captured until one does; `cdc check` suggests "
                "similar names",
                level="warning",
            )
        self._saw_tables = bool(schemas) or is_live

    def _is_ready(self, table: TableId, schemas: Mapping[TableId, TableSchema]) -> bool:
        """Return whether the catalog and the stream speak of the same table, and the stream is where its copy
        may begin.
        """
        if table not in schemas or not self._ledger.tables.agrees(schemas[table]):
            return False
        source, end = self._status.source_position, self._log.end
        if source is None or end is None:
            return True
        return not self._ledger.repeats.is_behind(table, source, end.position)

    def _pause_repeated(self) -> None:
        """Refuse the tables of which a copy is due again and again until their pause is over."""
        for table in self._ledger.tables.unfinished():
            error, ours = self._ledger.repeats.pause(table), self._paused.pop(table, None)
            if ours is not None and self.refused.get(table) is ours:
                del self.refused[table]
            if error is not None and table not in self.refused:
                self._paused[table] = error
                self._refuse(table, error, retried=False)

    def _adopt(self, schemas: Sequence[TableSchema], seen_at: Position) -> None:
        """Make new tables known.

        A known name with another number (dropped and created again), or a known number under another name
        (renamed), is left to the stream: earlier changes are still to come under the old one.
        """
        known = self._ledger.tables
        for schema in schemas:
            if known.agrees(schema):
                self._ahead.pop((schema.table, schema.relation), None)
        ahead = [schema for schema in schemas if not known.agrees(schema)]
        if not ahead:
            return
        with self._ledger.begin() as entry:
            for schema in ahead:
                if entry.tables.agrees(schema):
                    continue
                sight = (schema.table, schema.relation)
                if entry.tables.is_new(schema) or self._is_passed(sight, seen_at):
                    self._router.adopt(entry.tables, schema)
            if entry.tables.metadata:
                entry.commit()

    def _is_passed(self, sight: object, seen_at: Position) -> bool:
        """Return whether the stream has passed the place where the catalog first showed this."""
        first_seen = self._ahead.setdefault(sight, seen_at)
        end = self._log.end
        if end is None or end.position.order < first_seen.order:
            return False
        del self._ahead[sight]
        return True

    def _follow(self, schemas: Sequence[TableSchema]) -> None:
        """Have all tables followed; a table that the source refuses is left out, named,
        and tried again later.
        """
        try:
            self._source.follow(schemas)
        except TABLE_REFUSALS:
            for schema in schemas:
                with self._refusable(schema):
                    self._source.follow([schema])

    def _refuse_unreadable(self, schemas: Collection[TableId]) -> None:
        """Name the tables that the source cannot read, though discovery may not show them."""
        if isinstance(self._source, NamesUnreadable):
            hidden = [table for table in self._to_copy() if table not in schemas]
            for table, error in self._source.unreadable(hidden).items():
                self._refuse(table, error)

    def _copy_all(self, wanted: Sequence[TableSchema], stop: threading.Event) -> None:
        """Copy with one snapshot after the other while tables become live and the catalog was just read."""
        left = list(wanted)
        while left and not stop.is_set():
            self._copy(left, stop)
            unfinished = set(self._to_copy())
            before, left = len(left), [schema for schema in left if schema.table in unfinished]
            self._status.waiting_tables = len(left)
            if len(left) == before or self._due():
                return

    def _copy(self, schemas: Sequence[TableSchema], stop: threading.Event) -> None:
        """Copy what one snapshot covers; when the source refuses, one by one, so that no table holds up
        another.
        """
        try:
            self._note_waiting(schemas, self._copier.copy(schemas, stop))
        except TABLE_REFUSALS:
            for schema in schemas:
                if schema.table in self._to_copy() and not stop.is_set():
                    with self._refusable(schema):
                        self._note_waiting([schema], self._copier.copy([schema], stop))

    def _note_waiting(self, asked: Sequence[TableSchema], waiting: Mapping[TableId, CdcError]) -> None:
        """Keep the reasons of tables that can't be copied now; refusals among them as refusals."""
        for schema in asked:
            error = waiting.get(schema.table)
            if isinstance(error, TABLE_REFUSALS):
                self._refuse(schema.table, error)
            else:
                self._waiting.note(schema.table, error, self._status.source_position)
        self._status.copying.last_error = self._waiting.last_error

    @contextmanager
    def _refusable(self, schema: TableSchema) -> Iterator[None]:
        """A refusal of this table is kept, shown, and tried again later."""
        try:
            yield
        except TABLE_REFUSALS as error:
            self._refuse(schema.table, error)

    def _refuse(self, table: TableId, error: CdcError, *, retried: bool = True) -> None:
        """Show the table as skipped; an error that is not `retried` at each look says itself when it ends."""
        if table not in self._reported:
            self._report(
                "skipping a table until its error is resolved",
                level="error",
                table=str(table),
                where=error.where,
                error=error.message,
                remedy=error.remedy,
            )
        self._reported.add(table)
        self.refused[table] = error
        self._status.refuse(str(table), error, self._pacing.discover_seconds if retried else None)

    def _identities(self) -> set[tuple[TableId, int | None]]:
        """The tables to copy, each with its number."""
        found = ((table, self._ledger.tables.get(table)) for table in self._to_copy())
        return {(table, state.relation) for table, state in found if state is not None}

    def _forget_dropped(
        self,
        before: Collection[tuple[TableId, int | None]],
        schemas: dict[TableId, TableSchema],
        seen_at: Position,
    ) -> None:
        """A table that went away before it was copied has nothing left to copy.

        What was buffered of it goes too, once the stream has passed the drop. Only tables that were known
        `before` the catalog was read can be missed in it: others may have been created or renamed since.
        """
        for table in self._to_copy():
            if table in schemas or table in self._unfollowed.tables:
                self._ahead.pop(table, None)
                continue
            with self._ledger.begin() as entry:
                state = entry.tables.get(table)
                if state is None or (table, state.relation) not in before:
                    continue
                if not self._is_passed(table, seen_at):
                    continue
                schema, reached = entry.schema(table), self._ledger.reached
                if schema is not None:
                    mark = mark_batch(schema, CopyStep.CANCELLED, reached, state.audience)
                    entry.append(ChangeSet((mark,), None, 1))
                entry.tables.remove(table)
                entry.commit()
            self._status.count("tables_dropped_before_copy", 1)
            self._report(
                "a table is not copied: it was dropped, renamed or attached to another one",
                level="warning",
                table=str(table),
            )
