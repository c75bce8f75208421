"""Tables that the sink cannot store: listed in `_cdc.set_aside`, and changed in the transaction of the
cursor.

A table that is set aside has all its changes up to an offset and none after it, until a truncate, with which
a copy begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cdc.errors import CdcError
from cdc.merge import TableRefused, set_aside_for
from cdc.model import TableId, TableSchema
from cdc.spi import SetAside, SinkContext
from cdc.sql.connection import Connection

_COLUMNS = "source, schema_name, table_name, relation, since_seq, kind, reason, remedy, deliverable"


@dataclass(frozen=True, slots=True)
class SetAsideEntry:
    """One table that is set aside; `relation` is the source's number of it."""

    relation: int | None
    details: SetAside


class Shelf:
    """The tables of one source that are set aside, as of the running transaction."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        self._own = connection.dialect.own("set_aside")
        rows = connection.query(
            f"select {_COLUMNS} from {self._own} where source = ? order by schema_name, table_name", [source]
        )
        self._entries = [_entry(row) for row in rows]

    def __iter__(self) -> Iterator[SetAside]:
        return (entry.details for entry in self._entries)

    def find(self, schema: TableSchema) -> SetAsideEntry | None:
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
            self.readmit(known)
        details = set_aside_for(error, schema, since, deliverable=deliverable)
        self._add(SetAsideEntry(schema.relation, details))

    def mark_deliverable(self, entry: SetAsideEntry, table: TableId) -> None:
        """Note that the sink can store the table, now named `table`, after a truncate."""
        self.readmit(entry)
        self._add(replace(entry, details=replace(entry.details, table=table, deliverable=True)))

    def readmit(self, entry: SetAsideEntry) -> None:
        """Remove an entry: the table is no longer skipped."""
        self._entries.remove(entry)
        self._connection.query(
            f"delete from {self._own} where source = ? and schema_name = ? and table_name = ?",
            [self._source, entry.details.table.schema, entry.details.table.name],
        )

    def _add(self, entry: SetAsideEntry) -> None:
        self._entries.append(entry)
        details = entry.details
        values = [self._source, details.table.schema, details.table.name, entry.relation, details.since]
        values += [details.kind, details.message, details.remedy, details.deliverable]
        marks = ", ".join("?" * len(values))
        now = self._connection.dialect.moment(datetime.now(UTC))
        insert = f"insert into {self._own} ({_COLUMNS}, noted_at) values ({marks}, {now})"
        self._connection.query(insert, values)


def report_set_aside(context: SinkContext, refused: TableRefused) -> None:
    """Report to the operator a table that was set aside."""
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


def all_of(connection: Connection) -> list[SetAside]:
    """Return all tables that are set aside in the target, of every source."""
    if not connection.has("set_aside"):
        return []
    own = connection.dialect.own("set_aside")
    return [_entry(row).details for row in connection.query(f"select {_COLUMNS} from {own} order by 1, 2, 3")]


def _entry(row: tuple[Any, ...]) -> SetAsideEntry:
    _, schema, name, relation, since, kind, reason, remedy, deliverable = row
    details = SetAside(TableId(schema, name), since, kind, reason, remedy, bool(deliverable))
    return SetAsideEntry(relation, details)
