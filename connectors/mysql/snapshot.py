"""A copy of some tables in chunks of their keys, read by several connections, at positions of the binlog.

Tables with a key are read without locks: every chunk is a statement of its own that sees at least all changes
before the position, perhaps newer ones too. Tables without a key are read from one view that is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, SnapshotChunk, SourceContext
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.options import MysqlOptions

if TYPE_CHECKING:
    from connectors.mysql.connection import Connector


@dataclass(frozen=True, slots=True)
class Captured:
    """What the stream has given to its caller so far: the position after the last set, and the definitions of
    the selected tables at that very position, looked at together.
    """

    position: Position
    definitions: Mapping[TableId, TableDefinition]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a snapshot needs of its source. `captured` is called from the snapshot's thread, once a snapshot;
    before any stream it gives the position that `open` returned, and the definitions of its memory.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    captured: Callable[[], Captured]


class MysqlSnapshot:
    """See `cdc.spi.source.Snapshot`."""

    positions: Mapping[TableId, Position]
    chunks: Sequence[SnapshotChunk]
    tokens: Mapping[TableId, str]
    resumed: frozenset[TableId]

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def open_snapshot(
    parts: Parts, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
) -> MysqlSnapshot:
    """Plan the chunks of these tables, at a position that every later read has passed.

    Raises:
        SourceUnavailable: the stream has not come to an ALTER yet, a table is locked or was altered; tried
            again.
        SourceRefused: a privilege is missing; the remedy is the GRANT.
    """
    raise NotImplementedError
