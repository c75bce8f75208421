"""Watch the tables that a sink has set aside: show them in the status, check once a minute whether the sink
can store them, and request a copy of each table that it can store again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc.engine.status import LastError, SinkStatus
from cdc.model import TableId
from cdc.spi import LogReader, SetAside, SetsAside, Sink

# A table is set aside within a delivery; a second's delay is not felt.
LOOK_SECONDS = 1.0
# An operator who removed the cause waits no longer than this.
RECONSIDER_SECONDS = 60.0


class AsideWatch:
    """Watch of one (source, sink) pair; `request_copy` requests a copy of a table for the sink."""

    def __init__(
        self, source: str, log: LogReader, status: SinkStatus, request_copy: Callable[[TableId], None]
    ) -> None:
        self._source = source
        self._log = log
        self._status = status
        self._request_copy = request_copy
        self._requested: set[TableId] = set()
        self._looked_at = self._reconsidered_at = float("-inf")

    def look(self, sink: Sink, *, at_once: bool = False) -> None:
        """Ask the sink, unless it was asked a moment ago; `at_once` after a delivery."""
        now = time.monotonic()
        if not isinstance(sink, SetsAside) or (now - self._looked_at < LOOK_SECONDS and not at_once):
            return
        self._looked_at = now
        found = sink.set_aside(self._source)
        if found and now - self._reconsidered_at >= RECONSIDER_SECONDS:
            self._reconsidered_at = now
            for one in found:
                self._reconsider(sink, one)
            found = sink.set_aside(self._source)
        self._status.set_aside = {str(one.table): _as_error(one) for one in found if one.skips}
        wanted = {one.table for one in found if one.deliverable}
        for table in sorted(wanted - self._requested):
            self._request_copy(table)
        # One that comes back and is set aside again later is requested again.
        self._requested = wanted

    def _reconsider(self, sink: SetsAside, one: SetAside) -> None:
        schema = self._log.schema(one.table)
        if schema is not None and not one.deliverable:
            sink.reconsider(self._source, schema)


def _as_error(one: SetAside) -> LastError:
    since = f" (the sink has its changes below offset {one.since:,})" if one.since else ""
    return LastError.noted(one.kind, one.message + since, one.remedy)
