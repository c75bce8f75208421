"""The sink itself: what DuckDB and its file need beside what every SQL target shares (`cdc.sql`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from pydantic import BaseModel

from cdc.errors import CdcError, SinkUnavailable
from cdc.spi import Delivery, Finding, SinkContext
from cdc.sql import Connection
from cdc.sql.file_sink import FileSink
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


class DuckDBSink(FileSink):
    """Writes to a local DuckDB file."""

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
        super().__init__(options, context, options.path, options.publish)
        self._idle_wal_bytes = idle_wal_bytes
        self._memory_limit = options.memory_limit

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options, self._context.daemon)

    def check_schemas(self, schemas: Collection[str]) -> Sequence[Finding]:
        """See `ChecksSchemas.check_schemas`."""
        return named_like(self._options.path, schemas)

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
            if self.published(self._connection):
                return
            if wal_bytes(self._path) >= self._idle_wal_bytes:
                self._connection.checkpoint()

    def connect(self) -> DuckDBConnection:
        """Open the file with the memory limit that the current delivery needs."""
        connection = connect(self._options)
        if self._memory_limit != self._options.memory_limit:
            connection.limit_memory(self._memory_limit)
        return connection

    def connect_to_read(self) -> DuckDBConnection:
        return connect_to_read(self._path)

    def translated(self, operation: str) -> AbstractContextManager[None]:
        return translated(operation, self._path)

    def is_fatal(self, error: CdcError) -> bool:
        return is_fatal(error)

    def make_whole(self, connection: Connection) -> bool:
        assert isinstance(connection, DuckDBConnection)
        return connection.checkpoint()

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
