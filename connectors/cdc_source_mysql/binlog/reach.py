"""Which followed tables a statement that is logged as text changes through triggers, views, routines and
foreign keys of its tables.

The texts of triggers, views and routines are searched for names: every mention of a followed table counts
as a change of it. Text that the account may not see, or that cannot be read, is an obstacle. The catalog
shows the present. It holds for the statement when nothing that it rests on was changed in the binlog
between the statement and the catalog's own position; the proof then holds up to there, for every statement
on the same tables, and further until a statement changes a table, view, trigger or routine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cdc.kit.selection import TableSelection
from cdc.model import TableId
from cdc_source_mysql.binlog.lookahead import Statement, StatementReader
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.privileges import Grants, read_grants
from cdc_source_mysql.schema.catalog import Knowledge, cascades
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
from cdc_source_mysql.schema.ddl.dml import every_name, named_in
from cdc_source_mysql.schema.ddl.tokens import NotLexed, Token, tokenize
from cdc_source_mysql.schema.history.history import History
from cdc_source_mysql.statements import grant, table_name

# No trigger can be made in them, and no foreign key leads out of them.
_SYSTEM: Final = frozenset({"information_schema", "mysql", "performance_schema"})
_VIEW: Final = "VIEW"
_KIND: Final = """
    select table_schema, table_name, table_type from information_schema.tables
    where table_schema = %s and table_name = %s
"""
_TRIGGERS: Final = """
    select action_statement from information_schema.triggers
    where event_object_schema = %s and event_object_table = %s
"""
_VIEWS: Final = (
    "select view_definition from information_schema.views where table_schema = %s and table_name = %s"
)
_ROUTINES: Final = """
    select routine_definition from information_schema.routines
    where routine_schema = %s and routine_name = %s
"""
_CASCADES: Final = """
    select constraint_schema, table_name, unique_constraint_schema, referenced_table_name
    from information_schema.referential_constraints
    where delete_rule not in ('RESTRICT', 'NO ACTION') or update_rule not in ('RESTRICT', 'NO ACTION')
"""

_MORE_THAN_SELECT: Final = ("INSERT", "UPDATE", "DELETE", "REFERENCES", "TRIGGER", "ALTER", "INDEX", "DROP")
# Statements of so many kinds are remembered; servers with more make them up (scratch tables).
MAX_PROVEN = 1000
_DROPS_KEY = re.compile(rb"\bdrop\s+(foreign|constraint)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why it is not known which followed tables a statement reaches, and the SQL that lets us see it."""

    reason: str
    fix: str = ""


class _Met(Exception):
    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.obstacle = Obstacle(reason, fix)


def is_system(table: TableId) -> bool:
    return table.schema.lower() in _SYSTEM


