"""How much a stream or a copy gathers before it hands it on, and how long a session waits for more."""

from __future__ import annotations

import time

from cdc.model import ChangeSet

# How long small transactions are gathered: a sixth of the latency we promise, and enough for one fsync to
# serve many.
GATHER_SECONDS = 0.003
# The caller gets None this often when there is nothing, so that it can stop: five wakes a second cost nothing
# that can be measured, and a stop or a `run --once` ends 0.8 s sooner than with one.
NOTHING_SECONDS = 0.2
# An idle position is worth a write to the log this often. Somebody who waits for it gets it at once.
IDLE_SECONDS = 5.0
# A batch of copied rows: one log frame; larger ones only cost memory, of which each reader holds some three
# times this.
COPY_BATCH_BYTES = 4 * 1024 * 1024


class Pace:
    """The clock of one session; every `now` is `time.monotonic()`."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._gathering_since: float | None = None
        self._yielded_at = self._advanced_at = time.monotonic()

    def gather(self, now: float) -> None:
        """Note that changes wait from now on, if none waited before."""
        if self._gathering_since is None:
            self._gathering_since = now

    def has_gathered(self, now: float, seconds: float | None = None) -> bool:
        """Return whether changes have waited for GATHER_SECONDS, or for as long as given."""
        since = self._gathering_since
        return since is not None and now - since >= (GATHER_SECONDS if seconds is None else seconds)

    def nothing_is_due(self, now: float) -> bool:
        """Return whether the caller has to get control, though there is nothing for it."""
        return now - self._yielded_at >= NOTHING_SECONDS

    def idle_is_due(self, now: float) -> bool:
        """Return whether a position that moved without changes is worth a set."""
        return now - self._advanced_at >= self._idle_seconds

    def patience_seconds(self, now: float, *, in_transaction: bool) -> float:
        """Return how long to wait for bytes. Gathered changes cannot be handed on inside of a transaction."""
        if self._gathering_since is not None and not in_transaction:
            return max(0.0, GATHER_SECONDS - (now - self._gathering_since))
        return max(0.0, NOTHING_SECONDS - (now - self._yielded_at))

    def yielded(self, changes: ChangeSet | None) -> None:
        """Note that the caller has taken these changes, or None, and asks for more."""
        self._yielded_at = time.monotonic()
        if changes is not None:
            self._gathering_since = None
            if changes.position is not None:
                self._advanced_at = self._yielded_at
