"""What information_schema says now: tables, columns, keys, collations.

Every function takes an open DB-API cursor and only reads. The driver's errors are left to the caller's
boundary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cdc.model import TableId
from cdc.spi.selection import TableSelection
from connectors.mysql.charsets import Collation
from connectors.mysql.definitions import TableDefinition


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A base table now. `kind` is BASE TABLE or SYSTEM VERSIONED; `partitions` the names of partitions (with
    subpartitions `p/sp`), () for a plain table; `rows` and `data_bytes` are the engine's estimates.
    """

    definition: TableDefinition
    kind: str
    rows: int
    data_bytes: int
    partitions: tuple[str, ...] = ()

    @property
    def table(self) -> TableId:
        return self.definition.table


def read_collations(cursor: Any) -> dict[int, Collation]:
    """Collation id → collation, of everything that the server knows."""
    raise NotImplementedError


def list_tables(cursor: Any) -> list[TableId]:
    """Every base table outside the system's databases that the login may see."""
    raise NotImplementedError


def read_tables(cursor: Any, tables: Collection[TableId], flavour: str) -> dict[TableId, TableInfo]:
    """The tables of those names that exist now (names as the server spells them)."""
    raise NotImplementedError


def select_tables(cursor: Any, selection: TableSelection, flavour: str) -> dict[TableId, TableInfo]:
    """The tables that the selection takes."""
    raise NotImplementedError


def definitions(infos: Mapping[TableId, TableInfo]) -> dict[TableId, TableDefinition]:
    return {table: info.definition for table, info in infos.items()}
