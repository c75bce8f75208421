"""Re-reading a table's definition with a proof that it is the one at the stream's position.

The catalog shows the newest shape. Read it, then the binlog's end P; when the binlog from the stream's
position to P holds no statement that may alter the table, the shape read is right at the stream's position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol

from cdc.errors import UnsupportedSchema
from cdc.model import TableId
from connectors.mysql.ddl.changes import (
    Altered,
    Created,
    DatabaseDropped,
    DefaultCharset,
    Dropped,
    Renamed,
    SetDefault,
    SetEngine,
    TableChange,
    Unknown,
)
from connectors.mysql.ddl.classify import classify
from connectors.mysql.definitions import TableDefinition

# Clauses that change no definition that rows are read by.
_SHAPELESS = (SetDefault, SetEngine, DefaultCharset)


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
    definition = read(table)
    for statement in reader.statements():
        changes = classify(statement.sql, statement.database, statement.sql_mode, statement.charset, flavour)
        definition = _as_before(definition, changes, table, fold=fold)
        reason = next((reason for change in changes if (reason := _reason(change, table, fold=fold))), "")
        if reason:
            raise UnsupportedSchema(
                f"the columns that {table} had can't be told: {reason} at {statement.where}, later in the"
                " binary log, so the catalog shows others",
                where=where,
                remedy="Run: set global binlog_row_metadata = full; then copy the table again: take it out of"
                " tables, let the source pass this place, and put it back.",
            )
    return definition


def _as_before(
    definition: TableDefinition | None, changes: Iterable[TableChange], table: TableId, *, fold: bool
) -> TableDefinition | None:
    """The definition without the defaults and the engine that a statement sets later: those before aren't
    known.
    """
    altered = (c for c in changes if isinstance(c, Altered) and _same(c.table, table, fold=fold))
    edits = [edit for change in altered for edit in change.edits]
    if definition is None or not edits:
        return definition
    if any(isinstance(edit, SetEngine) for edit in edits):
        definition = replace(definition, engine="")
    names = {edit.name.lower() for edit in edits if isinstance(edit, SetDefault)}
    columns = (replace(c, default=None) if c.name.lower() in names else c for c in definition.columns)
    return replace(definition, columns=tuple(columns))


def _reason(change: TableChange, table: TableId, *, fold: bool) -> str:
    """How the statement may alter the table's shape; '' when it can't."""
    match change:
        case Created(named) if not change.if_not_exists:
            return "it is created" if _same(named, table, fold=fold) else ""
        case Dropped(named):
            return "it is dropped" if _same(named, table, fold=fold) else ""
        case Renamed(old, new):
            touched = _same(old, table, fold=fold) or _same(new, table, fold=fold)
            return "it is renamed, or another table gets its name" if touched else ""
        case Altered(named, edits) if any(not isinstance(edit, _SHAPELESS) for edit in edits):
            return "it is altered" if _same(named, table, fold=fold) else ""
        case DatabaseDropped(database):
            return "its database is dropped" if _equal(database, table.schema, fold=fold) else ""
        case Unknown(reason, words, database):
            return (
                f"a statement isn't understood ({reason})"
                if _names(words, database, table, fold=fold)
                else ""
            )
        case _:
            return ""


def _names(words: frozenset[str], database: str, table: TableId, *, fold: bool) -> bool:
    schemas = {*words, database}
    return any(_equal(word, table.name, fold=fold) for word in words) and any(
        _equal(schema, table.schema, fold=fold) for schema in schemas
    )


def _same(one: TableId, other: TableId, *, fold: bool) -> bool:
    return _equal(one.schema, other.schema, fold=fold) and _equal(one.name, other.name, fold=fold)


def _equal(one: str, other: str, *, fold: bool) -> bool:
    return one.lower() == other.lower() if fold else one == other
