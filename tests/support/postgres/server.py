"""Runs real PostgreSQL servers in temporary folders, to be stopped, killed and restarted by tests.

Every server has its own data folder (a copy of one initdb per version and process) and a unix socket.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import signal
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil
import psycopg

from cdc.testing.servers import postgres as servers
from cdc.testing.servers.postgres import SUPERUSER, PostgresProcess, initialise
from cdc.testing.servers.process import HOST, STOP_TIMEOUT_SECONDS, run_program
from tests.support.postgres.binaries import Binaries, account, installed
from tests.support.templates import kept
from tests.support.waiting import wait_until

# Small and unsafe on power loss: the tests kill processes, not machines, so the page cache is all the
# durability needed.
DEFAULT_SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_prepared_transactions": "10",
    "max_connections": "60",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "min_wal_size": "32MB",
    # Spills early, so that ordinary tests pass through the server's spill files.
    "logical_decoding_work_mem": "64kB",
    "wal_sender_timeout": "60s",
    # Its workers lock tables for moments and change estimates: a test that needs either runs the statement.
    "autovacuum": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}
# The first version whose CREATE DATABASE has a choice.
FIRST_WITH_STRATEGY = 15
# A database of files that the system copies costs a fifth of one whose pages the server reads and writes.
FIRST_WITH_CLONE = 18
CLONE = {"file_copy_method": "clone"}
# What a session that is there does not see.
SETTINGS_OF_LATER_SESSIONS = ("alter database", "alter role")
StopMode = Literal["smart", "fast", "immediate"]
_STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class PostgresServer(PostgresProcess):
    """One server."""

    def __init__(
        self, major: int, settings: Mapping[str, str] | None = None, hba: Sequence[str] | None = None
    ) -> None:
        self.binaries = _binaries(major)
        self.bindir, self.account = self.binaries.bindir, account()
        super().__init__(f"PostgreSQL {major}", f"cdc-pg{major}-")
        self.folder.chmod(0o755)
        self.account.own(self.folder)
        # With their owner: to copy a thousand files and then give them away takes twice as long.
        run_program(["cp", "-a", str(_template(major)), str(self.data)])
        copying = CLONE if major >= FIRST_WITH_CLONE else {}
        own = {"unix_socket_directories": str(self.folder), **copying}
        self.configure({**DEFAULT_SETTINGS, **own, **(settings or {})})
        if hba is not None:
            self.write_hba(hba)

    @property
    def major(self) -> int:
        return self.binaries.major

    @property
    def psql(self) -> Path:
        """psql of this version, or of any that has one."""
        own = self.bindir / "psql"
        return own if own.exists() else next(b.bindir / "psql" for b in installed().values())

    @functools.cached_property
    def version_num(self) -> int:
        with self.connect() as connection:
            return connection.info.server_version

    def write_hba(self, lines: Sequence[str]) -> None:
        """Replace pg_hba.conf; it counts from the next start or `reload` on."""
        (self.data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def reload(self) -> None:
        self._running().send_signal(signal.SIGHUP)

    def stop(self, mode: StopMode = "fast") -> None:
        """Shut down and wait for the end. No-op when it is down."""
        self._end(_STOP_SIGNALS[mode])

    def kill9(self) -> None:
        """SIGKILL for the postmaster and every backend at once."""
        family = psutil.Process(self.pid)
        victims = [*family.children(recursive=True), family]
        family.suspend()  # No new backends and no orderly reaction while the others die.
        for victim in reversed(victims):
            _kill(victim)
        self._running().wait(STOP_TIMEOUT_SECONDS)
        psutil.wait_procs(victims[:-1], timeout=STOP_TIMEOUT_SECONDS)
        self._reap()

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def connect(
        self, dbname: str = "postgres", user: str = SUPERUSER, **options: Any
    ) -> psycopg.Connection[Any]:
        """An autocommit connection; options are psycopg's."""
        return psycopg.connect(self.dsn(dbname, user), **{"autocommit": True, **options})

    def create_database(self, template: str = "template0") -> Database:
        """A fresh database with a random name, UTF-8, locale C."""
        name = f"test_{secrets.token_hex(6)}"
        # By way of the WAL, the default, a database costs four times the processor time.
        strategy = " strategy file_copy" if self.major >= FIRST_WITH_STRATEGY else ""
        with self.connect() as connection:
            connection.execute(f'create database "{name}" template "{template}" encoding \'UTF8\'{strategy}')
        return Database(self, name)


