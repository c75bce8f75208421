"""Source → log: one thread a source takes ChangeSets, makes them durable, and only then acknowledges."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping

from cdc import failpoints
from cdc.engine.capture_context import CaptureContext
from cdc.engine.copies import CopyRequests
from cdc.engine.gaps import for_operator
from cdc.engine.identity import IDENTITY_KEY, STARTS_KEY, next_start, starts_in, verify_identity
from cdc.engine.ledger import LedgerEntry, Metadata
from cdc.engine.outdated import Outdated, record_of
from cdc.engine.routing import Routed, due_batches, forget, unselected
from cdc.errors import SourceGap, SourceUnavailable
from cdc.model import ChangeSet, Position
from cdc.spi import metrics
from cdc.spi.source import SEALED_PREFIX, TransformsRows
from cdc.transform.sealing import unreadable

MEMORY_PREFIX = "memory:"
# Sinks commit often; asking each for its position at every set would cost more than it frees at the source.
ACKNOWLEDGE_INTERVAL_SECONDS = 1.0


class Capture:
    """Runs one source's stream into its log.

    `run` may be called again after an error: it starts from what is durable.
    """

    def __init__(
        self,
        context: CaptureContext,
        acknowledgeable: Callable[[], Position | None],
        requests: CopyRequests,
    ) -> None:
        self._source = context.source
        self._ledger = context.ledger
        self._log = context.log
        self._router = context.router
        self._status = context.status
        self._report = context.report
        self._accept_identity = context.spec.accept_identity
        # Without snapshots, no copy can close a gap.
        self._copies = context.spec.snapshot != "never"
        self._resnapshots = self._copies and context.spec.on_gap == "resnapshot"
        self._starts = next_start(self._log.metadata, takes_over=context.spec.takes_over)
        # This run began the log and has taken no change yet.
        self._is_fresh = False
        self._gap: SourceGap | None = None
        self._acknowledgeable = acknowledgeable
        self._requests = requests
        self._outdated = Outdated(context.ledger, record_of(context.source))
        # The transaction that is being taken, from its first part to its last.
        self._entry: LedgerEntry | None = None
        self._acknowledged_at = 0.0
        self.opened = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Stream until stopped; raises what the source or the log raises."""
        try:
            self._follow(self._open(), stop)
        except SourceGap as gap:
            if not self._starts_over:
                raise for_operator(gap, self._status.name, copies=self._copies) from gap
            self._gap = gap
            raise SourceUnavailable("changes were lost at the source: starting again with a copy") from gap

    @property
    def _starts_over(self) -> bool:
        """Return whether a new copy follows a gap: by the config, or because the operator asked for all
        tables (`cdc snapshot SOURCE`). Before the first change, a new copy loses nothing: it is as if the
        source had been added a moment later.
        """
        is_wanted = self._resnapshots or self._is_fresh or self._gap is not None
        return is_wanted or (self._copies and self._requests.wants_all)

    def _follow(self, position: Position, stop: threading.Event) -> None:
        stream = self._source.stream(position, self._memory())
        self._status.streaming()
        try:
            for changes in stream:
                # No gap here: what the operator asks for is a copy beside the stream.
                self._requests.are_held = False
                if changes is not None:
                    self._take(changes)
                if stop.is_set():
                    break
                self._acknowledge(force=changes is None)
                # Wide rows must be gone before the stream makes the next ones.
                changes = None  # noqa: PLW2901
        finally:
            # After an error or a stop: nothing of a half-received transaction stays.
            self._close_entry()
            stream.close()
        self._acknowledge(force=True)

    def _open(self) -> Position:
        self._status.connecting()
        self._requests.are_held = True
        end = self._log.end
        metadata = self._log.metadata
        identity = verify_identity(
            self._source.identity(), metadata.get(IDENTITY_KEY), accept=self._accept_identity
        )
        try:
            if self._gap is not None:
                raise self._gap
            self._require_readable()
            position = self._source.open(end.position if end else None, self._memory())
        except SourceGap as gap:
            position = self._start_again(gap)
        if end is None or metadata.get(IDENTITY_KEY) != identity:
            self._note(position, {IDENTITY_KEY: identity, STARTS_KEY: str(self._starts)})
        self.note_start()
        self._forget_unselected(position)
        self._compare_transforms(position)
        self._is_fresh = self._is_fresh or (self._copies and end is None)
        self._status.positioned(self._log.end)
        self.opened.set()
        return position

    def note_start(self) -> None:
        """Count this start in the log, unless it is still empty."""
        end = self._log.end
        if end is not None and starts_in(self._log.metadata) != self._starts:
            self._note(end.position, {STARTS_KEY: str(self._starts)})

    def _note(self, position: Position, metadata: Mapping[str, str]) -> None:
        """Change the log metadata; the position never moves back."""
        with self._ledger.begin() as entry:
            entry.commit(self._newest(position), metadata)

    def _forget_unselected(self, position: Position) -> None:
        """Forget the tables that the config no longer selects, so that one that returns is copied again."""
        with self._ledger.begin() as entry:
            left = unselected(entry.tables, self._source.selects)
            if not left:
                return
            forget(entry, left, position)
            entry.commit(self._newest(position))
        for table in sorted(table for table in left if table.schema):
            self._report(
                "a table is no longer selected: the sinks keep its rows, and the daemon copies it again"
                " when it is selected again",
                level="warning",
                table=str(table),
            )

    def _require_readable(self) -> None:
        """Raise SourceGap if the source state is encrypted and nothing here can read it."""
        if isinstance(self._source, TransformsRows):
            return
        if any(text.startswith(SEALED_PREFIX) for text in self._memory().values()):
            raise unreadable(self._status.name)

    def _compare_transforms(self, position: Position) -> None:
        """Say which rows were captured under other transforms, and copy tables whose keys were."""
        if self._copies:
            with self._ledger.begin() as entry:
                routed = self._outdated.copy_where_keys_changed(entry, self._router)
                if routed.due:
                    marks = tuple(due_batches(routed.due, entry.schema, position))
                    entry.append(ChangeSet(marks, None, len(marks)))
                    entry.commit(self._newest(position))
            for table, state in routed.due.items():
                self._report("copying table again", level="warning", table=str(table), reason=state.reason)
        for table, changed in self._outdated.changes().items():
            self._report(
                "the transforms of a table have changed: rows that were delivered stay as they were captured",
                level="warning",
                table=str(table),
                changed=changed,
                remedy=shlex.join(["cdc", "snapshot", self._status.name, str(table)]),
            )

    def _newest(self, position: Position) -> Position:
        end = self._log.end
        return max(position, end.position) if end else position

    def _start_again(self, gap: SourceGap) -> Position:
        """Follow from now on, and copy every table again from nothing."""
        if not self._starts_over:
            raise gap
        self._report(
            "changes were lost at the source: copying every table again",
            level="warning",
            gap=gap.message,
            where=gap.where,
        )
        position = self._source.open(None, {})
        with self._ledger.begin() as entry:
            # What the source remembered belongs to the history that is lost.
            forgotten: Metadata = {f"{MEMORY_PREFIX}{key}": None for key in self._memory()}
            routed = self._router.start_all_over(entry.tables, "changes were lost at the source")
            marks = tuple(due_batches(routed.due, entry.schema, position))
            entry.append(ChangeSet(marks, None, len(marks)))
            self._ledger.start_new_history()
            entry.commit(self._newest(position), forgotten)
        self._gap, self._is_fresh = None, False
        self._status.count("resnapshots_after_gap", 1)
        return position

    def _memory(self) -> dict[str, str]:
        metadata = self._log.metadata
        return {k.removeprefix(MEMORY_PREFIX): v for k, v in metadata.items() if k.startswith(MEMORY_PREFIX)}

    def _take(self, changes: ChangeSet) -> None:
        self._is_fresh = self._is_fresh and not changes.batches
        self._entry = entry = self._entry or self._ledger.begin()
        routed = self._router.route(entry, changes)
        failpoints.hit("capture.routed")
        self._status.took(changes, entry.schema)
        self._append(entry, changes, routed)
        if changes.position is not None:
            memory = {f"{MEMORY_PREFIX}{key}": text for key, text in changes.memory.items()}
            commit = entry.commit(changes.position, memory)
            failpoints.hit("capture.durable")
            self._status.captured(commit, changes.row_count)
            self._close_entry()
        for table, state in routed.due.items():
            self._status.meter.add(metrics.RECOPIES, 1, state.reason)
            self._report("copying table again", level="warning", table=str(table), reason=state.reason)

    def _append(self, entry: LedgerEntry, changes: ChangeSet, routed: Routed) -> None:
        position = changes.position or self._ledger.reached
        marks = due_batches(routed.due, entry.schema, position, changes.changes)
        live = (*routed.live, *marks)
        count = changes.changes + len(marks)
        entry.append(ChangeSet(live, None, count, changes.transactions, changes.commit_at))
        for number, batches in routed.buffered.items():
            entry.buffer(
                number,
                ChangeSet(tuple(batches), None, changes.changes, changes.transactions, changes.commit_at),
            )

    def _close_entry(self) -> None:
        if self._entry is not None:
            self._entry.close()
            self._entry = None

    def _acknowledge(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._acknowledged_at < ACKNOWLEDGE_INTERVAL_SECONDS:
            return
        safe = self._acknowledgeable()
        if safe is not None:
            self._source.acknowledge(safe)
            self._acknowledged_at = now
