"""Tables whose rows the stream cannot read at its place.

Their rows are skipped, and the table is copied again: no other table waits for it. What is in the way is
either a statement further on in the binlog, behind which the catalog shows the columns, or something that
only an operator can change; then the table is refused, by name, and looked at again every minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping

from cdc.errors import CdcError
from cdc.model import TableId
from cdc_source_mysql.binlog.lookahead import BinlogPlace

# A refused table is tried again this often; each time it is copied if the stream can read it by then.
REFUSED_SECONDS = 60.0


class Refusals:
    """Why tables are not copied, by table; shared by the stream's thread and the snapshots'."""

    def __init__(self) -> None:
        self._found: dict[TableId, tuple[CdcError, float]] = {}
        self._lock = threading.Lock()
        self._looks = 0

    def put(self, table: TableId, error: CdcError) -> None:
        with self._lock:
            self._found[table] = (error, time.monotonic())

    def drop(self, table: TableId) -> None:
        with self._lock:
            self._found.pop(table, None)

    def current(self) -> Mapping[TableId, CdcError]:
        """Those younger than a minute."""
        oldest = time.monotonic() - REFUSED_SECONDS
        with self._lock:
            return {table: error for table, (error, at) in self._found.items() if at >= oldest}

    def require_none(self, tables: Collection[TableId]) -> None:
        """Raise the refusal of the first of these tables that has one."""
        for table, error in self.current().items():
            if table in tables:
                raise error

    def look(self) -> None:
        """A snapshot is about to look at tables: the stream must not skip what it would read by now."""
        with self._lock:
            self._looks += 1

    @property
    def looks(self) -> int:
        return self._looks


class Waits:
    """Tables whose columns are unknown until the stream has passed a place. Not thread-safe."""

    def __init__(self) -> None:
        self._until: dict[TableId, tuple[BinlogPlace, str]] = {}

    def put(self, table: TableId, until: BinlogPlace, reason: str) -> None:
        self._until[table] = (until, reason)

    def reason(self, table: TableId, now: BinlogPlace) -> str:
        """Why the catalog need not be asked at this place; '' when it may help."""
        until, reason = self._until.get(table, ((0, 0), ""))
        if until > now:
            return reason
        self._until.pop(table, None)
        return ""
