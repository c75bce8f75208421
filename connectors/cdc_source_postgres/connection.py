"""The one place that makes connections to a source server, ordinary ones and replication ones.

Both kinds carry the same settings, so that a value has the same text in the snapshot and in the stream
whatever `alter role … set` says. psycopg's errors leave this boundary translated
(`cdc_source_postgres.errors`); the url, which may hold a password, never does.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.errors import error_from_result

from cdc.kit.connections import closed_on_error
from cdc.kit.errors import WAIT, no_answer, stream_ended
from cdc_libpq.connecting import connect
from cdc_libpq.urls import LIVENESS, MAX_NAME_BYTES
from cdc_source_postgres.errors import translate, translate_ddl, translate_result
from cdc_source_postgres.limits import DEFAULTS, Limits
from cdc_source_postgres.options import PostgresOptions, parse_url

Connection = psycopg.Connection[tuple[Any, ...]]

# How values look as text, and which of the server's and role's timeouts must not end a snapshot that takes
# hours.
_SETTINGS = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "search_path": "pg_catalog",
    "row_security": "off",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# Set once a connection is there: what it would be without us says how many digits money has.
_MONEY_AS_TEXT = "set lc_monetary = 'C'"
# Under an encoding that takes any bytes nothing is converted: the decoder then finds which value is not
# UTF-8, and passes over the tables that are left out, where the server would stop at the first.
ANY_BYTES = "SQL_ASCII"
_MONEY_UNITS = "select ('x' || encode(cash_send('1'::money), 'hex'))::bit(64)::int8; " + _MONEY_AS_TEXT
# The same, for settings that older servers do not know: (from server_version_num on, setting).
_NEWER_SETTINGS = ((140000, "idle_session_timeout"), (170000, "transaction_timeout"))
# One poll of the socket while a command runs; only bounds how late a deadline is noticed.
_POLL_SECONDS = 1.0
# Answers to commands that need no lock and no work, such as IDENTIFY_SYSTEM.
COMMAND_SECONDS = 60.0

_FINE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_BOTH)


class Connector:
    """Makes connections for one source; holds none.

    `money_scale` is the number of fraction digits of `money`, as database, role and server gave it to the
    newest ordinary connection.
    """

    def __init__(self, options: PostgresOptions, source: str, limits: Limits = DEFAULTS) -> None:
        self._url = options.url.get_secret_value()
        self.source = source
        self.limits = limits
        # As much of a name as the server keeps: it distinguishes our walsenders.
        given = parse_url(self._url).get("application_name") or f"cdc_{source}"
        self.application_name = given[:MAX_NAME_BYTES]
        self.where = f"sources.{source}"
        self.money_scale = 2

    def connect(self, purpose: str) -> Connection:
        """An ordinary autocommit connection."""
        with self.translated(f"connecting {purpose}"):
            with closed_on_error(_connect(self._conninfo())) as connection:
                row = connection.execute(_MONEY_UNITS).fetchone()
            assert row is not None
            self.money_scale = len(str(row[0])) - 1
        return connection

    def replicate(self) -> ReplicationConnection:
        """A connection that takes replication commands."""
        with self.translated("connecting for replication"):
            whole = make_conninfo(self._conninfo(), replication="database")
            with closed_on_error(_connect(whole)) as connection:
                connection.execute(_MONEY_AS_TEXT)
                if takes_any_bytes(connection.pgconn):
                    connection.execute(f"set client_encoding = '{ANY_BYTES}'".encode())
        return ReplicationConnection(connection, self.where)

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turns psycopg's errors inside the block into ours; `doing` is a gerund."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(error, self.where, doing) from error

    @contextmanager
    def changing(self, doing: str) -> Iterator[None]:
        """`translated` for DDL of ours, which an event trigger of the application may refuse."""
        try:
            yield
        except psycopg.Error as error:
            raise translate_ddl(error, self.where, doing) from error

    def _conninfo(self) -> str:
        given = parse_url(self._url)
        settings = {**_SETTINGS, "lock_timeout": f"{self.limits.lock_timeout_seconds}s"}
        flags = " ".join(f"-c {name}={value}" for name, value in settings.items())
        ours = {
            **{name: value for name, value in LIVENESS.items() if name not in given},
            "client_encoding": "UTF8",
            "application_name": self.application_name,
            # Of two values for a setting the server takes the later one.
            "options": " ".join(filter(None, (given.get("options"), flags))),
        }
        return make_conninfo(self._url, **ours)


class ReplicationConnection:
    """A walsender at the other end: commands, then COPY BOTH. Used by one thread at a time."""

    def __init__(self, connection: Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        self.pgconn: pq.abc.PGconn = connection.pgconn
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)

    @property
    def server_version(self) -> int:
        return self.pgconn.server_version

    def command(
        self, sql: str, doing: str, timeout_seconds: float = COMMAND_SECONDS
    ) -> list[dict[str, str | None]]:
        """Run one command of the replication protocol or plain SQL without parameters; the rows as text.

        Raises:
            SourceUnavailable: no answer in time; the connection is then closed, for the server still works on
                the command.
        """
        try:
            self.pgconn.send_query(sql.encode())
            result = self._result(doing, time.monotonic() + timeout_seconds)
        except psycopg.Error as error:
            raise translate(error, self._where, doing) from error
        if result is None or result.status not in _FINE:
            raise translate_result(self.pgconn, result, self._where, doing)
        if result.status == pq.ExecStatus.COPY_BOTH:
            self.pgconn.nonblocking = 1
        return _rows(result)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for bytes (and push ours), then take them in; False when nothing came."""
        try:
            # A status that did not fit into the socket's buffer goes out when there is room.
            events = select.POLLIN | (select.POLLOUT if self.pgconn.flush() else 0)
            self._poll.modify(self.pgconn.socket, events)
            ready = self._poll.poll(timeout_seconds * 1000)
            if ready:
                self.pgconn.consume_input()
        except (psycopg.Error, OSError, ValueError) as error:
            raise self.ended("reading the stream", error) from error
        return bool(ready)

    def send(self, payload: bytes) -> None:
        """Send one CopyData frame of ours; it leaves with this call or a later `wait`."""
        try:
            self.pgconn.put_copy_data(payload)
            self.pgconn.flush()
        except psycopg.Error as error:
            raise self.ended("answering the server", error) from error

    def ended(self, doing: str, error: Exception | None = None) -> Exception:
        """Why the stream is over: the server's last words where there are any."""
        if isinstance(error, psycopg.Error):
            return translate(error, self._where, doing)
        if self.pgconn.status != pq.ConnStatus.OK:
            return WAIT.error("the connection was closed", self._where, doing)
        try:
            result = self.pgconn.get_result()
        except psycopg.Error as last:
            return translate(last, self._where, doing)
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            return translate(error_from_result(result), self._where, doing)
        return stream_ended(doing, self._where)

    def close(self) -> None:
        """May be called twice."""
        self._connection.close()

    def _result(self, doing: str, deadline: float) -> pq.abc.PGresult | None:
        """The last result of the command sent (a COPY BOTH is the last by nature)."""
        last: pq.abc.PGresult | None = None
        while True:
            while self.pgconn.flush() or self.pgconn.is_busy():
                self._expect_answer(doing, deadline)
            result = self.pgconn.get_result()
            if result is None:
                return last
            last = result
            if result.status == pq.ExecStatus.COPY_BOTH:
                return result

    def _expect_answer(self, doing: str, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            self.close()
            raise no_answer(doing, self._where)
        if self._poll.poll(min(left, _POLL_SECONDS) * 1000):
            self.pgconn.consume_input()


def takes_any_bytes(pgconn: pq.abc.PGconn) -> bool:
    """Return whether the database's encoding is none."""
    return pgconn.parameter_status(b"server_encoding") == ANY_BYTES.encode()


def _rows(result: pq.abc.PGresult) -> list[dict[str, str | None]]:
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    return [
        {name: _text(result.get_value(row, i)) for i, name in enumerate(names)}
        for row in range(result.ntuples)
    ]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _connect(conninfo: str) -> Connection:
    with closed_on_error(connect(conninfo)) as connection:
        for since, name in _NEWER_SETTINGS:
            if connection.info.server_version >= since:
                connection.execute(f"set {name} = 0".encode())
    return connection
