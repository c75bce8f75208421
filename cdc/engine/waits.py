"""What a source or a sink waits for: each wait that lasts is said once when it begins to last, shown in the
status with its reason, and said once when it ends.

Waits of a whole worker (an unreachable server, a locked file) are errors that its retries report; these here
are waits inside of work that goes on: one table, one copy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# What a table that waits is known by, before its name.
TABLE = "table "
# A wait shorter than this is the ordinary course of things.
LASTING_SECONDS = 3.0


@dataclass(slots=True)
class Wait:
    """One wait: `what` waits, `reason` why; `is_told` when it was logged."""

    what: str
    reason: str
    remedy: str
    level: str
    kind: str
    since: datetime
    begun: float
    is_told: bool = False

    @property
    def lasts(self) -> bool:
        return time.monotonic() - self.begun >= LASTING_SECONDS

    def document(self) -> dict[str, Any]:
        table = self.what.removeprefix(TABLE) if self.what.startswith(TABLE) else None
        return {
            "what": self.what,
            **({"table": table} if table else {}),
            "kind": self.kind,
            "reason": self.reason,
            "remedy": self.remedy,
            "since": self.since.isoformat(),
        }


class Waits:
    """The waits of one source or sink. Thread-safe."""

    def __init__(self) -> None:
        self._waits: dict[str, Wait] = {}
        self._ended: list[Wait] = []
        self._lock = threading.Lock()

    def begin(
        self, what: str, reason: str, remedy: str = "", *, level: str = "warning", kind: str = "waiting"
    ) -> None:
        """Note that `what` waits; again with the same reason it goes on, with another it begins anew."""
        with self._lock:
            known = self._waits.get(what)
            if known is not None and known.reason == reason:
                return
            now = datetime.now(UTC)
            self._waits[what] = Wait(what, reason, remedy, level, kind, now, time.monotonic())

    def end(self, what: str) -> None:
        """Note that `what` waits no longer; no-op when it did not."""
        with self._lock:
            known = self._waits.pop(what, None)
            if known is not None and known.is_told:
                self._ended.append(known)

    def end_all(self, prefix: str, but: set[str] | frozenset[str] = frozenset()) -> None:
        """End every wait whose `what` begins so, but these."""
        for what in [what for what in list(self._waits) if what.startswith(prefix) and what not in but]:
            self.end(what)

    def seconds(self, what: str) -> float:
        """Return how long `what` has waited for its reason; 0 when it doesn't wait."""
        known = self._waits.get(what)
        return 0.0 if known is None else time.monotonic() - known.begun

    def tell(self, report: Callable[..., None]) -> None:
        """Log what has begun to last, and what has ended, each once."""
        with self._lock:
            begun = [wait for wait in self._waits.values() if wait.lasts and not wait.is_told]
            for wait in begun:
                wait.is_told = True
            ended, self._ended = self._ended, []
        for wait in begun:
            report(
                "waiting",
                level=wait.level,
                what=wait.what,
                reason=wait.reason,
                remedy=wait.remedy or None,
                since=wait.since.isoformat(timespec="seconds"),
            )
        for wait in ended:
            seconds = round(time.monotonic() - wait.begun)
            report("no longer waiting", what=wait.what, reason=wait.reason, waited_seconds=seconds)

    def document(self) -> list[dict[str, Any]]:
        """The waits that last, the longest first."""
        with self._lock:
            return [wait.document() for wait in self._waits.values() if wait.lasts]

    @property
    def kinds(self) -> set[str]:
        """The kinds of all waits, short ones too."""
        with self._lock:
            return {wait.kind for wait in self._waits.values()}
