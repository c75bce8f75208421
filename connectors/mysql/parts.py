"""What a snapshot needs of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cdc.model import Position, TableId
from cdc.spi.source import SourceContext
from connectors.mysql.connection import Connector
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.options import MysqlOptions


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
    before any stream it gives the position that `open` returned, and the definitions of its memory.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    captured: Callable[[], Captured]
