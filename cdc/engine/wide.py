"""Wide rows pass one delivery at a time: each holds a row several times, and memory is the process's."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

# Rows of this size together are few, or one.
WIDE_BYTES = 16 * 1024 * 1024
# A delivery that is not applied by then waits for its target, which must not delay the others.
LONGEST_WAIT_SECONDS = 60.0

_TURN = threading.Lock()


class WideTurn:
    """The turn of one delivery, taken before its first wide rows are read, and returned at its end. It waits
    at most `wait_seconds` for other deliveries.
    """

    def __init__(self, wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._has_waited = self.is_held = False

    def take(self, byte_count: int) -> None:
        """Wait for other deliveries of wide rows, once."""
        if byte_count >= WIDE_BYTES and not self._has_waited:
            self._has_waited = True
            self.is_held = _TURN.acquire(timeout=self._wait_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_held:
            self.is_held = False
            _TURN.release()
