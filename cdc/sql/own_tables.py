"""The sink's own tables, in the schema `_cdc` of the target: the cursor, the fence, the tables that are set
aside, and the indexes to recreate. They change in the same transaction as the tables.

`_cdc.fences` contains the newest epoch that opened the sink: an older process is refused. A table that is set
aside has all its changes up to an offset and none after it, until a truncate, with which a copy begins.
Indexes are those that someone created on the sink's tables: a table that replaces another gets them too. Not
every target can create an index in the transaction that renames its table, so the transaction that drops the
old table notes its indexes; they are created after it, or at the next start if the process ends first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cdc.errors import CdcError, SinkRefused
from cdc.merge import TableRefused, continuity, set_aside_for
from cdc.merge.continuity import Fence
from cdc.model import Position, TableId, TableSchema
from cdc.model.position import from_microseconds
from cdc.spi import Cursor, SetAside, SinkContext
from cdc.sql.dialect import OWN_SCHEMA, Connection, OwnConnection

# Changes when an older daemon could no longer use the tables.
FORMAT_VERSION = 1

_TABLES = {
    "meta": "format {integer} not null",
    "fences": "source {text} not null, epoch {bigint} not null, log {text}",
    "cursors": """
        source {text} not null, "offset" {bigint} not null, position {text} not null, commit_at {moment},
        epoch {bigint} not null, high {bigint} not null, applied_at {moment} not null,
        position_order {text} not null""",
    "tables": """
        source {text} not null, schema_name {text} not null, table_name {text} not null, relation {bigint},
        version {integer} not null, schema_seq {bigint} not null, since_seq {bigint} not null,
        mode {text} not null, deletes {text} not null, schema {json} not null,
        stored_schema {text}, stored_name {text}, incomplete_since {moment}""",
    "set_aside": """
        source {text} not null, schema_name {text} not null, table_name {text} not null, relation {bigint},
        since_seq {bigint} not null, kind {text} not null, reason {text} not null, remedy {text} not null,
        deliverable {flag} not null, noted_at {moment} not null""",
    "indexes": "statement {text} not null",
    "steps": """
        source {text} not null, "first" {bigint} not null, batches {bigint} not null,
        rows {bigint} not null""",
}


def make(connection: Connection, where: str) -> None:
    """Create the missing tables; within a transaction.

    Raises:
        SinkRefused: a newer version has changed their format.
    """
    own = connection.own
    dialect = own.dialect
    create(own)
    meta = dialect.own("meta")
    found = own.query(f"select format from {meta}")
    if not found:
        own.query(f"insert into {meta} values ({FORMAT_VERSION})")
    elif found[0][0] > FORMAT_VERSION:
        container = connection.dialect.container
        raise SinkRefused(
            f"the {container} is of format {found[0][0]}, this version writes {FORMAT_VERSION}",
            where=where,
            remedy=f"Upgrade the daemon to the version that wrote the {container}.",
        )


def create(own: OwnConnection) -> None:
    """Create the missing tables, empty."""
    dialect = own.dialect
    for statement in dialect.create_schema(OWN_SCHEMA):
        own.query(statement)
    types = asdict(dialect.types)
    for name, columns in _TABLES.items():
        own.query(f"create table if not exists {dialect.own(name)} ({columns.format(**types)})")


def take_fence(connection: Connection, source: str, context: SinkContext, where: str) -> None:
    """Store this process as the newest one that opened the sink for this source; within a transaction."""
    check_fence(connection, source, context, where, has_rows=read_cursor(connection, source) is not None)
    own = connection.own
    fences = own.dialect.own("fences")
    own.query(f"delete from {fences} where source = ?", [source])
    own.query(
        f"insert into {fences} (source, epoch, log) values (?, ?, ?)", [source, context.epoch, context.log_id]
    )


def check_fence(
    connection: Connection, source: str, context: SinkContext, where: str, *, has_rows: bool = True
) -> None:
    """Raise SinkFenced if a newer process has opened the sink, SinkRefused if it contains another log's
    rows.
    """
    connection.lock(source)
    query = f"select epoch, log from {connection.own.dialect.own('fences')} where source = ?"
    found = connection.own.query(query, [source])
    fence = Fence(found[0][0], found[0][1] or "") if found else None
    continuity.check_fence(fence, context, has_rows=has_rows, where=where)


def read_cursor(connection: Connection, source: str) -> Cursor | None:
    """Return the cursor; None if nothing was ever applied."""
    own = connection.own
    dialect = own.dialect
    found = own.query(
        f'select "offset", position_order, position, {dialect.microseconds("commit_at")}, epoch, high '
        f"from {dialect.own('cursors')} where source = ?",
        [source],
    )
    if not found:
        return None
    offset, order, text, commit_us, epoch, high = found[0]
    commit_at = None if commit_us is None else from_microseconds(commit_us)
    return Cursor(source, offset, Position(int(order), text), commit_at, epoch, high)


def log_of(connection: Connection, source: str) -> str:
    """Return the identity of the cursor's log; '' if an older version wrote it."""
    own = connection.own
    try:
        query = f"select log from {own.dialect.own('fences')} where source = ?"
        found = own.query(query, [source])
    except connection.Error:
        return ""
    return str(found[0][0] or "") if found else ""