class Looks:
    """Queries on one connection that is kept, for one thread at a time: a login costs the server and us
    thirty times what a look at the catalog does, and tests look until something has changed.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._kept: list[psycopg.Connection[Any]] = []
        self.close = weakref.finalize(self, _close_all, self._kept)

    def query(self, statement: str, parameters: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        if self._lock.acquire(blocking=False):
            try:
                return self._query_kept(statement, parameters)
            finally:
                self._lock.release()
        return self._query_apart(statement, parameters)

    def forget(self) -> None:
        """Look from a new session from now on."""
        with self._lock:
            _close_all(self._kept)
            self._kept.clear()

    def _query_kept(self, statement: str, parameters: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        """A server that was restarted meanwhile has ended the connection: then on another one."""
        if not self._kept:
            self._kept.append(self._connect())
            # A statement that the server keeps would not survive a change of the table.
            self._kept[0].prepare_threshold = None
        try:
            return self._kept[0].execute(statement.encode(), parameters).fetchall()
        except psycopg.OperationalError:
            if not self._kept[0].closed:
                raise
            self._kept.clear()
        return self._query_apart(statement, parameters)

    def _query_apart(self, statement: str, parameters: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()


def _close_all(connections: list[psycopg.Connection[Any]]) -> None:
    for connection in connections:
        connection.close()


class Database:
    """One database of a server. `drop` removes its slots with it."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name
        self._looks = Looks(functools.partial(server.connect, name))

    @property
    def url(self) -> str:
        return self.dsn()

    def dsn(self, user: str = SUPERUSER, password: str | None = None, **parameters: str) -> str:
        return self.server.dsn(self.name, user, password, **parameters)

    def connect(self, user: str = SUPERUSER, **options: Any) -> psycopg.Connection[Any]:
        """An autocommit connection; options are psycopg's."""
        return self.server.connect(self.name, user, **options)

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())
        if any(statement.lower().startswith(SETTINGS_OF_LATER_SESSIONS) for statement in statements):
            self._looks.forget()

    def query(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows. The session is kept: what changes it belongs into `execute`."""
        return self._looks.query(statement, parameters)

    def value(self, statement: str, parameters: Sequence[Any] | None = None) -> Any:
        """The first column of the first row."""
        return self.query(statement, parameters)[0][0]

    def drop(self) -> None:
        """Drop the database with its prepared transactions and replication slots."""
        self._looks.close()
        with self.connect() as own:
            for (gid,) in own.execute(
                "select gid from pg_prepared_xacts where database = %s", [self.name]
            ).fetchall():
                own.execute(f"rollback prepared '{gid}'".encode())
        with self.server.connect() as connection:
            wait_until(lambda: _drop_slots(connection, self.name), f"the slots of {self.name} to be free")
            connection.execute(f'drop database "{self.name}" with (force)'.encode())


def _drop_slots(connection: psycopg.Connection[Any], dbname: str) -> bool:
    """One try to drop all slots of a database; false while another process still holds one."""
    connection.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active",
        [dbname],
    )
    slots = connection.execute(
        "select slot_name from pg_replication_slots where database = %s and not temporary", [dbname]
    ).fetchall()
    for (slot,) in slots:
        try:
            connection.execute("select pg_drop_replication_slot(%s)", [slot])
        except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
            return False
    return True


def _binaries(major: int) -> Binaries:
    found = installed()
    if major not in found:
        message = f"PostgreSQL {major} is not installed (found: {sorted(found)}); `make setup` installs it"
        raise RuntimeError(message)
    return found[major]


@functools.cache
def _template(major: int) -> Path:
    """A data folder fresh from initdb."""
    bindir = _binaries(major).bindir

    def make(folder: Path) -> None:
        folder.chmod(0o755)
        account().own(folder)
        initialise(bindir, folder / "data", account())

    return kept(f"pg{major}", bindir / "initdb", (servers,), make) / "data"


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
