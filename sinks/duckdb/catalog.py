"""What the sink remembers of its tables, in `_cdc.tables` of the file itself.

A column of a DuckDB table belongs to a column of the source by the source's own numbers (table and column),
so that renames are told from a drop and an add.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from cdc.errors import SinkRefused
from cdc.model import TableId
from sinks.duckdb.names import FAIL_REMEDY, SYSTEM_SCHEMAS, folded, suffixed
from sinks.duckdb.options import Deletes, Identifiers, Mode

# Changes when an older daemon could no longer use the file.
FORMAT_VERSION = 1

TABLES = """
create schema if not exists _cdc;
create table if not exists _cdc.meta (format integer not null);
create table if not exists _cdc.fences (source varchar not null, epoch bigint not null);
alter table _cdc.fences add column if not exists log varchar;
create table if not exists _cdc.cursors (
    source varchar not null, "offset" bigint not null, position varchar not null, commit_at timestamptz,
    epoch bigint not null, high bigint not null, applied_at timestamptz not null,
    position_order varchar not null
);
create table if not exists _cdc.tables (
    source varchar not null, schema_name varchar not null, table_name varchar not null, relation bigint,
    version integer not null, schema_seq bigint not null, since_seq bigint not null,
    mode varchar not null, deletes varchar not null, schema json not null
);
alter table _cdc.tables add column if not exists stored_schema varchar;
alter table _cdc.tables add column if not exists stored_name varchar;
alter table _cdc.tables add column if not exists incomplete_since timestamptz;
"""
_COLUMNS = (
    "source, schema_name, table_name, relation, version, schema_seq, since_seq, mode, deletes, schema, "
    "stored_schema, stored_name, incomplete_since"
)
# Microseconds, not a timestamp: DuckDB would need the package pytz to make Python values of those.
_SELECTED = _COLUMNS.replace(" schema,", " schema::varchar,").replace(
    "incomplete_since", "epoch_us(incomplete_since)"
)


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """One column of a DuckDB table and the source's column that it holds.

    `fill` is the SQL expression for rows older than the column. A `retired` column is gone in the source and
    kept here.
    """

    name: str
    type: str
    source_name: str
    relation: int | None
    id: int | None
    fill: str | None = None
    retired: bool = False


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table of the sink: `table` in the source, `place` in the file.

    `schema_seq` is the `_cdc_seq` from which on changes have the present shape; `since_seq` the one from
    which on the table has been the same relation with the same key: a mirror can't replay what is older, and
    needn't.

    `incomplete_since` (microseconds) is when rows or changes began to be missing, because a copy is due or
    under way; None while the table is whole. `is_new` says that it never was. `copy` is the table that a copy
    of a table with older rows grows in; its `since_seq` is the offset at which the copy began.
    """

    source: str
    table: TableId
    relation: int | None
    version: int
    columns: tuple[StoredColumn, ...]
    key: tuple[str, ...]
    identity: str
    schema_seq: int
    since_seq: int
    mode: Mode
    deletes: Deletes
    place: TableId
    incomplete_since: int | None = None
    is_new: bool = False
    copy: StoredTable | None = None

    def to_row(self) -> list[Any]:
        """The values of a row of `_cdc.tables`."""
        described = {
            "columns": [asdict(c) for c in self.columns],
            "key": self.key,
            "identity": self.identity,
            "is_new": self.is_new,
            "copy": self.copy and self.copy.to_row(),
        }
        numbers = [self.relation, self.version, self.schema_seq, self.since_seq]
        return [
            self.source,
            self.table.schema,
            self.table.name,
            *numbers,
            self.mode,
            self.deletes,
            json.dumps(described),
            self.place.schema,
            self.place.name,
            self.incomplete_since,
        ]

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> StoredTable:
        """The table that `to_row` gave."""
        source, schema_name, name, relation, version, schema_seq, since_seq, mode, deletes, text, *rest = row
        described = json.loads(text)
        columns = tuple(StoredColumn(**column) for column in described["columns"])
        return cls(
            source=source,
            table=TableId(schema_name, name),
            relation=relation,
            version=version,
            columns=columns,
            key=tuple(described["key"]),
            identity=described["identity"],
            schema_seq=schema_seq,
            since_seq=since_seq,
            mode=mode,
            deletes=deletes,
            place=TableId(rest[0] or schema_name, rest[1] or name),
            incomplete_since=rest[2],
            is_new=described.get("is_new", False),
            copy=cls.from_row(described["copy"]) if described.get("copy") else None,
        )


