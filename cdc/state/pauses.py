"""Pauses of sources and sinks, and requests to pause and resume tables, in the state database."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from cdc.model import TableId
from cdc.model.position import from_microseconds, to_microseconds
from cdc.spi.state import Pausable, Pause, TablePauseRequest


class KeepsPauses:
    """Operations on pauses, for commands and the daemon. None needs the lock."""

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    def _has(self, table: str) -> bool:
        raise NotImplementedError

    def pauses(self) -> list[Pause]:
        """Return the sources and sinks that are paused, by kind and name."""
        if not self._has("pauses"):
            return []
        rows = self._all("select * from pauses order by kind, name")
        return [Pause(row["kind"], row["name"], from_microseconds(row["at"]), row["by"]) for row in rows]

    def add_pause(self, kind: Pausable, name: str, by: str) -> None:
        """Store a pause; no-op if there is one."""
        statement = "insert into pauses values (?, ?, ?, ?) on conflict do nothing"
        self._all(statement, kind, name, to_microseconds(datetime.now(UTC)), by)

    def remove_pause(self, kind: Pausable, name: str) -> None:
        """Delete a pause; no-op if there is none."""
        self._all("delete from pauses where kind = ? and name = ?", kind, name)

    def request_table_pause(self, source: str, table: TableId, *, pauses: bool) -> int:
        """Add a request to pause or resume a table; return its id."""
        statement = (
            "insert into table_pauses (source, table_schema, table_name, pauses, requested_at) "
            "values (?, ?, ?, ?, ?) returning id"
        )
        now = to_microseconds(datetime.now(UTC))
        return int(self._all(statement, source, table.schema, table.name, int(pauses), now)[0]["id"])

    def table_pause_requests(self) -> list[TablePauseRequest]:
        """Return the requests that are not finished, oldest first."""
        if not self._has("pauses"):
            return []
        return [
            _request(row)
            for row in self._all("select * from table_pauses where finished_at is null order by id")
        ]

    def table_pause_request(self, number: int) -> TablePauseRequest | None:
        """Return the request of that id, finished or not."""
        rows = self._all("select * from table_pauses where id = ?", number)
        return _request(rows[0]) if rows else None

    def finish_table_pause(self, number: int, error: str | None = None) -> None:
        """Mark the request as done, or as refused with that error."""
        statement = "update table_pauses set finished_at = ?, error = ? where id = ?"
        self._all(statement, to_microseconds(datetime.now(UTC)), error, number)


def _request(row: sqlite3.Row) -> TablePauseRequest:
    finished = row["finished_at"]
    return TablePauseRequest(
        id=row["id"],
        source=row["source"],
        table=TableId(row["table_schema"], row["table_name"]),
        pauses=bool(row["pauses"]),
        requested_at=from_microseconds(row["requested_at"]),
        finished_at=None if finished is None else from_microseconds(finished),
        error=row["error"],
    )
