"""Requests that tables are copied again: an operator's (`cdc snapshot`), kept in the state, and those of a
sink whose beginning the log no longer has.

Taking a request is one commit of the log: the tables' change of phase, the marks that tell sinks, and, for a
sink that begins, the offset to begin at. So a request that was taken survives a crash without the state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.engine.ledger import Entry
from cdc.engine.reading import Reading
from cdc.engine.reset import due_batches, mark_batch
from cdc.engine.tables import Metadata, Phase, TableState
from cdc.model import Audience, ChangeSet, CopyStep, TableId
from cdc.model.audience import EVERYONE

BEGIN_PREFIX = "begin:"
# Requests are people's doing; a second's delay is not felt.
REQUEST_POLL_SECONDS = 1.0

ASKED_FOR = "requested with `cdc snapshot`"
NEW_SINK = "the log no longer has the history that the sink needs"


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """An operator's request that is not finished: `tables` None are all of the source, `sink` None all sinks;
    `is_taken` when the log has it.
    """

    number: int
    tables: tuple[TableId, ...] | None
    sink: str | None
    is_taken: bool = False

    @property
    def audience(self) -> Audience:
        return EVERYONE if self.sink is None else Audience.only([self.sink])


class CopyRequestStore(Protocol):
    """Where operators leave requests for one source."""

    def unfinished(self) -> Sequence[CopyRequest]:
        """Return the requests that are not finished, oldest first."""
        ...

    def take(self, number: int, tables: Sequence[TableId]) -> None:
        """Note that the log has the request, for exactly these tables."""
        ...

    def finish(self, number: int, error: str | None) -> None:
        """Note that the copies are done, or why they are not made."""
        ...


class CopyRequests:
    """Takes requests between two copies, and finishes them when their tables are live.

    `ask`, `is_asked_for`, `beginning` and `is_open` may be called from any thread, all else from the
    coordinator's.
    """

    def __init__(self, reading: Reading, store: CopyRequestStore) -> None:
        self._ledger = reading.ledger
        self._log = reading.log
        self._router = reading.router
        self._sinks = reading.sinks
        self._report = reading.report
        self._store = store
        self._asking = threading.Lock()
        self._beginners: set[str] = set()
        self._looked_at = float("-inf")

    def ask(self, sink: str) -> None:
        """Ask that all tables are copied for a sink, which waits for `beginning`."""
        with self._asking:
            self._beginners.add(sink)

    def is_asked_for(self, sink: str) -> bool:
        """Return whether a request for all tables of this sink waits to be taken."""
        return any(r.sink == sink and r.tables is None and not r.is_taken for r in self._store.unfinished())

    def beginning(self, sink: str) -> int | None:
        """Return the newest offset from which on the log has all tables whole for this sink."""
        text = self._log.metadata.get(f"{BEGIN_PREFIX}{sink}")
        return None if text is None else int(text)

    @property
    def is_open(self) -> bool:
        """Whether a request is not finished."""
        return bool(self._beginners) or bool(self._store.unfinished())

    @property
    def is_due(self) -> bool:
        """Whether a request waits to be taken; the state is asked now and then."""
        if self._beginners:
            return True
        if time.monotonic() - self._looked_at < REQUEST_POLL_SECONDS:
            return False
        self._looked_at = time.monotonic()
        return any(not request.is_taken for request in self._store.unfinished())

    def take(self, selected: Collection[TableId]) -> None:
        """Take what can be taken now; `selected` are the source's tables."""
        self._end_orphans()
        with self._asking:
            beginners = set(self._beginners)
        if beginners:
            self._begin_for(beginners, selected)
        for request in self._store.unfinished():
            if not request.is_taken:
                self._take(request, selected)

    def finish(self, refused: Collection[TableId]) -> None:
        """Finish the requests whose tables are all live, gone, or refused by the source."""
        for request in self._store.unfinished():
            if not request.is_taken or request.tables is None:
                continue
            states = {table: self._ledger.tables.get(table) for table in request.tables}
            waiting = [t for t, state in states.items() if state and state.phase is not Phase.LIVE]
            if not [table for table in waiting if table not in refused]:
                names = ", ".join(map(str, waiting))
                self._store.finish(
                    request.number, f"not copied, see `cdc status`: {names}" if names else None
                )

    def _take(self, request: CopyRequest, selected: Collection[TableId]) -> None:
        if request.sink is not None and request.sink not in self._sinks:
            self._store.finish(request.number, f"no sink {request.sink!r} takes changes from this source")
            return
        with self._ledger.begin() as entry:
            taken = self._taken(entry, request, selected)
        if taken is not None:
            self._store.take(request.number, taken)

    def _taken(
        self, entry: Entry, request: CopyRequest, selected: Collection[TableId]
    ) -> Sequence[TableId] | None:
        """Have the log take a request, for the tables that are returned; None when it has to wait, or is
        refused.
        """
        wanted = selected if request.tables is None else request.tables
        tables = [table for table in wanted if entry.tables.get(table) is not None]
        unknown = [table for table in wanted if table not in selected and table not in tables]
        if unknown:
            names = ", ".join(map(str, unknown))
            self._store.finish(request.number, f"not a selected table of the source: {names}")
            return None
        if len(tables) < len(wanted) and request.tables is not None:
            return None
        if request.tables is None and request.sink is not None:
            return tables if self._begin(entry, {request.sink}, tables, ASKED_FOR) else None
        # A copy under way that is for these sinks too is the copy that was asked for.
        states = {table: entry.tables[table] for table in tables}
        if any(s.phase is Phase.COPYING and not s.audience.covers(request.audience) for s in states.values()):
            return None
        idle = [table for table, state in states.items() if state.phase is not Phase.COPYING]
        for table in idle:
            self._ledger.repeats.forget(table)
        self._commit(entry, idle, request.audience, ASKED_FOR, {})
        return tables

    def _begin_for(self, sinks: set[str], tables: Iterable[TableId]) -> None:
        with self._ledger.begin() as entry:
            begun = self._begin(entry, sinks, tables, NEW_SINK)
        if begun:
            with self._asking:
                self._beginners -= sinks

    def _begin(self, entry: Entry, sinks: set[str], tables: Iterable[TableId], reason: str) -> bool:
        """Have these tables copied for the sinks, which may begin at the log's end as it is now. False while
        a copy is under way that they would see half of.
        """
        known = [table for table in tables if entry.tables.get(table) is not None]
        if any(entry.tables[table].phase is Phase.COPYING for table in known):
            return False
        end = self._log.end
        assert end is not None, "the log has a first commit before any request is taken"
        begins: Metadata = {f"{BEGIN_PREFIX}{sink}": str(end.next) for sink in sinks}
        self._commit(entry, known, Audience.only(sinks), reason, begins)
        return True

    def _commit(
        self, entry: Entry, tables: Sequence[TableId], audience: Audience, reason: str, metadata: Metadata
    ) -> None:
        routed = self._router.copy_for(entry.tables, tables, audience, reason)
        marks = tuple(due_batches(routed.due, entry.schema, self._ledger.reached))
        entry.append(ChangeSet(marks, None, len(marks)))
        entry.commit(metadata=metadata)
        for table in routed.due:
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
                    entry.tables.put(table, TableState(Phase.LIVE, relation=state.relation, dirty=True))
            entry.commit()

    def _is_orphan(self, state: TableState) -> bool:
        audience = state.audience
        return state.phase is not Phase.LIVE and not (audience.excluded or audience.sinks & self._sinks)
