"""Requests for copies of tables: those of operators (`cdc snapshot`), stored in the state, and those of a
sink on a trimmed log.

One commit of the log accepts a request: the new phases of the tables, the marks for the sinks and, for a new
sink, the offset to begin at. An accepted request therefore survives a crash without the state.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from cdc.engine.beginning import BEGIN_PREFIX
from cdc.engine.capture_context import CaptureContext
from cdc.engine.ledger import LedgerEntry, Metadata, Phase, TableState
from cdc.engine.routing import due_batches, mark_batch
from cdc.model import Audience, ChangeSet, CopyStep, TableId
from cdc.model.batch import EVERYONE
from cdc.spi import CaptureState, CopyRequest, metrics

# Requests are people's doing; a second's delay is not felt.
REQUEST_POLL_SECONDS = 1.0

ASKED_FOR = "requested with `cdc snapshot`"


class CopyRequests:
    """Accept requests between two copies, and finish them when their tables are live.

    `is_open`, `wants_all` and `are_held` may be used from any thread, all else from the coordinator's.
    """

    def __init__(self, context: CaptureContext, state: CaptureState) -> None:
        self._ledger = context.ledger
        self._log = context.log
        self._router = context.router
        self._sinks = context.sinks
        self._report = context.report
        self._meter = context.status.meter
        self._state = state
        self._source = context.spec.name
        self._checked_at = float("-inf")
        self.are_held = True
        """Whether requests wait until the stream flows: one for all tables closes a gap."""

    @property
    def is_open(self) -> bool:
        """Whether a request is not finished."""
        return bool(self._unfinished())

    @property
    def wants_all(self) -> bool:
        """Whether a request for all tables and all sinks is waiting to be accepted."""
        return any(
            request.tables is None and request.sink is None and not request.is_taken
            for request in self._unfinished()
        )

    @property
    def is_due(self) -> bool:
        """Whether a request is waiting to be accepted; the state is read at intervals."""
        if self.are_held or time.monotonic() - self._checked_at < REQUEST_POLL_SECONDS:
            return False
        self._checked_at = time.monotonic()
        return any(not request.is_taken for request in self._unfinished())

    def take(self, selected: Collection[TableId]) -> None:
        """Accept the requests that can be served now; `selected` are the source's tables."""
        self._end_orphans()
        for request in () if self.are_held else self._unfinished():
            if not request.is_taken:
                self._take(request, selected)

    def _unfinished(self) -> Sequence[CopyRequest]:
        return self._state.unfinished_copies(self._source)

    def finish(self, refused: Collection[TableId]) -> None:
        """Finish the requests whose tables are all live, gone, or refused by the source."""
        for request in self._unfinished():
            if not request.is_taken or request.tables is None:
                continue
            states = {table: self._ledger.tables.get(table) for table in request.tables}
            waiting = [t for t, state in states.items() if state and state.phase is not Phase.LIVE]
            if not [table for table in waiting if table not in refused]:
                names = ", ".join(map(str, waiting))
                self._state.finish_copy(
                    request.id, f"not copied, see `cdc status`: {names}" if names else None
                )

    def _take(self, request: CopyRequest, selected: Collection[TableId]) -> None:
        if request.sink is not None and request.sink not in self._sinks:
            self._state.finish_copy(request.id, f"no sink {request.sink!r} takes changes from this source")
            return
        with self._ledger.begin() as entry:
            taken = self._taken(entry, request, selected)
        if taken is not None:
            self._state.take_copy(request.id, taken)

    def _taken(
        self, entry: LedgerEntry, request: CopyRequest, selected: Collection[TableId]
    ) -> Sequence[TableId] | None:
        """Have the log take a request, for the tables that are returned; None when it has to wait, or is
        refused.
        """
        audience = EVERYONE if request.sink is None else Audience.only([request.sink])
        reason = request.reason or ASKED_FOR
        wanted = selected if request.tables is None else request.tables
        tables = [table for table in wanted if entry.tables.get(table) is not None]
        unknown = [table for table in wanted if table not in selected and table not in tables]
        if unknown:
            names = ", ".join(map(str, unknown))
            self._state.finish_copy(request.id, f"not a selected table of the source: {names}")
            return None
        if len(tables) < len(wanted) and request.tables is not None:
            return None
        if request.tables is None and request.sink is not None:
            return tables if self._begin(entry, request.sink, tables, reason) else None
        paused = [table for table in tables if entry.tables[table].phase is Phase.PAUSED]
        if paused:
            names = ", ".join(map(str, paused))
            self._state.finish_copy(request.id, f"paused, and not copied until it is resumed: {names}")
            return None
        # A copy under way that is for these sinks too is the copy that was asked for.
        states = {table: entry.tables[table] for table in tables}
        if any(s.phase is Phase.COPYING and not s.audience.covers(audience) for s in states.values()):
            return None
        idle = [table for table, state in states.items() if state.phase is not Phase.COPYING]
        for table in idle:
            self._ledger.repeats.forget(table)
        self._commit(entry, idle, audience, reason, {})
        return tables

    def _begin(self, entry: LedgerEntry, sink: str, tables: Sequence[TableId], reason: str) -> bool:
        """Have these tables copied for a sink, which may begin at the log's end as it is now. False while a
        copy is under way that it would see half of, or a table is paused.
        """
        if any(entry.tables[table].phase in (Phase.COPYING, Phase.PAUSED) for table in tables):
            return False
        end = self._log.end
        assert end is not None, "the log has a first commit before any request is taken"
        begins: Metadata = {f"{BEGIN_PREFIX}{sink}": str(end.next)}
        self._commit(entry, tables, Audience.only([sink]), reason, begins)
        return True

    def _commit(
        self,
        entry: LedgerEntry,
        tables: Sequence[TableId],
        audience: Audience,
        reason: str,
        metadata: Metadata,
    ) -> None:
        routed = self._router.copy_for(entry.tables, tables, audience, reason)
        marks = tuple(due_batches(routed.due, entry.schema, self._ledger.reached))
        entry.append(ChangeSet(marks, None, len(marks)))
        entry.commit(metadata=metadata)
        for table in routed.due:
            self._meter.add(metrics.RECOPIES, 1, reason)
            sinks = "all" if audience.is_everyone else sorted(audience.sinks)
            self._report("copying a table", table=str(table), sinks=sinks, reason=reason)

    def _end_orphans(self) -> None:
        """Make tables live whose copy was for sinks that are no longer configured."""
        if not any(self._is_orphan(state) for _, state in self._ledger.tables.items()):
            return
        with self._ledger.begin() as entry:
            for table, state in entry.tables.items():
                if self._is_orphan(state):
                    schema = entry.schema(table)
                    if schema is not None:
                        mark = mark_batch(schema, CopyStep.CANCELLED, self._ledger.reached, state.audience)
                        entry.append(ChangeSet((mark,), None, 1))
                    entry.tables.put(
                        table,
                        TableState(
                            Phase.LIVE, relation=state.relation, dirty=True, transforms=state.transforms
                        ),
                    )
            entry.commit()

    def _is_orphan(self, state: TableState) -> bool:
        audience = state.audience
        return state.is_copied and not (audience.excluded or audience.sinks & self._sinks)
