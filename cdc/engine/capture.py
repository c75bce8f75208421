"""Source → log: one thread a source takes ChangeSets, makes them durable, and only then acknowledges.

Order of durability for a set with held changes: held logs first, then the main log's commit, which names how
far each held log is confirmed. A crash between the two leaves held changes that no commit confirms; they are
cut at start and sent again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from cdc import failpoints
from cdc.engine.identity import IDENTITY_FACT, STARTS_FACT, starts_in, verify_identity
from cdc.engine.reading import Reading
from cdc.engine.reset import due_batches
from cdc.engine.routing import Routed
from cdc.engine.tables import Facts, held_facts
from cdc.errors import SourceGap, SourceUnavailable
from cdc.model import ChangeSet, Commit, Position, TableId
from cdc.model.audience import EVERYONE

MEMORY_PREFIX = "memory:"
# Sinks commit often; asking each for its position at every set would cost more than it frees at the source.
ACKNOWLEDGE_INTERVAL_SECONDS = 1.0


class Capture:
    """Runs one source's stream into its log.

    `run` may be called again after an error: it starts from what is durable.
    """

    def __init__(self, reading: Reading, acknowledgeable: Callable[[], Position | None]) -> None:
        self._source = reading.source
        self._log = reading.log
        self._held = reading.held
        self._router = reading.router
        self._status = reading.status
        self._report = reading.report
        self._accept_identity = reading.spec.accept_identity
        # Without snapshots there is no copy to begin anew with: a gap would stay a gap.
        self._copies = reading.spec.snapshot != "never"
        self._resnapshots = self._copies and reading.spec.on_gap == "resnapshot"
        self._starts = starts_in(self._log.facts) + 1
        # This run began the log and has taken no change yet.
        self._is_fresh = False
        self._gap: SourceGap | None = None
        self._acknowledgeable = acknowledgeable
        self._locked = False
        self._part_facts: Facts = {}
        self._part_held: set[int] = set()
        self._acknowledged_at = 0.0
        self.opened = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Stream until stopped; raises what the source or the log raises."""
        try:
            self._follow(self._open(), stop)
        except SourceGap as gap:
            if not self._begins_anew:
                raise
            self._gap = gap
            raise SourceUnavailable("changes were lost at the source: starting again with a copy") from gap

    @property
    def _begins_anew(self) -> bool:
        """Whether a gap is followed by a new copy. Before the first change was taken nothing is lost by that:
        it is as if the source had been added a moment later.
        """
        return self._resnapshots or self._is_fresh or self._gap is not None

    def _follow(self, position: Position, stop: threading.Event) -> None:
        stream = self._source.stream(position, self._memory())
        self._status.streaming()
        try:
            for changes in stream:
                if changes is not None:
                    self._take(changes)
                if stop.is_set():
                    break
                self._acknowledge(force=changes is None)
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
            self._forget_parts()
        self._acknowledge(force=True)

    def _open(self) -> Position:
        self._status.connecting()
        self._recover()
        end = self._log.end
        facts = self._log.facts
        identity = verify_identity(
            self._source.identity(), facts.get(IDENTITY_FACT), accept=self._accept_identity
        )
        starts = {STARTS_FACT: str(self._starts)}
        if end is not None and starts_in(facts) != self._starts:
            # Before the source remembers this number in its database.
            self._log.append(ChangeSet((), end.position), facts=dict(starts))
        try:
            if self._gap is not None:
                raise self._gap
            position = self._source.open(end.position if end else None, self._memory())
        except SourceGap as gap:
            position = self._start_again(gap)
        if end is None or facts.get(IDENTITY_FACT) != identity:
            self._log.append(ChangeSet((), self._newest(position)), facts={IDENTITY_FACT: identity, **starts})
        self._forget_unselected(position)
        self._is_fresh = self._is_fresh or (self._copies and end is None)
        self._status.positioned(self._log.end)
        self.opened.set()
        return position

    def _forget_unselected(self, position: Position) -> None:
        """Forget the tables that the config no longer selects, so that one that returns is copied again."""
        with self._router.lock:
            left = self._router.leave(self._source.selects)
            if not left:
                return
            facts: Facts = {}
            for table in left:
                facts |= self._router.book.facts_of(table, None)
            for_everyone = {table: replace(state, audience=EVERYONE) for table, state in left.items()}
            marks = tuple(due_batches(for_everyone, self._log, position))
            self._log.append(ChangeSet(marks, self._newest(position), len(marks)), facts=facts)
            for table, state in left.items():
                self._router.book.remove(table)
                if state.held is not None:
                    self._held.destroy(state.held)
        for table in sorted(table for table in left if table.schema):
            self._report(
                "a table is no longer selected: the sinks keep its rows as they are, and it is copied again"
                " when it returns",
                level="warning",
                table=str(table),
            )

    def _reached(self) -> Position:
        end = self._log.end
        assert end is not None, "the log has a first commit before the stream begins"
        return end.position

    def _newest(self, position: Position) -> Position:
        end = self._log.end
        return max(position, end.position) if end else position

    def _start_again(self, gap: SourceGap) -> Position:
        """`on_gap: resnapshot`: follow from now on, and copy every table again from nothing."""
        if not self._begins_anew:
            raise gap
        self._report(
            "changes were lost at the source: copying every table again",
            level="warning",
            gap=gap.message,
            where=gap.where,
        )
        position = self._source.open(None, {})
        with self._router.lock:
            # What the source remembered belongs to the history that is lost.
            facts: Facts = {f"{MEMORY_PREFIX}{key}": None for key in self._memory()}
            routed = self._router.start_all_over("changes were lost at the source")
            marks = tuple(due_batches(routed.due, self._log, position))
            self._log.append(ChangeSet(marks, self._newest(position), len(marks)), facts=facts | routed.facts)
        self._gap, self._is_fresh = None, False
        self._status.count("resnapshots_after_gap", 1)
        return position

    def _recover(self) -> None:
        """What is in memory and in the held logs, but not confirmed by the main log, did not happen."""
        with self._router.lock:
            book = self._router.book
            book.reload(self._log.facts)
            self._held.recover({s.held: book.held_next(t) for t, s in book.items() if s.held is not None})

    def _memory(self) -> dict[str, str]:
        facts = self._log.facts
        return {k.removeprefix(MEMORY_PREFIX): v for k, v in facts.items() if k.startswith(MEMORY_PREFIX)}

    def _take(self, changes: ChangeSet) -> None:
        self._is_fresh = self._is_fresh and not changes.batches
        if not self._locked:
            self._router.lock.acquire()
            self._locked = True
        routed = self._router.route(changes)
        failpoints.hit("capture.routed")
        commit = self._append(changes, routed)
        for table, state in routed.due.items():
            self._report("copying table again", level="warning", table=str(table), reason=state.reason)
        if commit is not None:
            self._unlock()

    def _unlock(self) -> None:
        if self._locked:
            self._locked = False
            self._router.lock.release()

    def _append(self, changes: ChangeSet, routed: Routed) -> Commit | None:
        """The main log's commit, or None when more parts of the transaction follow."""
        self._part_facts |= routed.facts
        confirmed = self._append_held(changes, routed)
        failpoints.hit("capture.held-durable")
        if changes.position is not None:
            for table, offset in confirmed.items():
                self._part_facts |= held_facts(table, offset)
            self._part_facts |= {f"{MEMORY_PREFIX}{k}": v for k, v in changes.memory.items()}
        marks = due_batches(routed.due, self._log, changes.position or self._reached(), changes.changes)
        live = ChangeSet(
            (*routed.live, *marks),
            changes.position,
            changes.changes + len(marks),
            changes.transactions,
            changes.commit_at,
        )
        commit = self._log.append(live, facts=self._part_facts if changes.position else None)
        if commit is None:
            return None
        failpoints.hit("capture.main-durable")
        for table, offset in confirmed.items():
            self._router.book.set_held_next(table, offset)
        self._part_facts, self._part_held = {}, set()
        self._status.captured(commit, changes.row_count)
        return commit

    def _append_held(self, changes: ChangeSet, routed: Routed) -> dict[TableId, int]:
        """Append held batches; with the last part, end the transaction in every held log that has one."""
        confirmed: dict[TableId, int] = {}
        for number in {*routed.held, *(self._part_held if changes.position else ())}:
            batches = tuple(routed.held.get(number, ()))
            part = ChangeSet(
                batches, changes.position, changes.changes, changes.transactions, changes.commit_at
            )
            next_offset = self._held.append(number, part)
            self._part_held.add(number)
            if next_offset is not None:
                confirmed[self._table_of(number)] = next_offset
        return confirmed

    def _table_of(self, number: int) -> TableId:
        return next(table for table, state in self._router.book.items() if state.held == number)

    def _forget_parts(self) -> None:
        """After an error or a stop: nothing of a half-received transaction stays."""
        self._log.abandon()
        self._held.abandon()
        self._part_facts, self._part_held = {}, set()
        self._unlock()

    def _acknowledge(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._acknowledged_at < ACKNOWLEDGE_INTERVAL_SECONDS:
            return
        safe = self._acknowledgeable()
        if safe is not None:
            self._source.acknowledge(safe)
            self._acknowledged_at = now
