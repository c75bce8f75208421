"""The sink itself: what DuckDB and its file need beside what every SQL target shares (`cdc.sql`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import ClassVar

from pydantic import BaseModel

from cdc.errors import CdcError, SinkUnavailable
from cdc.files import lock_of
from cdc.spi import Cursor, Delivery, Finding, SinkContext
from cdc.sql import Connection, SqlSink
from cdc.sql.publish import PUBLISH_PATIENCE, Publisher
from cdc.sql.sink import cursor_of
from cdc.sql.steps import Room
from cdc.units import format_size
from cdc_sink_duckdb.checks import findings, named_like
from cdc_sink_duckdb.database import (
    IDLE_WAL_BYTES,
    DuckDBConnection,
    connect,
    connect_to_read,
    is_fatal,
    is_out_of_memory,
    translated,
    wal_bytes,
)
from cdc_sink_duckdb.options import Options as DuckDBOptions
from cdc_sink_duckdb.room import DuckDBRoom
from cdc_sink_duckdb.starter import URL_SCHEMES, URL_SHAPE, entry, from_url

# The memory limit grows by this when DuckDB can't do with less: a value takes twice its size, so that one
# step from 72 MiB is enough for 50 MB.
LIMIT_GROWTH = 1.41
# Up to this; beyond it, something else is wrong.
MOST_MEMORY_BYTES = 2 * 2**30

_OWN_TABLES = (
    "create table if not exists {wide} (since timestamptz not null)",
    # Files of before have fewer columns.
    "alter table {fences} add column if not exists log varchar",
    "alter table {tables} add column if not exists stored_schema varchar",
    "alter table {tables} add column if not exists stored_name varchar",
    "alter table {tables} add column if not exists incomplete_since timestamptz",
)


class DuckDBSink(SqlSink):
    """Writes to a local DuckDB file. The file's lock orders two objects of one process."""

    Options: ClassVar[type[BaseModel]] = DuckDBOptions
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    starter = staticmethod(entry)
    from_url = staticmethod(from_url)
    _options: DuckDBOptions
    _connection: DuckDBConnection | None

    def __init__(
        self, options: DuckDBOptions, context: SinkContext, idle_wal_bytes: int = IDLE_WAL_BYTES
    ) -> None:
        super().__init__(options, context, str(options.path))
        self._lock = lock_of(options.path)
        self._idle_wal_bytes = idle_wal_bytes
        self._memory_limit = options.memory_limit
        self._publisher = Publisher(options.path, options.publish) if options.publish else None

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options, self._context.daemon)

    def check_schemas(self, schemas: Collection[str]) -> Sequence[Finding]:
        """See `ChecksSchemas.check_schemas`."""
        return named_like(self._options.path, schemas)

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        path = self._options.path
        if not path.exists():
            return None
        with translated("reading the cursor", path), closing(connect_to_read(path)) as connection:
            return cursor_of(connection, source)

    def apply(self, delivery: Delivery) -> None:
        """See `Sink.apply`."""
        super().apply(delivery)
        if self._memory_limit != self._options.memory_limit:
            self._set_memory_limit(self._options.memory_limit)

    def idle(self) -> None:
        """See `SupportsIdle.idle`."""
        if self._connection is None:
            return
        with self.guarded("checkpointing"):
            checkpoint = self._connection.checkpoint
            if self._publisher is not None and self._publisher.offer(checkpoint, self._context):
                return
            if wal_bytes(self._options.path) >= self._idle_wal_bytes:
                checkpoint()

    def connect(self) -> DuckDBConnection:
        """Open the file with the memory limit that the current delivery needs."""
        connection = connect(self._options)
        if self._memory_limit != self._options.memory_limit:
            connection.limit_memory(self._memory_limit)
        return connection

    @contextmanager
    def guarded(self, operation: str) -> Iterator[None]:
        """The file's lock, our errors instead of DuckDB's, and a new connection after a fatal one."""
        try:
            with self._lock, translated(operation, self._options.path):
                yield
        except CdcError as error:
            if is_fatal(error):
                self.abandon()
            raise

    def preparing(self, connection: Connection) -> None:
        """Make the tables that only this sink has, and complete those of an older version."""
        names = {name: connection.dialect.own(name) for name in ("wide", "fences", "tables")}
        for statement in _OWN_TABLES:
            connection.run(statement.format(**names))

    def new_room(self, connection: Connection) -> Room:
        """See `DuckDBRoom`."""
        return DuckDBRoom(connection)

    def committing(self, connection: Connection) -> None:
        """Commit; after much of wide values, or many tables, by a checkpoint at once: it frees what they
        take, and what comes later goes into row groups of its own.
        """
        room = self._room
        if not isinstance(room, DuckDBRoom) or not room.wants_checkpoint:
            connection.commit()
            return
        assert isinstance(connection, DuckDBConnection)
        room.mark(connection)
        connection.limit_memory(self._memory_limit)
        connection.commit_by_checkpoint()
        connection.limit_memory(self._memory_limit)
        room.renew()

    def applied(self, connection: Connection) -> None:
        """Publish a copy if that is overdue."""
        assert isinstance(connection, DuckDBConnection)
        if self._publisher is not None:
            self._publisher.changed()
            self._publisher.offer(connection.checkpoint, self._context, PUBLISH_PATIENCE)

    def works_again(self, error: SinkUnavailable) -> bool:
        """Let DuckDB have more for this delivery; False when it had enough of that.

        Some things that it can't do in pieces are larger than the limit: one value of 50 MB is.
        """
        if not is_out_of_memory(error) or self._memory_limit >= MOST_MEMORY_BYTES:
            return False
        self._set_memory_limit(int(self._memory_limit * LIMIT_GROWTH))
        self._context.log(
            "raised DuckDB's memory limit for this delivery, which holds very large values",
            memory_limit=format_size(self._memory_limit),
        )
        return True

    def _set_memory_limit(self, limit: int) -> None:
        self._memory_limit = limit
        with self.guarded("setting the memory limit"):
            if self._connection is not None:
                self._connection.limit_memory(limit)
