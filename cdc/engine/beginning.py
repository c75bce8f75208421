"""Find the offset at which a sink begins if the log no longer has its next change: a new sink on a trimmed
log, or a sink that retention has passed.
"""

from __future__ import annotations

import threading

from cdc.defaults import BackfillMode
from cdc.engine.status import SinkStatus
from cdc.engine.workers import Log
from cdc.errors import LogTrimmed
from cdc.model import Position
from cdc.spi import Cursor, DeliveryState, LogReader

# Key of the log metadata, before a sink's name: the offset from which the log has all tables whole for it.
BEGIN_PREFIX = "begin:"
# How often a sink that waits for the copies of its tables looks whether they are due in the log.
POLL_SECONDS = 0.2
NEW_SINK = "the log no longer has the history that the sink needs"


class Beginning:
    """The policy of one sink (`backfill`) for one source."""

    def __init__(
        self,
        log: LogReader,
        state: DeliveryState,
        mode: BackfillMode,
        status: SinkStatus,
        report: Log,
    ) -> None:
        self._log = log
        self._state = state
        self._mode = mode
        self._status = status
        self._report = report

    def is_needed(self, cursor: Cursor | None) -> bool:
        """Return whether the log lacks the change that the sink needs next."""
        return (cursor.next if cursor else 0) < self._log.start

    def find(self, cursor: Cursor | None, stop: threading.Event) -> int | None:
        """Return the offset to begin at, once it is known; None if stopped before.

        Raises:
            LogTrimmed: the policy is `fail`, and no operator has asked for copies.
        """
        reached = cursor.next if cursor else 0
        found = self._copied_from(reached)
        if found is not None:
            return found
        is_asked_for = self._is_asked_for()
        if self._mode == "fail" and not is_asked_for:
            raise self._trimmed(cursor)
        if self._mode == "log" and not is_asked_for:
            self._report_choice(cursor, "it starts with the oldest change in the log")
            return self._log.start
        self._report_choice(cursor, "copying all tables for it")
        self._status.state = "waiting for its copies"
        while found is None and not stop.is_set():
            if not is_asked_for:
                self._state.request_copy(self._status.source, None, self._status.name, NEW_SINK)
                is_asked_for = True
            stop.wait(POLL_SECONDS)
            found = self._copied_from(reached)
            if found is None and not self._is_asked_for():
                # The request was refused: the policy decides again.
                return self._copied_from(reached) or self.find(cursor, stop)
        return found

    def position_at(self, offset: int) -> Position:
        """Return the source position that a sink has which begins at `offset`."""
        end = self._log.end
        assert end is not None, "a log that was trimmed has commits"
        before = offset - 1 if offset > self._log.start else offset
        return next((commit.position for commit in self._log.commits(before)), end.position)

    def _is_asked_for(self) -> bool:
        """Return whether a request for all tables of this sink waits to be taken."""
        name, source = self._status.name, self._status.source
        return any(
            request.sink == name and request.tables is None and not request.is_taken
            for request in self._state.unfinished_copies(source)
        )

    def _copied_from(self, reached: int) -> int | None:
        text = self._log.metadata.get(f"{BEGIN_PREFIX}{self._status.name}")
        offset = None if text is None else int(text)
        usable = offset is not None and offset > reached and offset >= self._log.start
        return offset if usable else None

    def _report_choice(self, cursor: Cursor | None, what: str) -> None:
        self._report(
            f"the log no longer has what the sink needs: {what}",
            level="warning",
            source=self._status.source,
            log_start=self._log.start,
            sink_next=cursor.next if cursor else None,
        )

    def _trimmed(self, cursor: Cursor | None) -> LogTrimmed:
        name, source = self._status.name, self._status.source
        subject = "the sink is new" if cursor is None else f"the sink is at offset {cursor.next}"
        return LogTrimmed(
            f"{subject}, and the log begins at offset {self._log.start}: earlier changes are gone",
            where=f"sinks.{name}",
            remedy=f"cdc snapshot {source} --sink {name}",
        )
