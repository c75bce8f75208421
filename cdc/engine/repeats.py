"""Tables that need a new copy repeatedly, because an application keeps making changes that only a copy can
capture.

The first copy begins at once. Each later one waits twice as long as the one before, as an error that names
the remedy, so that a source is not read for ever. All of them begin when the stream has caught up with the
source, because later changes in the stream would make the copy invalid.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cdc.errors import UnsupportedSchema
from cdc.model import Position, Resnapshot, TableId

# The pause before the second copy: longer than what a session that is put right within the minute needs to
# end, short enough for somebody who waits for it.
FIRST_PAUSE_SECONDS = 30.0
# A table that is never right is still tried: an hour is no burden, and a day would be forgotten.
LONGEST_PAUSE_SECONDS = 3600.0
# After so long, and at least two pauses, without it the next time counts as the first.
CALM_SECONDS = 600.0
# So many copies in a row that could not begin, because the next request came first, count as one that was
# void: a burst of changes is over after fewer.
OUTRUN_COPIES = 3


@dataclass(slots=True)
class _Repeat:
    request: Resnapshot
    count: int
    at: float
    # The order of the source's position when the coordinator first saw the request.
    source_order: int | None = None

    @property
    def pause_seconds(self) -> float:
        if self.count == 1:
            return 0.0
        return float(min(FIRST_PAUSE_SECONDS * 2 ** min(self.count - 2, 32), LONGEST_PAUSE_SECONDS))


class Repeats:
    """Thread-safe: capture notes, the coordinator asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._repeats: dict[TableId, _Repeat] = {}
        self._outrun: Counter[TableId] = Counter()
        self._lock = threading.Lock()

    def note(self, table: TableId, request: Resnapshot) -> None:
        """Note that the present copy of the table, or the one in progress, is invalid."""
        if not request.remedy:
            return
        now = self._clock()
        with self._lock:
            known = self._repeats.get(table)
            is_again = known is not None and now - known.at < max(CALM_SECONDS, 2 * known.pause_seconds)
            count = known.count + 1 if known is not None and is_again else 1
            self._repeats[table] = _Repeat(request, count, now)

    def note_outrun(self, table: TableId, request: Resnapshot) -> None:
        """Note that a copy of the table did not begin, because this request came first."""
        with self._lock:
            self._outrun[table] += 1
            if self._outrun[table] < OUTRUN_COPIES:
                return
            del self._outrun[table]
        self.note(table, request)

    def forget(self, table: TableId) -> None:
        """Let the next copy begin at once, because an operator requested it."""
        with self._lock:
            self._repeats.pop(table, None)

    def pause(self, table: TableId) -> UnsupportedSchema | None:
        """Return why a copy of this table does not begin yet; None when it may."""
        with self._lock:
            known = self._repeats.get(table)
        if known is None or self._clock() - known.at >= known.pause_seconds:
            return None
        return UnsupportedSchema(
            f"a copy became due {known.count} times in a row, most recently because {known.request.reason}:"
            f" the next copy begins {known.pause_seconds:g} s after that",
            where=str(table),
            remedy=known.request.remedy,
        )

    def is_behind(self, table: TableId, source: Position, reached: Position) -> bool:
        """Return whether the stream has not reached the source's position at the request; the source is at
        `source` now.
        """
        with self._lock:
            known = self._repeats.get(table)
            if known is None:
                return False
            if known.source_order is None:
                known.source_order = source.order
            return reached.order < known.source_order
