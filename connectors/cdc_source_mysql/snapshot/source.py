"""The source of a snapshot: its connections and options, and how far its stream has come."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import SourceUnavailable
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.positions import ServerMemory, parse
from cdc_source_mysql.binlog.stream import Captured, StreamProgress
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.options import MysqlOptions


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """Parts that a snapshot shares with its source. `progress` is read from the snapshot's thread; before any
    stream it holds the position that `open` returned, and the definitions of its memory.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    progress: StreamProgress

    def captured_of(self, facts: ServerFacts) -> Captured:
        """Return the stream's state on the server that answers here: places of two servers do not compare.

        Raises:
            SourceUnavailable: after a failover it has given nothing of this one yet.
        """
        captured, server = self.progress.captured, self.progress.server
        assert captured is not None
        if server is not None:
            require_same(self, server, facts)
            if server.epoch != parse(captured.position.text).epoch:
                raise _not_the_streams(self)
        return captured


def require_same(source: SnapshotSource, server: ServerFacts | ServerMemory, other: ServerFacts) -> None:
    """A snapshot of one server must not read from another: it may be behind.

    Raises:
        SourceUnavailable: it would.
    """
    if server.identity != other.identity:
        raise _not_the_streams(source)


def _not_the_streams(source: SnapshotSource) -> SourceUnavailable:
    return SourceUnavailable(
        "the stream has not reached this server yet",
        where=source.connector.where,
        remedy="The snapshot is retried automatically.",
    )
