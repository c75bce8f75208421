"""The state database: SQLite under `state_dir`, written by the one daemon that holds the lock, read by any
command.

Logs hold the truth about sources, sinks the truth about what they applied; here is what fixes a delivery
before its first attempt, and history for people. Every method is one durable transaction; any thread may
call.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cdc.errors import CdcError, StateError, StateFull
from cdc.files import NO_ROOM, FolderLock, file_mode, make_folder
from cdc.model import Position
from cdc.model.position import from_microseconds, to_microseconds
from cdc.spi.holder import StateHolder
from cdc.spi.state import Checkpoint, Plan, PublishedCursor, ReplayRequest
from cdc.state.copies import ReadsCopyRequests, WritesCopyRequests
from cdc.state.definitions import ReadsDefinitions, WritesDefinitions
from cdc.state.pauses import KeepsPauses
from cdc.state.reloads import KeepsReloads
from cdc.state.schema import check_version, migrate, require_own_version
from cdc.state.status_file import write_status

DATABASE_NAME = "state.sqlite"
# A reader or a replay request waits so long for a write of the daemon, which takes milliseconds.
_BUSY_SECONDS = 10.0
# Checkpoints: all of the last day, then one an hour for 30 days, then one a day, so a year of history has a
# few thousand rows a source whatever their rate.
KEEP_ALL = timedelta(days=1)
KEEP_HOURLY = timedelta(days=30)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
# More than SQLite asks for at once, so that what it found no room for has none here either.
_PROBE_BYTES = 64 * 1024


class SqliteStateReader(ReadsCopyRequests, ReadsDefinitions, KeepsPauses, KeepsReloads):
    """Implements `cdc.spi.StateReader`. Changes nothing but the requests that it leaves."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / DATABASE_NAME
        if not path.is_file():
            remedy = "`cdc run` creates it at its first start."
            raise StateError("there is no state here", where=str(state_dir), remedy=remedy)
        self._open(state_dir, "rw", check_version)

    def _open(self, state_dir: Path, mode: str, prepare: Callable[[sqlite3.Connection, str], object]) -> None:
        self._folder = state_dir
        self._path = state_dir / DATABASE_NAME
        self._mutex = threading.Lock()
        with _translated(self._path):
            self._connection = _connect(self._path, mode)
            try:
                prepare(self._connection, str(self._path))
            except BaseException:
                self._connection.close()
                raise

    def checkpoints(self, source: str | None = None, limit: int = 100) -> list[Checkpoint]:
        """The newest checkpoints, of one source or of all, newest first."""
        rows = self._all(
            "select * from checkpoints where coalesce(?1, source) = source "
            "order by at desc, id desc limit ?2",
            source,
            limit,
        )
        return [_checkpoint(row) for row in rows]

    def checkpoint(self, number: int) -> Checkpoint | None:
        """The checkpoint of that id."""
        rows = self._all("select * from checkpoints where id = ?", number)
        return _checkpoint(rows[0]) if rows else None

    def request_replay(self, sink: str, source: str, offset: int) -> int:
        """Add a request to rewind `sink` to `offset` of `source`; return its id. Needs no lock."""
        statement = (
            "insert into replays (sink, source, from_offset, requested_at) values (?, ?, ?, ?) returning id"
        )
        return int(self._all(statement, sink, source, offset, to_microseconds(datetime.now(UTC)))[0]["id"])

    def pending_replays(self, sink: str | None = None, source: str | None = None) -> list[ReplayRequest]:
        """Return the requests that are not finished, of that sink and source where given, oldest first."""
        rows = self._all(
            "select * from replays where finished_at is null and coalesce(?1, sink) = sink "
            "and coalesce(?2, source) = source order by id",
            sink,
            source,
        )
        return [_replay(row) for row in rows]

    def replay(self, number: int) -> ReplayRequest | None:
        """Return the request of that id, finished or not."""
        rows = self._all("select * from replays where id = ?", number)
        return _replay(rows[0]) if rows else None

    def cursors(self, source: str) -> dict[str, PublishedCursor]:
        # A state that an older version wrote, and no daemon of this one has opened, has no such table.
        if not self._has("cursors"):
            return {}
        rows = self._all("select * from cursors natural join epochs where source = ?", source)
        return {row["sink"]: PublishedCursor(row["sink"], row["next_offset"], _position(row)) for row in rows}

    def close(self) -> None:
        with self._mutex:
            self._connection.close()

    def _all(self, statement: str, *values: object) -> list[sqlite3.Row]:
        with self._mutex, _translated(self._path):
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.OperationalError:
                # A command may meet a state that no daemon of this version has opened yet.
                require_own_version(self._connection, str(self._path))
                raise


