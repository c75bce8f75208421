"""Tables that the sink can't take: kept in `_cdc.set_aside`, and changed in the transaction of the cursor.

A table that is set aside has all its changes up to an offset and none after it, until it begins anew: with a
truncate, which a copy begins with too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from cdc.errors import CdcError
from cdc.model import TableId, TableSchema
from cdc.spi import SetAside, SinkContext
from sinks.duckdb.shape import run

TABLES = """
create table if not exists _cdc.set_aside (
    source varchar not null, schema_name varchar not null, table_name varchar not null, relation bigint,
    since_seq bigint not null, kind varchar not null, reason varchar not null, remedy varchar not null,
    deliverable boolean not null, noted_at timestamptz not null
)
"""
_COLUMNS = "source, schema_name, table_name, relation, since_seq, kind, reason, remedy, deliverable"


class TableRefused(Exception):
    """One table can't be taken, for the reason `error`; nothing is wrong with the others."""

    def __init__(self, schema: TableSchema, error: CdcError) -> None:
        super().__init__(str(schema.table))
        self.schema = schema
        self.error = error


@dataclass(frozen=True, slots=True)
class Entry:
    """One table that is set aside; `relation` is the source's number of it."""

    relation: int | None
    details: SetAside


class Shelf:
    """The tables of one source that are set aside, as of the running transaction."""

    def __init__(self, connection: Any, source: str) -> None:
        self._connection = connection
        self._source = source
        rows = connection.execute(
            f"select {_COLUMNS} from _cdc.set_aside where source = ? order by schema_name, table_name",
            [source],
        ).fetchall()
        self._entries = [_entry(row) for row in rows]

    def __iter__(self) -> Iterator[SetAside]:
        return (entry.details for entry in self._entries)

    def find(self, schema: TableSchema) -> Entry | None:
        """Return the entry of the source's table, by its number, else by its name."""
        for entry in self._entries:
            if entry.relation is not None and entry.relation == schema.relation:
                return entry
        return next((entry for entry in self._entries if entry.details.table == schema.table), None)

    def put(self, schema: TableSchema, since: int, error: CdcError, *, deliverable: bool = False) -> None:
        """Set a table aside, or note a new reason for one that is; it keeps its beginning."""
        known = self.find(schema)
        if known is not None:
            since = known.details.since
            self.take_back(known)
        kind = type(error).__name__
        message = f"{error.where}: {error.message}" if error.where else error.message
        self._add(
            Entry(schema.relation, SetAside(schema.table, since, kind, message, error.remedy, deliverable))
        )

    def mark_deliverable(self, entry: Entry, table: TableId) -> None:
        """Note that the sink could take the table, which is called `table` now, if it began anew."""
        self.take_back(entry)
        self._add(replace(entry, details=replace(entry.details, table=table, deliverable=True)))

    def take_back(self, entry: Entry) -> None:
        """Forget an entry: the table begins anew."""
        self._entries.remove(entry)
        self._connection.execute(
            "delete from _cdc.set_aside where source = ? and schema_name = ? and table_name = ?",
            [self._source, entry.details.table.schema, entry.details.table.name],
        ).fetchall()

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        details = entry.details
        values = [self._source, details.table.schema, details.table.name, entry.relation, details.since]
        values += [details.kind, details.message, details.remedy, details.deliverable]
        marks = ", ".join("?" * len(values))
        insert = f"insert into _cdc.set_aside ({_COLUMNS}, noted_at) values ({marks}, now())"
        self._connection.execute(insert, values).fetchall()


def report_set_aside(context: SinkContext, refused: TableRefused) -> None:
    """Tell the operator of a table that was set aside."""
    error = refused.error
    context.log(
        "skipping a table until its error is resolved",
        level="error",
        table=str(refused.schema.table),
        kind=type(error).__name__,
        error=error.message,
        remedy=error.remedy,
    )
    context.count("tables_set_aside", 1)


def prepare(connection: Any) -> None:
    """Make the sink's own table of tables that are set aside."""
    run(connection, TABLES)


def all_of(connection: Any) -> list[SetAside]:
    """What is set aside in the file, whatever its source."""
    known = connection.execute(
        "select 1 from duckdb_tables() where database_name = current_database() "
        "and schema_name = '_cdc' and table_name = 'set_aside'"
    ).fetchall()
    if not known:
        return []
    rows = connection.execute(f"select {_COLUMNS} from _cdc.set_aside order by 1, 2, 3").fetchall()
    return [_entry(row).details for row in rows]


def _entry(row: tuple[Any, ...]) -> Entry:
    _, schema, name, relation, since, kind, reason, remedy, deliverable = row
    return Entry(relation, SetAside(TableId(schema, name), since, kind, reason, remedy, deliverable))
