"""Re-reading a table's definition with a proof that it is the one at the stream's position.

The catalog shows the newest shape. Read it, then the binlog's end P; when the binlog from the stream's
position to P holds no statement that may alter the table, the shape read is right at the stream's position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol

from cdc.model import TableId
from cdc_source_mysql.binlog.positions import file_number
from cdc_source_mysql.schema.ddl.changes import (
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
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.definitions import TableDefinition

# Clauses that change no definition that rows are read by.
_SHAPELESS = (SetDefault, SetEngine, DefaultCharset)


# The number of a binlog file and an offset in it: places of one server in their order.
BinlogPlace = tuple[int, int]


def place_of(file: str, offset: int) -> BinlogPlace:
    return (file_number(file), offset) if file else (0, offset)


class Statement(NamedTuple):
    """One QUERY event, compressed ones and those inside of a transaction payload included; it ends at
    `offset`.
    """

    sql: bytes
    database: str
    sql_mode: int
    charset: str
    where: str
    file: str
    offset: int


class StatementReader(Protocol):
    """Reads the binlog on a connection of its own, without waiting at its end (NON_BLOCK)."""

    def statements(self) -> Iterator[Statement]:
        """Every QUERY event from the stream's position to the binlog's end at the time of the call, or
        later; SourceGap or SourceUnavailable when that can't be read.
        """
        ...


class Proof(NamedTuple):
    """Proof by the catalog of a table's definition at the stream's position. `definition` None without an
    `obstacle`: there is no such table now that the account can see, and no statement since the position took
    it away. `obstacle`: why the catalog shows other columns; they stay unknown until the stream has passed
    the `until` place, where the last such statement is.
    """

    definition: TableDefinition | None
    obstacle: str = ""
    until: BinlogPlace = (0, 0)


def prove(
    table: TableId,
    read: Callable[[TableId], TableDefinition | None],
    reader: StatementReader,
    *,
    flavour: str,
    fold: bool = False,
    now: BinlogPlace = (0, 0),
) -> Proof:
    """Read the table's definition, and prove that it is the one at the stream's position. The reader begins
    where the last transaction ended: statements up to `now` are in the stream's past (the CREATE TABLE before
    the rows of its AS SELECT).
    """
    definition = read(table)
    obstacle = ""
    until: BinlogPlace = (0, 0)
    for statement in reader.statements():
        place = place_of(statement.file, statement.offset)
        if place <= now:
            continue
        changes = classify(statement.sql, statement.database, statement.sql_mode, statement.charset, flavour)
        definition = _as_before(definition, changes, table, fold=fold)
        reason = next((reason for change in changes if (reason := _reason(change, table, fold=fold))), "")
        if reason:
            obstacle = obstacle or f"{reason} at {statement.where}, so the catalog shows other columns"
            until = place
    return Proof(None if obstacle else definition, obstacle, until)


def _as_before(
    definition: TableDefinition | None, changes: Iterable[TableChange], table: TableId, *, fold: bool
) -> TableDefinition | None:
    """The definition without the defaults and the engine that a statement sets later: those before aren't
    known, nor is the character set of columns to come.
    """
    altered = (c for c in changes if isinstance(c, Altered) and _same(c.table, table, fold=fold))
    edits = [edit for change in altered for edit in change.edits]
    if definition is None or not edits:
        return definition
    if any(isinstance(edit, SetEngine) for edit in edits):
        definition = replace(definition, engine="")
    if any(isinstance(edit, DefaultCharset) for edit in edits):
        definition = replace(definition, default_collation=None)
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
                f"a statement cannot be parsed ({reason})"
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