class Explorer:
    """One look; `touched` is everything that its answer rests on, `reached` the followed tables that it
    found, with how each is reached.
    """

    def __init__(
        self,
        connection: Connection,
        flavour: str,
        selects: Callable[[TableId], bool],
        followed: Collection[TableId],
        *,
        fold: bool,
    ) -> None:
        self._connection = connection
        self._flavour = flavour
        self._selects = selects
        self._followed = followed
        self._fold = fold
        self._grants: Grants = read_grants(self)
        self._account = str(self.query("select current_user()")[0][0])
        self._kinds: dict[TableId, str | None] = {}
        self._children: dict[TableId, set[TableId]] | None = None
        self._seen: set[tuple[TableId, bool]] = set()
        self.touched: set[TableId] = set()
        self.reached: dict[TableId, str] = {}

    def explore(
        self, named: Iterable[TableId], written: Collection[TableId], calls: Iterable[TableId]
    ) -> Obstacle | None:
        """Find the followed tables that are changed besides those of the statement; what keeps us from it."""
        try:
            for routine in calls:
                self._routine(routine)
            for table in sorted(named):
                self._table(self._cased(table), is_written=table in written)
        except _Met as met:
            return met.obstacle
        return None

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return [tuple(map(_text, row)) for row in cursor.fetchall()]

    def _table(self, table: TableId, *, is_written: bool) -> None:
        if is_system(table) or (table, is_written) in self._seen:
            return
        self._seen.add((table, is_written))
        if table in self._followed and not is_written:
            return
        self.touched.add(table)
        kind = self._kind(table)
        if kind is None:
            raise _Met(
                f"{table} does not exist now, or {self._account} may not see it",
                grant("select, trigger", self._account, table_name(table)),
            )
        if kind == _VIEW:
            self._view(table)
        elif is_written:
            self._triggers(table)
            self._foreign_keys(table)

    def _view(self, view: TableId) -> None:
        rows = self.query(_VIEWS, (view.schema, view.name))
        if not rows or not rows[0][0]:
            raise _Met(
                f"{view} is a view whose definition {self._account} may not read",
                grant("show view", self._account, table_name(view)),
            )
        self._search(f"the view {view}", rows[0][0], view.schema)

    def _triggers(self, table: TableId) -> None:
        if not self._grants.may("TRIGGER", table):
            raise _Met(
                f"{self._account} may not see whether {table} has triggers",
                grant("trigger", self._account, table_name(table)),
            )
        for (body,) in self.query(_TRIGGERS, (table.schema, table.name)):
            self._search(f"a trigger of {table}", body, table.schema)

    def _routine(self, routine: TableId) -> None:
        if (routine, True) in self._seen:
            return
        self._seen.add((routine, True))
        self.touched.add(routine)
        rows = self.query(_ROUTINES, (routine.schema, routine.name))
        if not rows or any(not body for (body,) in rows):
            raise _Met(f"it calls {routine}, whose definition {self._account} may not read")
        for (body,) in rows:
            self._search(f"the routine {routine}", body, routine.schema)

    def _search(self, what: str, text: str, schema: str) -> None:
        """Follow every name in the text of a stored object."""
        if not self._grants.may("SELECT"):
            fix = grant("select, trigger, show view", self._account)
            raise _Met(f"there is {what}, and {self._account} may not see all the objects that it names", fix)
        try:
            tokens = tokenize(text, 0, self._flavour)
        except NotLexed:
            raise _Met(f"there is {what}, whose text cannot be parsed") from None
        named = {self._cased(table) for table in every_name(tokens, schema)}
        for table in sorted(named):
            if self._selects(table) and (table in self._followed or self._exists(table)):
                self.reached.setdefault(table, f"{what} names it")
        for routine in (*named_in(tokens, schema).calls, *_called(tokens, schema)):
            self._routine(routine)
        for table in sorted(named):
            if self._exists(table):
                self._table(table, is_written=True)

    def _exists(self, table: TableId) -> bool:
        return self._kind(table) is not None

    def _kind(self, table: TableId) -> str | None:
        """Table or view; None when there is none of that name to be seen."""
        if table not in self._kinds:
            rows = self.query(_KIND, (table.schema, table.name))
            found = {self._cased(TableId(schema, name)): kind for schema, name, kind in rows}
            self._kinds[table] = found.get(table)
        return self._kinds[table]

    def _foreign_keys(self, table: TableId) -> None:
        if self._children is None:
            self._children = self._descent()
        passed, left = {table}, [table]
        while left:
            parent = left.pop()
            for child in sorted(self._children.get(parent, set()) - passed):
                if self._selects(child):
                    self.reached.setdefault(child, f"a foreign key takes changes of {parent} on to it")
                passed.add(child)
                left.append(child)

    def _descent(self) -> dict[TableId, set[TableId]]:
        """The children, by cascading foreign keys, of every table whose changes come down to a followed one;
        only those that lead there.
        """
        listed: dict[TableId, set[TableId]] = {}
        for schema, name, parent_schema, parent_name in self.query(_CASCADES):
            parents = listed.setdefault(self._cased(TableId(schema, name)), set())
            parents.add(self._cased(TableId(parent_schema, parent_name)))
        below = {child for child in listed if self._selects(child)}
        below |= {table for table in self._followed if self._hides_keys(table)}
        passed: set[TableId] = set()
        found: dict[TableId, set[TableId]] = {}
        while below:
            child = below.pop()
            passed.add(child)
            for parent in self._shown(child) if self._hides_keys(child) else listed.get(child, set()):
                self._require(parent, child)
                found.setdefault(parent, set()).add(child)
                if parent not in passed:
                    below.add(parent)
        self.touched |= {table for table in found if not self._selects(table)}
        return found

    def _require(self, parent: TableId, child: TableId) -> None:
        if not self._selects(parent) and not self._exists(parent):
            raise _Met(
                f"{child} has a foreign key to {parent}, which {self._account} may not see",
                grant("select", self._account, table_name(parent)),
            )

    def _hides_keys(self, table: TableId) -> bool:
        """MariaDB lists foreign keys only for those who may do more with the table than SELECT."""
        if self._flavour != "mariadb":
            return False
        return not any(self._grants.may(privilege, table) for privilege in _MORE_THAN_SELECT)

    def _shown(self, table: TableId) -> set[TableId]:
        """The parents of a table by cascading foreign keys, as SHOW CREATE TABLE shows them."""
        if not self._exists(table):
            return set()
        text = self.query(f"show create table {table_name(table)}")[0][1]
        return {self._cased(cascade.parent) for cascade in cascades(table, text)}

    def _cased(self, table: TableId) -> TableId:
        return table.lower() if self._fold else table


