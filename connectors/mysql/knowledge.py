"""What a stream must know of its server beside the tables: who it is, and its character sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from cdc.model import TableId
from connectors.mysql.catalog import read_collations
from connectors.mysql.channel import Connection
from connectors.mysql.charsets import Collation
from connectors.mysql.connection import ServerFacts
from connectors.mysql.wire.decoder import Flavour


@dataclass(frozen=True, slots=True)
class Knowledge:
    """`collations` by id; `defaults`: character set → its default collation."""

    facts: ServerFacts
    collations: Mapping[int, Collation]
    defaults: Mapping[str, str]

    @property
    def flavour(self) -> Flavour:
        return cast("Flavour", self.facts.flavour)


def read_knowledge(connection: Connection, facts: ServerFacts) -> Knowledge:
    with connection.cursor() as cursor:
        collations = read_collations(cursor)
        cursor.execute(
            "select character_set_name, default_collate_name from information_schema.character_sets"
        )
        return Knowledge(facts, collations, {str(name): str(default) for name, default in cursor.fetchall()})


def read_table_collations(connection: Connection) -> dict[TableId, str]:
    """What a text column without a character set of its own gets, by table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select table_schema, table_name, table_collation from information_schema.tables"
            " where table_collation is not null"
        )
        return {TableId(str(schema), str(name)): str(text) for schema, name, text in cursor.fetchall()}
