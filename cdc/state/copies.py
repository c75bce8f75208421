"""Requests for copies of tables (`cdc snapshot`) in the state database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from cdc.model import TableId
from cdc.model.position import from_microseconds, to_microseconds
from cdc.spi.state import CopyRequest


class ReadsCopyRequests:
    """Operations on copy requests that need no lock: any command may call them."""

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    def _has(self, table: str) -> bool:
        """Return whether the state has this table."""
        return bool(self._all("select 1 from sqlite_master where name = ?", table))

    def request_copy(
        self, source: str, tables: Sequence[TableId] | None, sink: str | None, reason: str | None = None
    ) -> int:
        """Leave a request and return its id, for `copy_request`. Needs no lock."""
        columns: dict[str, str | int | None] = {"source": source, "tables": _text(tables), "sink": sink}
        columns |= {"requested_at": to_microseconds(datetime.now(UTC))}
        if reason is not None:
            columns |= {"reason": reason}
        marks = ", ".join("?" * len(columns))
        statement = f"insert into copies ({', '.join(columns)}) values ({marks}) returning id"  # noqa: S608
        return int(self._all(statement, *columns.values())[0]["id"])

    def unfinished_copies(self, source: str | None = None) -> list[CopyRequest]:
        """Return the requests that are not finished, of one source or of all, oldest first."""
        # As `cursors`.
        if not self._has("copies"):
            return []
        rows = self._all(
            "select * from copies where finished_at is null and coalesce(?1, source) = source order by id",
            source,
        )
        return [_request(row) for row in rows]

    def copy_request(self, number: int) -> CopyRequest | None:
        """Return the request of that id, finished or not."""
        rows = self._all("select * from copies where id = ?", number)
        return _request(rows[0]) if rows else None


class WritesCopyRequests:
    """Operations on copy requests that only the daemon, which holds the lock, may call."""

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    def take_copy(self, number: int, tables: Sequence[TableId]) -> None:
        """Store that the log has accepted the request, for exactly these tables."""
        statement = "update copies set taken_at = ?, tables = ? where id = ?"
        self._all(statement, to_microseconds(datetime.now(UTC)), _text(tables), number)

    def finish_copy(self, number: int, error: str | None = None) -> None:
        """Mark the request as done, or as failed with that error."""
        statement = "update copies set finished_at = ?, error = ? where id = ?"
        self._all(statement, to_microseconds(datetime.now(UTC)), error, number)


def _request(row: sqlite3.Row) -> CopyRequest:
    tables = None if row["tables"] is None else tuple(TableId(*pair) for pair in json.loads(row["tables"]))
    requested = _time(row["requested_at"])
    assert requested is not None
    return CopyRequest(
        id=row["id"],
        source=row["source"],
        tables=tables,
        sink=row["sink"],
        requested_at=requested,
        taken_at=_time(row["taken_at"]),
        finished_at=_time(row["finished_at"]),
        error=row["error"],
        # Not in a state that an older version wrote, and no daemon of this one has opened.
        reason=row["reason"] if "reason" in row.keys() else None,  # noqa: SIM118  (`in row` looks at values)
    )


def _text(tables: Sequence[TableId] | None) -> str | None:
    return None if tables is None else json.dumps([[table.schema, table.name] for table in tables])


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)
