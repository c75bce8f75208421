"""What a snapshot needs of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cdc.errors import SourceUnavailable
from cdc.model import Position, TableId
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.positions import ServerMemory, parse
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.schema.definitions import TableDefinition


@dataclass(frozen=True, slots=True)
class Captured:
    """What the stream has given to its caller so far: the position after the last set, and the definitions of
    the selected tables at that very position, looked at together. The XA transactions that are `prepared` may
    be those of a later position.
    """

    position: Position
    definitions: Mapping[TableId, TableDefinition]
    prepared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a snapshot needs of its source. `captured` is called from the snapshot's thread, once a snapshot;
    before any stream it gives the position that `open` returned, and the definitions of its memory. `server`
    is the one that the stream reads or is about to; None: any.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    captured: Callable[[], Captured]
    server: Callable[[], ServerMemory | None] = lambda: None

    def captured_of(self, facts: ServerFacts) -> Captured:
        """What the stream has given of the server that answers here: places of two servers don't compare.

        Raises:
            SourceUnavailable: after a failover it has given nothing of this one yet.
        """
        captured, server = self.captured(), self.server()
        if server is not None:
            require_same(self, server, facts)
            if server.epoch != parse(captured.position.text).epoch:
                raise _not_the_streams(self)
        return captured


def require_same(parts: Parts, server: ServerFacts | ServerMemory, other: ServerFacts) -> None:
    """A snapshot of one server must not read from another: it may be behind.

    Raises:
        SourceUnavailable: it would.
    """
    if server.identity != other.identity:
        raise _not_the_streams(parts)


def _not_the_streams(parts: Parts) -> SourceUnavailable:
    return SourceUnavailable(
        "the stream has not reached this server yet",
        where=parts.connector.where,
        remedy="The snapshot is retried automatically.",
    )
