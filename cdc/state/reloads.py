"""Requests that the daemon loads its configuration again, in the state database."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import orjson

from cdc.model.position import to_microseconds
from cdc.spi.state import ReloadRequest


class KeepsReloads:
    """The part of the state that commands and the daemon write alike, without the lock."""

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    def _has(self, table: str) -> bool:
        raise NotImplementedError

    def request_reload(self, by: str, *, dry_run: bool) -> int:
        """Leave a request; return its id."""
        statement = "insert into reloads (by, dry_run, requested_at) values (?, ?, ?) returning id"
        now = to_microseconds(datetime.now(UTC))
        return int(self._all(statement, by, int(dry_run), now)[0]["id"])

    def reload_requests(self) -> list[ReloadRequest]:
        """Return the requests that are not finished, oldest first."""
        if not self._has("reloads"):
            return []
        return [
            _request(row) for row in self._all("select * from reloads where finished_at is null order by id")
        ]

    def reload_request(self, number: int) -> ReloadRequest | None:
        """Return the request of that id, finished or not."""
        rows = self._all("select * from reloads where id = ?", number)
        return _request(rows[0]) if rows else None

    def finish_reload(self, number: int, result: object) -> None:
        """Mark the request as done or refused, with the JSON document `result`; delete older requests."""
        statement = "update reloads set finished_at = ?, result = ? where id = ?"
        self._all(statement, to_microseconds(datetime.now(UTC)), orjson.dumps(result).decode(), number)
        self._all("delete from reloads where id < ? and finished_at is not null", number)


def _request(row: sqlite3.Row) -> ReloadRequest:
    result = row["result"]
    return ReloadRequest(
        row["id"], row["by"], bool(row["dry_run"]), None if result is None else orjson.loads(result)
    )
