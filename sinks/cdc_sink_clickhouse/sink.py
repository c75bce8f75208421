"""The sink itself: what ClickHouse needs beside what every SQL target shares (`cdc.sql`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel

from cdc.errors import SinkUnavailable
from cdc.spi import Atomicity, Capabilities, Cursor, Finding, SinkContext
from cdc.sql import Connection, SqlSink
from cdc.sql.sink import cursor_of
from cdc_sink_clickhouse.checks import findings
from cdc_sink_clickhouse.database import (
    ClickHouseConnection,
    connect,
    session_of,
    translated,
    where_of,
)
from cdc_sink_clickhouse.errors import UNKNOWN_DATABASE, UNKNOWN_TABLE, code_of
from cdc_sink_clickhouse.options import URL_SCHEMES, URL_SHAPE, ClickHouseSinkOptions
from cdc_sink_clickhouse.starter import from_url

# Each part becomes an insert for each of its tables, and each insert a part of ClickHouse's.
_PART_BYTES = 16 * 1024**2


class ClickHouseSink(SqlSink):
    """Writes to a ClickHouse server. A session for each source orders the processes that write for it."""

    Options: ClassVar[type[BaseModel]] = ClickHouseSinkOptions
    capabilities: ClassVar[Capabilities] = replace(
        SqlSink.capabilities,
        atomic=Atomicity.NOTHING,
        transactional_ddl=False,
        part_bytes=_PART_BYTES,
    )
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    from_url = staticmethod(from_url)
    _options: ClickHouseSinkOptions
    _connection: ClickHouseConnection | None

    def __init__(self, options: ClickHouseSinkOptions, context: SinkContext) -> None:
        super().__init__(options, context, where_of(options))
        self._source = ""
        self._saw_drop = False

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options)

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        with translated("reading the cursor", self._where), closing(connect(self._options)) as connection:
            return cursor_of(connection, source)

    def connect(self) -> ClickHouseConnection:
        """Connect to the server."""
        connection = connect(self._options, self._context.epoch, session_of(self._context))
        connection.source = self._source
        return connection

    @contextmanager
    def guarded(self, operation: str) -> Iterator[None]:
        """Our errors instead of the driver's. The driver connects again by itself."""
        with translated(operation, self._where):
            yield

    def prepare(self, source: str) -> None:
        """See `Sink.prepare`."""
        self._source = source
        with self.guarded("preparing the server"):
            connection = self._open()
            assert isinstance(connection, ClickHouseConnection)
            connection.source = source
            connection.make_state()
        super().prepare(source)

    def works_again(self, error: SinkUnavailable) -> bool:
        """Return whether a table was dropped meanwhile: the next attempt creates it. Once a delivery."""
        is_dropped = code_of(error.__cause__) in (UNKNOWN_TABLE, UNKNOWN_DATABASE)
        again, self._saw_drop = is_dropped and not self._saw_drop, is_dropped
        return again

    def applied(self, connection: Connection) -> None:
        """Note that the newest delivery left nothing behind the cursor."""
        assert isinstance(connection, ClickHouseConnection)
        connection.recovered()
        self._saw_drop = False