class SqliteState(SqliteStateReader, WritesCopyRequests, WritesDefinitions):
    """Implements `cdc.spi.state.State`: creates what is missing and locks `state_dir` for one process until
    `close`.

    Raises:
        StateError: another process holds it (its pid is named), a newer version wrote it, or the disk
        refuses.
        StateFull: the disk is full. Every writing method may raise it, has done nothing then, and may be
        called again.
    """

    def __init__(self, state_dir: Path) -> None:
        try:
            make_folder(state_dir)
            self.holder = StateHolder.here()
            self._lock = FolderLock(state_dir, "this state directory", self.holder.text)
            # SQLite would make it for others to read, or for nobody.
            os.close(os.open(state_dir / DATABASE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, file_mode()))
        except OSError as error:
            raise _failure(error, state_dir) from error
        try:
            self._open(state_dir, "rwc", _prepare)
        except BaseException:
            self._lock.release()
            raise

    def next_epoch(self, sink: str, *, at_least: int = 1) -> int:
        """A number higher than any given before for this sink, and not below `at_least`."""
        statement = (
            "insert into epochs values (?, ?) on conflict (sink) do update set epoch = max(epoch + 1, ?) "
            "returning epoch"
        )
        return int(self._all(statement, sink, at_least, at_least)[0]["epoch"])

    def plan(self, sink: str, source: str) -> Plan | None:
        rows = self._all("select * from plans where sink = ? and source = ?", sink, source)
        return _plan(rows[0]) if rows else None

    def save_plan(self, sink: str, source: str, plan: Plan) -> None:
        """Fix what the next delivery does, in place of the last one's plan; durable on return."""
        self._all(
            "insert or replace into plans values (?, ?, ?, ?, ?, ?, ?)",
            sink,
            source,
            plan.first,
            plan.next,
            str(plan.position.order),
            plan.position.text,
            None if plan.commit_at is None else to_microseconds(plan.commit_at),
        )

    def clear_plan(self, sink: str, source: str) -> None:
        """Delete the plan; no-op if there is none."""
        self._all("delete from plans where sink = ? and source = ?", sink, source)

    def publish_cursor(self, source: str, cursor: PublishedCursor, epoch: int) -> None:
        """Store the sink's cursor and delete its plan; no-op if a newer epoch has published one."""
        with self._writing() as connection:
            connection.execute(
                "insert into cursors values (?, ?, ?, ?, ?, ?, ?) on conflict (sink, source) do update set "
                "epoch = excluded.epoch, next_offset = excluded.next_offset, "
                "position_order = excluded.position_order, position_text = excluded.position_text, "
                "at = excluded.at where excluded.epoch >= epoch",
                (
                    cursor.sink,
                    source,
                    epoch,
                    cursor.next,
                    str(cursor.position.order),
                    cursor.position.text,
                    to_microseconds(datetime.now(UTC)),
                ),
            )
            connection.execute(
                "delete from plans where sink = ?1 and source = ?2 and exists (select 1 from cursors "
                "where sink = ?1 and source = ?2 and epoch = ?3)",
                (cursor.sink, source, epoch),
            )

    def add_checkpoint(self, source: str, offset: int, position: Position, at: datetime) -> int:
        """Remember that the log of `source` reached `offset` at `position`; the checkpoint's id."""
        statement = (
            "insert into checkpoints (source, next_offset, position_order, position_text, at) "
            "values (?, ?, ?, ?, ?) returning id"
        )
        rows = self._all(statement, source, offset, str(position.order), position.text, to_microseconds(at))
        return int(rows[0]["id"])

    def thin_checkpoints(self, source: str, start: int, now: datetime | None = None) -> int:
        """Remove the checkpoints below offset `start` (the log has lost what follows them), and of old ones
        all but the newest of each hour or day; how many went.
        """
        now = now or datetime.now(UTC)
        rows = self._all(
            """
            delete from checkpoints where source = ?1 and (next_offset < ?2 or at < ?3 and id not in (
                select max(id) from checkpoints where source = ?1 and at < ?3
                group by at < ?4, at / case when at < ?4 then ?5 else ?6 end))
            returning id
            """,
            source,
            start,
            to_microseconds(now - KEEP_ALL),
            to_microseconds(now - KEEP_HOURLY),
            _DAY_US,
            _HOUR_US,
        )
        return len(rows)

    def finish_replay(self, number: int, error: str | None = None) -> None:
        """Mark the request as accepted, or as refused with that error."""
        statement = "update replays set finished_at = ?, error = ? where id = ?"
        self._all(statement, to_microseconds(datetime.now(UTC)), error, number)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, _translated(self._path), self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("begin immediate")
        try:
            yield self._connection
            self._connection.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise

    def write_status(self, document: Any) -> None:
        """Replace the status document, which any program may read at any time. Not synced: it is of this
        moment.
        """
        try:
            write_status(self._folder, document)
        except OSError as error:
            raise _failure(error, self._folder) from error

    def close(self) -> None:
        super().close()
        self._lock.release()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("pragma synchronous = full")
    return connection


def _prepare(connection: sqlite3.Connection, where: str) -> None:
    connection.execute("pragma journal_mode = wal")
    migrate(connection, where)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _failure(error, path) from error


def _failure(error: OSError | sqlite3.Error, path: Path) -> CdcError:
    if _is_no_room(error, path):
        return StateFull(
            "the disk under state_dir is full",
            where=str(path),
            remedy="Free space on this disk. The daemon resumes automatically.",
        )
    return StateError(
        "the state cannot be read or written",
        where=str(path),
        remedy="Check the free disk space, and the owner and permissions of this folder.",
    )


def _is_no_room(error: OSError | sqlite3.Error, path: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    # SQLite calls a quota that is used up an I/O error; a write of our own returns the reason.
    return code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR_WRITE and _probe_finds_no_room(path))


def _probe_finds_no_room(path: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in NO_ROOM
    return False


def _optional_time(value: int | None) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _position(row: sqlite3.Row) -> Position:
    return Position(int(row["position_order"]), row["position_text"])


def _plan(row: sqlite3.Row) -> Plan:
    return Plan(
        first=row["first_offset"],
        next=row["next_offset"],
        position=_position(row),
        commit_at=_optional_time(row["commit_at"]),
    )


def _checkpoint(row: sqlite3.Row) -> Checkpoint:
    return Checkpoint(
        row["id"], row["source"], row["next_offset"], _position(row), from_microseconds(row["at"])
    )


def _replay(row: sqlite3.Row) -> ReplayRequest:
    return ReplayRequest(
        id=row["id"],
        sink=row["sink"],
        source=row["source"],
        offset=row["from_offset"],
        requested_at=from_microseconds(row["requested_at"]),
        finished_at=_optional_time(row["finished_at"]),
        error=row["error"],
    )
