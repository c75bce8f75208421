"""The sink itself: what Postgres needs beside what every SQL target shares (`cdc.sql`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import ClassVar

import psycopg
from pydantic import BaseModel

from cdc.errors import CdcError, SinkUnavailable
from cdc.spi import Cursor, Finding, SinkContext
from cdc.sql import Connection, SqlSink
from cdc.sql.sink import cursor_of
from cdc_libpq.urls import URL_SCHEMES, URL_SHAPE
from cdc_sink_postgres.checks import findings
from cdc_sink_postgres.database import PostgresConnection, connect, translated, where_of
from cdc_sink_postgres.errors import is_connection_lost, state_of
from cdc_sink_postgres.options import PostgresSinkOptions
from cdc_sink_postgres.starter import from_url

# A table that the sink believed to be there was dropped by somebody else, or its schema was.
_DROPPED = ("42P01", "3F000")
# Two sinks that begin at the same moment create the schema `_cdc` both.
_CREATED_MEANWHILE = ("23505", "42P06", "42P07", "42710")


class PostgresSink(SqlSink):
    """Writes to a Postgres database. A lock for each source orders the processes that write for it."""

    Options: ClassVar[type[BaseModel]] = PostgresSinkOptions
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    from_url = staticmethod(from_url)
    _options: PostgresSinkOptions
    _connection: PostgresConnection | None

    def __init__(self, options: PostgresSinkOptions, context: SinkContext) -> None:
        super().__init__(options, context, where_of(options))
        self._saw_drop = False

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options, self._context.name)

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        with (
            translated("reading the cursor", self._where),
            closing(connect(self._options, self._context.name)) as connection,
        ):
            return cursor_of(connection, source)

    def connect(self) -> PostgresConnection:
        """Connect to the database."""
        return connect(self._options, self._context.name, self._context.count)

    @contextmanager
    def guarded(self, operation: str) -> Iterator[None]:
        """Translate errors of psycopg, and connect again after a lost connection."""
        try:
            with translated(operation, self._where):
                yield
        except CdcError as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.Error) and is_connection_lost(cause):
                self.abandon()
            raise

    def prepare(self, source: str) -> None:
        """See `Sink.prepare`."""
        try:
            super().prepare(source)
        except CdcError as error:
            cause = error.__cause__
            if not (isinstance(cause, psycopg.Error) and state_of(cause) in _CREATED_MEANWHILE):
                raise
            message = "preparing the database: another sink was creating the same tables"
            raise SinkUnavailable(
                message, where=self._where, remedy="It is retried automatically."
            ) from cause

    def idle(self) -> None:
        """See `SupportsIdle.idle`."""
        if self._connection is not None:
            with self.guarded("dropping temporary tables"):
                self._connection.drop_old_staging()

    def works_again(self, error: SinkUnavailable) -> bool:
        """Return whether a table was dropped since the last delivery: the next attempt creates it. Once a
        delivery.
        """
        cause = error.__cause__
        is_dropped = isinstance(cause, psycopg.Error) and state_of(cause) in _DROPPED
        again, self._saw_drop = is_dropped and not self._saw_drop, is_dropped
        return again

    def applied(self, connection: Connection) -> None:
        """Forget the errors of earlier deliveries."""
        del connection
        self._saw_drop = False