def _called(tokens: Sequence[Token], schema: str) -> list[TableId]:
    """Return the procedures that are called, with or without parentheses."""
    found = []
    for at, token in enumerate(tokens):
        if token.upper == "CALL" and at + 1 < len(tokens):
            first = tokens[at + 1].text
            is_qualified = at + 3 < len(tokens) and tokens[at + 2].text == "."
            found.append(TableId(first, tokens[at + 3].text) if is_qualified else TableId(schema, first))
    return found


def _text(value: object) -> str:
    return "" if value is None else value.decode() if isinstance(value, bytes) else str(value)


class LaterStatements(StatementReader, Protocol):
    """The statements after the stream's position, up to `end`: a file and an offset."""

    @property
    def end(self) -> tuple[str, int]: ...


class StatementLookups(Protocol):
    """Questions to the catalog and the binlog about one statement; `look` opens the catalog."""

    @property
    def look(self) -> Callable[[str], AbstractContextManager[Connection]]: ...

    @property
    def knowledge(self) -> Knowledge: ...

    def later(self) -> LaterStatements:
        """Return the statements after the stream's position."""

    def order(self, file: str, offset: int) -> int:
        """Return the order of a place in the binlog among the stream's positions."""


class Reach:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(self, lookups: StatementLookups, history: History, selection: TableSelection) -> None:
        """`history` knows the followed tables that may exist, `selection` which tables can be followed."""
        self._lookups = lookups
        self._history = history
        self._selection = selection
        self._flavour = lookups.knowledge.flavour
        self._fold = lookups.knowledge.facts.ignores_case
        self._proven: dict[tuple[object, ...], tuple[int, Mapping[TableId, str]]] = {}

    def forget(self, order: int) -> None:
        """A statement at that place changes what the catalog shows."""
        self._proven = {key: proof for key, proof in self._proven.items() if proof[0] >= order}

    def of(self, dml: Dml) -> Mapping[TableId, str] | Obstacle:
        """The followed tables that the statement may change besides those that its text says, with how; or
        why that is not known.
        """
        named = frozenset(table for table in dml.named if not is_system(table))
        written = named & frozenset(dml.written)
        if not named and not dml.calls:
            return {}
        key = (named, written, dml.calls)
        if key in self._proven:
            return self._proven[key][1]
        followed = frozenset(self._history.selected())
        with self._lookups.look("finding the tables that a statement can change") as connection:
            explorer = Explorer(connection, self._flavour, self._selection.matches, followed, fold=self._fold)
            obstacle = explorer.explore(named, written, dml.calls)
        if obstacle is not None:
            return obstacle
        later = self._lookups.later()
        for statement in later.statements():
            reason = self._touches(statement, explorer.touched)
            if reason:
                return Obstacle(f"{reason} at {statement.where}, so the catalog shows what came later")
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven[key] = self._lookups.order(*later.end), explorer.reached
        return explorer.reached

    def _touches(self, statement: Statement, touched: Iterable[TableId]) -> str:
        """How a later statement may have changed what was looked at; '' when it can't."""
        names = {self._cased(table) for table in touched}
        changes = classify(
            statement.sql, statement.database, statement.sql_mode, statement.charset, self._flavour
        )
        for change in changes:
            if self._replaces(change, names):
                return "an object that it depends on is changed"
            if isinstance(change, ObjectChanged) and change.kind == "FOREIGN KEY":
                children = {*names, *map(self._cased, self._history.selected())}
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
        return table.lower() if self._fold else table