class Catalog:
    """All tables of the sink, as of the running transaction; thrown away when that is rolled back."""

    def __init__(self, connection: Any, source: str, path: str) -> None:
        self._connection = connection
        self._source = source
        self._path = path
        self.name: str = connection.execute("select current_database()").fetchall()[0][0]
        rows = connection.execute(f"select {_SELECTED} from _cdc.tables").fetchall()
        self._places: dict[tuple[str, str], StoredTable] = {}
        self._names: dict[TableId, StoredTable] = {}
        self._relations: dict[int | None, StoredTable] = {}
        for row in rows:
            self._note(StoredTable.from_row(row))
        found = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
            "union all "
            "select schema_name, view_name from duckdb_views() where database_name = current_database()"
        ).fetchall()
        self._existing = {_folded(TableId(*row)): TableId(*row) for row in found}

    def __iter__(self) -> Iterator[StoredTable]:
        """The tables of our source."""
        return iter(list(self._names.values()))

    def by_relation(self, relation: int | None) -> StoredTable | None:
        """Our source's table of that number."""
        return None if relation is None else self._relations.get(relation)

    def by_name(self, table: TableId) -> StoredTable | None:
        """Our source's table of that name."""
        return self._names.get(table)

    def exists(self, place: TableId) -> bool:
        """Whether DuckDB has a table or view of that name."""
        return _folded(place) in self._existing

    def place_for(
        self, table: TableId, identifiers: Identifiers, moving: StoredTable | None = None
    ) -> TableId:
        """Return where a table of the source goes in the file; `moving` is the table that gives up its place.

        Raises:
            SinkRefused: the name is taken by another source or by what isn't ours, or, where `identifiers`
                is `fail`, by a table that differs in case only or by DuckDB itself.
        """
        schema = table.schema
        if folded(schema) in SYSTEM_SCHEMAS:
            if identifiers == "fail":
                message = f"the source's schema {schema!r} has the name of one of the sink's own schemas"
                raise SinkRefused(message, where=f"{self._path}: {table}", remedy=FAIL_REMEDY)
            schema = suffixed(schema, schema, SYSTEM_SCHEMAS)
        place = TableId(schema, table.name)
        holder = self._places.get(_folded(place))
        if holder is None:
            self._refuse_stranger(place)
            return place
        if holder is moving:
            return place
        if holder.source != self._source and holder.table == table:
            remedy = "Give each source a sink (a file) of its own, or leave the table out of one of them."
            message = f"the table is already filled by the source {holder.source!r}"
            raise SinkRefused(message, where=f"{self._path}: {table}", remedy=remedy)
        if identifiers == "fail":
            message = f"its name differs from {holder.table} only in case, which DuckDB ignores"
            raise SinkRefused(message, where=f"{self._path}: {table}", remedy=FAIL_REMEDY)
        taken = {name for of_schema, name in self._existing if of_schema == folded(schema)}
        return replace(place, name=suffixed(table.name, str(table), taken))

    def save(self, stored: StoredTable, before: StoredTable | None) -> None:
        """Remember a table; `before` is what it was called and looked like until now."""
        if before is not None:
            self._forget(before)
            self._connection.execute(
                "delete from _cdc.tables where source = ? and schema_name = ? and table_name = ?",
                [before.source, before.table.schema, before.table.name],
            ).fetchall()
        self._note(stored)
        self._existing[_folded(stored.place)] = stored.place
        marks = ", ".join([*"?" * (len(stored.to_row()) - 1), "make_timestamptz(cast(? as bigint))"])
        insert = f"insert into _cdc.tables ({_COLUMNS}) values ({marks})"
        self._connection.execute(insert, stored.to_row()).fetchall()

    def made(self, place: TableId) -> None:
        """Note a table of ours that is no table of the source."""
        self._existing[_folded(place)] = place

    def dropped(self, place: TableId) -> None:
        """Note that a table is gone from the file."""
        self._existing.pop(_folded(place), None)

    def free_name(self, stored: StoredTable, suffix: str = "") -> TableId:
        """A name beside the table's own: to move it out of the way of another, or for a copy of it."""
        table = replace(stored.place, name=f"{stored.place.name}__{suffix or stored.relation or 'old'}")
        while self.exists(table):
            table = replace(table, name=f"{table.name}_")
        return table

    def _note(self, stored: StoredTable) -> None:
        self._places[_folded(stored.place)] = stored
        if stored.source == self._source:
            self._names[stored.table] = stored
            self._relations[stored.relation] = stored

    def _forget(self, stored: StoredTable) -> None:
        self._existing.pop(_folded(stored.place), None)
        if self._places.get(_folded(stored.place)) is stored:
            del self._places[_folded(stored.place)]
        if self._names.get(stored.table) is stored:
            del self._names[stored.table]
        if self._relations.get(stored.relation) is stored:
            del self._relations[stored.relation]

    def _refuse_stranger(self, table: TableId) -> None:
        found = self._existing.get(_folded(table))
        if found is not None:
            raise SinkRefused(
                f"the file has a table or view {found} that was not made by this sink",
                where=f"{self._path}: {table}",
                remedy="Rename it or drop it in the file, or choose another file.",
            )


def _folded(table: TableId) -> tuple[str, str]:
    return folded(table.schema), folded(table.name)
