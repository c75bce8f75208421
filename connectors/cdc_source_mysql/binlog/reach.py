"""Which followed tables a statement that is logged as text changes by what hangs on its tables.

The catalog shows what is now. It holds for the statement when nothing that it rests on was changed in the
binlog between the statement and what was looked at; the proof then holds up to there, for every statement on
the same tables, and on from there until a statement changes a table, view, trigger or routine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cdc.model import TableId
from cdc_source_mysql.binlog.lookahead import Statement
from cdc_source_mysql.binlog.reach_catalog import Explorer, Obstacle, is_system
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.schema.ddl.changes import (
    Created,
    DatabaseDropped,
    Dml,
    Dropped,
    ObjectChanged,
    Renamed,
    TableChange,
    Unknown,
)
from cdc_source_mysql.schema.ddl.classify import classify

# Statements of so many kinds are remembered; servers with more make them up (scratch tables).
MAX_PROVEN = 1000
_DROPS_KEY = re.compile(rb"\bdrop\s+(foreign|constraint)\b", re.IGNORECASE)


class LaterStatements(Protocol):
    """What is in the binlog behind the stream's place."""

    def statements(self) -> Iterator[Statement]: ...

    @property
    def end(self) -> tuple[str, int]:
        """File and offset up to which all were given."""
        ...


@dataclass(frozen=True, slots=True)
class ReachParts:
    """`look` opens the catalog; `followed` are the followed tables that may be there; `later` reads on from
    the place of the statement at hand; `order` is that of a file and offset.
    """

    look: Callable[[str], AbstractContextManager[Connection]]
    selects: Callable[[TableId], bool]
    followed: Callable[[], Iterable[TableId]]
    later: Callable[[], LaterStatements]
    order: Callable[[str, int], int]
    flavour: str
    fold: bool


class Reach:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(self, parts: ReachParts) -> None:
        self._parts = parts
        self._proven: dict[tuple[object, ...], tuple[int, Mapping[TableId, str]]] = {}

    def forget(self, order: int) -> None:
        """A statement at that place changes what the catalog shows."""
        self._proven = {key: proof for key, proof in self._proven.items() if proof[0] >= order}

    def of(self, dml: Dml) -> Mapping[TableId, str] | Obstacle:
        """The followed tables that the statement may change besides those that its text says, with how; or
        why that can't be told.
        """
        named = frozenset(table for table in dml.named if not is_system(table))
        written = named & frozenset(dml.written)
        if not named and not dml.calls:
            return {}
        key = (named, written, dml.calls)
        if key in self._proven:
            return self._proven[key][1]
        parts = self._parts
        with parts.look("looking at what a statement can reach") as connection:
            explorer = Explorer(
                connection, parts.flavour, parts.selects, frozenset(parts.followed()), fold=parts.fold
            )
            obstacle = explorer.explore(named, written, dml.calls)
        if obstacle is not None:
            return obstacle
        later = parts.later()
        for statement in later.statements():
            reason = self._touches(statement, explorer.touched)
            if reason:
                return Obstacle(f"{reason} at {statement.where}, so the catalog shows what came later")
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven[key] = parts.order(*later.end), explorer.reached
        return explorer.reached

    def _touches(self, statement: Statement, touched: Iterable[TableId]) -> str:
        """How a later statement may have changed what was looked at; '' when it can't."""
        names = {self._cased(table) for table in touched}
        changes = classify(
            statement.sql, statement.database, statement.sql_mode, statement.charset, self._parts.flavour
        )
        for change in changes:
            if self._replaces(change, names):
                return "what it rests on is changed"
            if isinstance(change, ObjectChanged) and change.kind == "FOREIGN KEY":
                children = {*names, *map(self._cased, self._parts.followed())}
                if self._cased(change.name) in children and _DROPS_KEY.search(statement.sql):
                    return "a foreign key may be dropped"
        return ""

    def _replaces(self, change: TableChange, names: set[TableId]) -> bool:
        match change:
            case ObjectChanged("FOREIGN KEY", _):
                return False
            case ObjectChanged("TRIGGER", name):
                return self._cased(name).schema in {table.schema for table in names}
            case ObjectChanged(_, name) | Dropped(name):
                return self._cased(name) in names
            case Created(name):
                return not change.if_not_exists and self._cased(name) in names
            case Renamed(old, new):
                return bool({self._cased(old), self._cased(new)} & names)
            case DatabaseDropped(database):
                return any(table.schema == self._cased(TableId(database, "")).schema for table in names)
            case Unknown(_, words):
                folded = {word.lower() for word in words}
                return any(table.name.lower() in folded for table in names)
            case _:
                return False

    def _cased(self, table: TableId) -> TableId:
        return table.lower() if self._parts.fold else table
