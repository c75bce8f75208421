"""TABLE_MAP events: their shape, and what table definition they tell or contradict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc.model import TableId
from connectors.mysql.charsets import Collation
from connectors.mysql.definitions import TableDefinition


@dataclass(frozen=True, slots=True)
class TableMap:
    """One TABLE_MAP event.

    Everything per column has one item a column. `types` are the column types with CHAR, ENUM and SET told
    apart (254, 247, 248) and `metas` their 16 bits of metadata: of 254/247/248 the length in bytes, of 246
    precision<<8 | scale, of BIT (16) bytes<<8 | bits%8, else the event's own number (little endian).
    Without the metadata in question: `unsigned`, `collation_ids` (of character columns; 0 elsewhere; enum and
    set too), `names`, `labels` (bytes in the column's character set; () elsewhere), `key` (indexes of the
    primary key's columns), `visible`, `dimensions` (of vectors; 0 elsewhere), `geometries` (0 elsewhere) are
    None.
    """

    table_id: int
    table: TableId
    flags: int
    types: tuple[int, ...]
    metas: tuple[int, ...]
    nullable: tuple[bool, ...]
    unsigned: tuple[bool, ...] | None = None
    collation_ids: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    labels: tuple[tuple[bytes, ...], ...] | None = None
    key: tuple[int, ...] | None = None
    visible: tuple[bool, ...] | None = None
    dimensions: tuple[int, ...] | None = None
    geometries: tuple[int, ...] | None = None


def parse_table_map(body: bytes | memoryview, flavour: str) -> TableMap:
    """Parse the body of a TABLE_MAP event (no 19-byte header, no checksum).

    `flavour` ('mysql' or 'mariadb') says which columns count as character columns. Unknown metadata fields
    are skipped.

    Raises:
        DecodeError: the bytes aren't a TABLE_MAP's.
    """
    raise NotImplementedError


def definition_of(
    table_map: TableMap, collations: Mapping[int, Collation], flavour: str
) -> TableDefinition | None:
    """The definition that the event tells; None without full metadata (binlog_row_metadata=FULL).

    What no event tells is as in a plain column: MariaDB's uuid, inet4, inet6 are binary(n), its JSON is
    longtext, its vectors are varbinary; no default, no generation, no engine. `merge` fills that in.
    """
    raise NotImplementedError


def merge(event: TableDefinition, known: TableDefinition | None) -> TableDefinition:
    """The event's definition with what it can't tell taken from `known`, column by column of equal name where
    the two can be the same column.
    """
    raise NotImplementedError


def fits(table_map: TableMap, definition: TableDefinition, collations: Mapping[int, Collation]) -> str:
    """'' when rows under this event can be read by the definition, else why not (for people)."""
    raise NotImplementedError
