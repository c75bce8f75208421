"""What a source and its sessions begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cdc.model import Position, TableId
from cdc_source_mysql.binlog.places import ServerMemory
from cdc_source_mysql.binlog.temporary_tables import TemporaryTables
from cdc_source_mysql.schema.catalog import Knowledge
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.history.history import History


@dataclass(frozen=True, slots=True)
class Begun:
    """What `open` found for an empty log: the definitions at a position, the server, and what is to be kept
    of XA transactions that stand prepared.
    """

    order: int
    definitions: Mapping[TableId, TableDefinition]
    databases: Mapping[str, str]
    server: ServerMemory
    prepared: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionStart:
    """What a session begins with. `kept` goes into its first set."""

    after: Position
    memory: Mapping[str, str]
    knowledge: Knowledge
    history: History
    kept: Mapping[str, str | None]
    temporary: TemporaryTables


class CatalogNow(NamedTuple):
    """What the catalog shows at one moment, with the default collations of tables and databases."""

    tables: Mapping[TableId, TableDefinition]
    table_collations: Mapping[TableId, str | None]
    databases: Mapping[str, str]
