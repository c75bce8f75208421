"""Where a sink begins whose next change the log no longer has: a new sink after retention, or a sink that
retention has passed.
"""

from __future__ import annotations

import threading
from typing import Protocol

from cdc.engine.specs import BackfillMode
from cdc.engine.status import SinkStatus
from cdc.engine.workers import Log
from cdc.errors import LogTrimmed
from cdc.model import Position
from cdc.spi import ChangeLog, Cursor

# How often a sink that waits for the copies of its tables looks whether they are due in the log.
POLL_SECONDS = 0.2


class Beginnings(Protocol):
    """Where copies for single sinks are asked for."""

    def ask(self, sink: str) -> None:
        """Ask that all tables are copied for this sink; may be repeated."""
        ...

    def is_asked_for(self, sink: str) -> bool:
        """Whether an operator has asked that all tables are copied for this sink."""
        ...

    def beginning(self, sink: str) -> int | None:
        """Return the newest offset from which on the log has all tables whole for this sink."""
        ...


class Beginning:
    """The policy of one sink (`backfill`) for one source."""

    def __init__(
        self,
        log: ChangeLog,
        beginnings: Beginnings,
        mode: BackfillMode,
        status: SinkStatus,
        report: Log,
    ) -> None:
        self._log = log
        self._beginnings = beginnings
        self._mode = mode
        self._status = status
        self._report = report

    def is_needed(self, cursor: Cursor | None) -> bool:
        """Whether the log lacks what the sink needs next."""
        return (cursor.next if cursor else 0) < self._log.start

    def find(self, cursor: Cursor | None, stop: threading.Event) -> int | None:
        """Return the offset to begin at, once it is known; None when stopped before.

        Raises:
            LogTrimmed: the policy is `fail`, and no operator has asked for copies.
        """
        reached = cursor.next if cursor else 0
        found = self._copied_from(reached)
        if found is not None:
            return found
        is_asked_for = self._beginnings.is_asked_for(self._status.name)
        if self._mode == "fail" and not is_asked_for:
            raise self._trimmed(cursor)
        if self._mode == "log" and not is_asked_for:
            self._report_choice(cursor, "it starts with the oldest change in the log")
            return self._log.start
        self._report_choice(cursor, "copying all tables for it")
        self._status.state = "waiting for its copies"
        while found is None and not stop.is_set():
            if not is_asked_for:
                self._beginnings.ask(self._status.name)
            stop.wait(POLL_SECONDS)
            found = self._copied_from(reached)
            if found is None and is_asked_for and not self._beginnings.is_asked_for(self._status.name):
                # The request was refused: the policy decides again.
                return self._copied_from(reached) or self.find(cursor, stop)
        return found

    def position_at(self, offset: int) -> Position:
        """Return the source position that a sink has which begins at `offset`."""
        end = self._log.end
        assert end is not None, "a log that was trimmed has commits"
        before = offset - 1 if offset > self._log.start else offset
        return next((commit.position for commit in self._log.commits(before)), end.position)

    def _copied_from(self, reached: int) -> int | None:
        offset = self._beginnings.beginning(self._status.name)
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
            f"{subject}, and the log begins at offset {self._log.start}: the changes before are gone",
            where=f"sinks.{name}",
            remedy=f"cdc snapshot {source} --sink {name}",
        )
