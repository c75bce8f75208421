"""Re-reading a table's definition with a proof that it is the one at the stream's position.

The catalog shows the newest shape. Read it, then the binlog's end P; when the binlog from the stream's
position to P holds no statement that may alter the table, the shape read is right at the stream's position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from cdc.model import TableId
from connectors.mysql.definitions import TableDefinition


class Statement(NamedTuple):
    """One QUERY event, compressed ones and those inside of a transaction payload included."""

    sql: bytes
    database: str
    sql_mode: int
    charset: str
    where: str


class StatementReader(Protocol):
    """Reads the binlog on a connection of its own, without waiting at its end (NON_BLOCK)."""

    def statements(self) -> Iterator[Statement]:
        """Every QUERY event from the stream's position to the binlog's end at the time of the call, or
        later; SourceGap or SourceUnavailable when that can't be read.
        """
        ...


def prove(
    table: TableId,
    read: Callable[[TableId], TableDefinition | None],
    reader: StatementReader,
    *,
    flavour: str,
    fold: bool = False,
    where: str = "",
) -> TableDefinition | None:
    """The definition of the table at the stream's position: read now, and proven. None: there is no such
    table now, and no statement since the position took it away (it never had rows to be decoded).

    Raises:
        UnsupportedSchema: the table was altered, renamed or dropped after the position; the remedy says what
            helps (binlog_row_metadata=FULL, or a new copy).
    """
    raise NotImplementedError
