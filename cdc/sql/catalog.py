"""The sink's catalog of its tables, in `_cdc.tables` of the target itself.

A column of a table belongs to a column of the source by the source's own numbers (table and column),
so that a rename differs from a drop and an add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cdc.errors import SinkRefused
from cdc.model import TableId
from cdc.model.position import from_microseconds
from cdc.sql.dialect import OWN_SCHEMA, Connection
from cdc.sql.names import FAIL_REMEDY, extended, is_too_long, suffixed
from cdc.sql.options import Identifiers
from cdc.sql.stored import StoredTable

_COLUMNS = (
    "source, schema_name, table_name, relation, version, schema_seq, since_seq, mode, deletes, schema, "
    "stored_schema, stored_name, incomplete_since"
)


class Catalog:
    """All tables of the sink, as of the running transaction; discarded when it is rolled back."""

    def __init__(self, connection: Connection, source: str, where: str) -> None:
        self._dialect = connection.dialect
        self._source = source
        self._where = where
        self._own_connection = connection.own
        self._own = self._own_connection.dialect.own("tables")
        since = self._own_connection.dialect.microseconds("incomplete_since")
        self._places: dict[tuple[str, str], StoredTable] = {}
        self._names: dict[TableId, StoredTable] = {}
        self._relations: dict[int | None, StoredTable] = {}
        selected = _COLUMNS.replace("incomplete_since", since)
        for row in self._own_connection.query(f"select {selected} from {self._own}"):
            self._note(StoredTable.from_row(row))
        self._existing = {self._folded(place): place for place in connection.places()}

    def __iter__(self) -> Iterator[StoredTable]:
        """The tables of our source."""
        return iter(list(self._names.values()))

    def by_relation(self, relation: int | None) -> StoredTable | None:
        """Return the source's table with that number."""
        return None if relation is None else self._relations.get(relation)

    def by_name(self, table: TableId) -> StoredTable | None:
        """Return the source's table with that name."""
        return self._names.get(table)

    def exists(self, place: TableId) -> bool:
        """Return whether the target has a table or view of that name."""
        return self._folded(place) in self._existing

    def place_for(
        self, table: TableId, identifiers: Identifiers, moving: StoredTable | None = None
    ) -> TableId:
        """Return where a table of the source goes in the target; `moving` is the table that gives up its
        place.

        Raises:
            SinkRefused: the name is taken by another source or by what isn't ours, or, where `identifiers`
                is `fail`, by a table that differs in case only or by the target itself, or is too long.
        """
        dialect = self._dialect
        place = dialect.place(TableId(self._schema_for(table, identifiers), table.name))
        if is_too_long(place.name, dialect):
            if identifiers == "fail":
                message = f"its name has more than {dialect.longest_name} bytes"
                raise SinkRefused(message, where=f"{self._where}: {table}", remedy=FAIL_REMEDY)
            place = replace(place, name=suffixed(place.name, str(table), (), dialect))
        holder = self._places.get(self._folded(place))
        if holder is None:
            self._refuse_stranger(table, place)
            return place
        if holder is moving:
            return place
        if holder.source != self._source and holder.table == table:
            remedy = "Give each source a sink of its own, or exclude the table from one of them."
            message = f"the table is already filled by the source {holder.source!r}"
            raise SinkRefused(message, where=f"{self._where}: {table}", remedy=remedy)
        if identifiers == "fail":
            message = f"{holder.table} has its name in {dialect.product}"
            if dialect.folded(holder.table.schema) == dialect.folded(table.schema):
                message = (
                    f"its name differs from {holder.table} only in case, which {dialect.product} ignores"
                )
            raise SinkRefused(message, where=f"{self._where}: {table}", remedy=FAIL_REMEDY)
        schema = dialect.folded(place.schema)
        taken = {name for of_schema, name in self._existing if of_schema == schema}
        return replace(place, name=suffixed(place.name, str(table), taken, dialect))

    def _schema_for(self, table: TableId, identifiers: Identifiers) -> str:
        dialect, schema = self._dialect, table.schema
        reserved = dialect.system_schemas | {OWN_SCHEMA}
        if dialect.folded(schema) not in reserved and not is_too_long(schema, dialect):
            return schema
        if identifiers == "fail":
            message = f"the source's schema {schema!r} has the name of one of the sink's own schemas"
            if is_too_long(schema, dialect):
                message = f"the name of its schema has more than {dialect.longest_name} bytes"
            raise SinkRefused(message, where=f"{self._where}: {table}", remedy=FAIL_REMEDY)
        return suffixed(schema, schema, reserved, dialect)

    def save(self, stored: StoredTable, before: StoredTable | None) -> None:
        """Store a table; `before` is its previous entry."""
        if before is not None:
            self._forget(before)
            self._own_connection.query(
                f"delete from {self._own} where source = ? and schema_name = ? and table_name = ?",
                [before.source, before.table.schema, before.table.name],
            )
        self._note(stored)
        self._existing[self._folded(stored.place)] = stored.place
        *values, since = stored.to_row()
        at = self._own_connection.dialect.moment(None if since is None else from_microseconds(since))
        marks = ", ".join([*"?" * len(values), at])
        self._own_connection.query(f"insert into {self._own} ({_COLUMNS}) values ({marks})", values)

    def made(self, place: TableId) -> None:
        """Note a table of the sink that is not a table of the source."""
        self._existing[self._folded(place)] = place

    def dropped(self, place: TableId) -> None:
        """Note that a table was dropped in the target."""
        self._existing.pop(self._folded(place), None)

    def free_name(self, stored: StoredTable, suffix: str = "") -> TableId:
        """Return a free name derived from the table's name: to rename the table, or for a copy of it."""
        suffix = suffix or str(stored.relation or "old")
        while True:
            table = replace(stored.place, name=extended(stored.place.name, suffix, self._dialect))
            if not self.exists(table):
                return table
            suffix += "_"

    def _note(self, stored: StoredTable) -> None:
        self._places[self._folded(stored.place)] = stored
        if stored.source == self._source:
            self._names[stored.table] = stored
            self._relations[stored.relation] = stored

    def _forget(self, stored: StoredTable) -> None:
        place = self._folded(stored.place)
        self._existing.pop(place, None)
        if self._places.get(place) is stored:
            del self._places[place]
        if self._names.get(stored.table) is stored:
            del self._names[stored.table]
        if self._relations.get(stored.relation) is stored:
            del self._relations[stored.relation]

    def _refuse_stranger(self, table: TableId, place: TableId) -> None:
        found, container = self._existing.get(self._folded(place)), self._dialect.container
        if found is not None:
            raise SinkRefused(
                f"the {container} has a table or view {found} that this sink did not create",
                where=f"{self._where}: {table}",
                remedy=f"Rename it or drop it in the {container}, or choose another {container}.",
            )

    def _folded(self, table: TableId) -> tuple[str, str]:
        return self._dialect.folded(table.schema), self._dialect.folded(table.name)