def write_cursor(connection: Connection, cursor: Cursor) -> None:
    """Replace the cursor of this source."""
    own = connection.own
    dialect = own.dialect
    cursors, position = dialect.own("cursors"), cursor.position
    columns = 'source, "offset", position, commit_at, epoch, high, applied_at, position_order'
    commit_at, now = dialect.moment(cursor.commit_at), dialect.moment(datetime.now(UTC))
    own.query(f"delete from {cursors} where source = ?", [cursor.source])
    own.query(
        f"insert into {cursors} ({columns}) values (?, ?, ?, {commit_at}, ?, ?, {now}, ?)",
        [cursor.source, cursor.next, position.text, cursor.epoch, cursor.high, str(position.order)],
    )


_COLUMNS = "source, schema_name, table_name, relation, since_seq, kind, reason, remedy, deliverable"


@dataclass(frozen=True, slots=True)
class SetAsideEntry:
    """One table that is set aside; `relation` is the source's number of it."""

    relation: int | None
    details: SetAside


class Shelf:
    """The tables of one source that are set aside, as of the running transaction."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection.own
        self._source = source
        self._own = self._connection.dialect.own("set_aside")
        rows = self._connection.query(
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
        where=error.where,
        error=error.message,
        remedy=error.remedy,
    )
    context.count("tables_set_aside", 1)


def all_set_aside(connection: Connection) -> list[SetAside]:
    """Return all tables that are set aside in the target, of every source."""
    if not connection.own.has("set_aside"):
        return []
    own = connection.own.dialect.own("set_aside")
    return [
        _entry(row).details for row in connection.own.query(f"select {_COLUMNS} from {own} order by 1, 2, 3")
    ]


def _entry(row: tuple[Any, ...]) -> SetAsideEntry:
    _, schema, name, relation, since, kind, reason, remedy, deliverable = row
    details = SetAside(TableId(schema, name), since, kind, reason, remedy, bool(deliverable))
    return SetAsideEntry(relation, details)


def note_indexes(connection: Connection, place: TableId) -> None:
    """Note the indexes of a table that is about to be dropped."""
    for statement in connection.indexes_of(place):
        connection.own.query(f"insert into {connection.own.dialect.own('indexes')} values (?)", [statement])


def recreate_indexes(connection: Connection, context: SinkContext) -> None:
    """Create the indexes that are noted; one that no longer fits its table is reported and forgotten."""
    for (statement,) in connection.own.query(
        f"select statement from {connection.own.dialect.own('indexes')}"
    ):
        connection.begin()
        try:
            connection.run(statement)
            _forget_index(connection, statement)
            connection.commit()
        except connection.Error as error:
            connection.roll_back()
            context.log(
                "could not recreate an index: it no longer fits its table",
                level="warning",
                statement=statement,
                kind=type(error).__name__,
            )
            _forget_index(connection, statement)


def _forget_index(connection: Connection, statement: str) -> None:
    own = connection.own
    own.query(f"delete from {own.dialect.own('indexes')} where statement = ?", [statement])
