"""Waits of a source or sink. A wait that lasts is logged once, shown in the status with its reason,
and logged again when it ends.

A worker that waits as a whole (an unreachable server, a locked file) reports an error instead. These waits
are parts of work that continues: one table, one copy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cdc.engine.pacing import Pacing
from cdc.spi.status import WaitReport

# Precedes the name of a table that waits.
TABLE = "table "
# The remedy of a wait that ends without an operator.
NO_ACTION = "No action needed: the daemon continues when the wait is over."


@dataclass(slots=True)
class Wait:
    """One wait: `what` waits for `reason`; `is_reported` once it was logged."""

    what: str
    reason: str
    remedy: str
    level: str
    kind: str
    since: datetime
    begun: float
    is_reported: bool = False

    def report(self) -> WaitReport:
        table = self.what.removeprefix(TABLE) if self.what.startswith(TABLE) else None
        return WaitReport(self.what, table, self.kind, self.reason, self.remedy, self.since.isoformat())


class Waits:
    """The waits of one source or sink. Thread-safe."""

    def __init__(
        self,
        pacing: Pacing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pacing = pacing or Pacing()
        self._clock = clock
        self._waits: dict[str, Wait] = {}
        self._ended: list[Wait] = []
        self._lock = threading.Lock()

    def begin(
        self,
        what: str,
        reason: str,
        remedy: str = NO_ACTION,
        *,
        level: str = "warning",
        kind: str = "waiting",
    ) -> None:
        """Note that `what` waits; the same reason continues the wait, another one starts a new wait."""
        with self._lock:
            known = self._waits.get(what)
            if known is not None and known.reason == reason:
                return
            now = datetime.now(UTC)
            self._waits[what] = Wait(what, reason, remedy or NO_ACTION, level, kind, now, self._clock())

    def end(self, what: str) -> None:
        """End the wait of `what`, if there is one."""
        with self._lock:
            known = self._waits.pop(what, None)
            if known is not None and known.is_reported:
                self._ended.append(known)

    def end_all(self, prefix: str, but: set[str] | frozenset[str] = frozenset()) -> None:
        """End every wait whose `what` begins so, but these."""
        for what in [what for what in list(self._waits) if what.startswith(prefix) and what not in but]:
            self.end(what)

    def seconds(self, what: str) -> float:
        """Return how long `what` has waited for its reason; 0 if it does not wait."""
        known = self._waits.get(what)
        return 0.0 if known is None else self._clock() - known.begun

    def report(self, log: Callable[..., None]) -> None:
        """Log waits that have become long and waits that have ended, each once."""
        with self._lock:
            begun = [wait for wait in self._waits.values() if self._lasts(wait) and not wait.is_reported]
            for wait in begun:
                wait.is_reported = True
            ended, self._ended = self._ended, []
        for wait in begun:
            log(
                "waiting",
                level=wait.level,
                what=wait.what,
                reason=wait.reason,
                remedy=wait.remedy,
                since=wait.since.isoformat(timespec="seconds"),
            )
        for wait in ended:
            seconds = round(self._clock() - wait.begun)
            log("no longer waiting", what=wait.what, reason=wait.reason, waited_seconds=seconds)

    def reports(self) -> list[WaitReport]:
        """The waits that last, the longest first."""
        with self._lock:
            return [wait.report() for wait in self._waits.values() if self._lasts(wait)]

    @property
    def kinds(self) -> set[str]:
        """The kinds of all waits, short ones too."""
        with self._lock:
            return {wait.kind for wait in self._waits.values()}

    def _lasts(self, wait: Wait) -> bool:
        return self._clock() - wait.begun >= self._pacing.lasting_seconds
