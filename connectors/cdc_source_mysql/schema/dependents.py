"""Tables whose rows the server changes together with those of another table, of which alone the binlog has
row events: the children of foreign keys, and the tables that a MERGE table shows.

A child changes where the engine itself carries out the foreign key: on MariaDB, on MySQL before 9.6, and
later with `innodb_native_foreign_keys`. Where the server does it, the children's rows events come before the
parent's, and all of them have the flag SQL_FOREIGN_KEYS. A row changed through a MERGE table is logged under
the name of the MERGE table, a row changed in a member under the member's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymysql.err import MySQLError

from cdc.kit.selection import exclusion_of
from cdc.model import TableId, shown
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.privileges import Grants, read_grants
from cdc_source_mysql.connection import ServerFacts
from cdc_source_mysql.schema.catalog import Cascade, cascades, list_tables, merged
from cdc_source_mysql.statements import identifier, is_denied, table_name

# MySQL logs what a foreign key does to children from this version on, where the server itself does it.
CASCADES_LOGGED_SINCE: Final = (9, 6, 0)
MERGE: Final = "mrg_myisam"

_CHILDREN: Final = """
    select distinct constraint_schema, table_name from information_schema.referential_constraints
    where delete_rule not in ('RESTRICT', 'NO ACTION') or update_rule not in ('RESTRICT', 'NO ACTION')
"""
_MERGE_TABLES: Final = (
    "select table_schema, table_name from information_schema.tables where lower(engine) = 'mrg_myisam'"
)
_NATIVE_KEYS: Final = "show global variables like 'innodb_native_foreign_keys'"
# Any of them shows an account the foreign keys of a table in MariaDB's information_schema; SELECT does not.
_MORE_THAN_SELECT: Final = ("INSERT", "UPDATE", "DELETE", "REFERENCES", "TRIGGER", "ALTER", "INDEX", "DROP")


@dataclass(frozen=True, slots=True)
class Dependent:
    """Rows of `table` change with rows of `source`. `how` completes "through …". `cascade` is the foreign key
    that does it; None for a MERGE table and its members, where every change counts. `shows_only`: the table
    is a MERGE table, which shows the rows of `source` but has none.
    """

    table: TableId
    source: TableId
    how: str
    remedy: str
    cascade: Cascade | None = None
    shows_only: bool = False


@dataclass(frozen=True, slots=True)
class Dependents:
    """Dependent tables by `source`; `hidden` are tables that may lie between and cannot be read. `is_logged`:
    the server now logs what foreign keys change.
    """

    by_source: Mapping[TableId, Sequence[Dependent]] = field(default_factory=dict)
    hidden: tuple[TableId, ...] = ()
    is_logged: bool = False


def logs_cascades(version: tuple[int, int, int], *, is_mariadb: bool, has_native_keys: bool) -> bool:
    """Return whether the binlog has what foreign keys change. `has_native_keys`: InnoDB carries them out."""
    return not is_mariadb and version >= CASCADES_LOGGED_SINCE and not has_native_keys


def cascade_remedy(
    child: TableId, constraint: str, version: tuple[int, int, int], *, is_mariadb: bool
) -> str:
    """Return the fix that makes the server log the changes of the children."""
    drop = f"alter table {table_name(child)} drop foreign key {identifier(constraint)}"
    fix = (
        f"Let the application change the children: {drop}, add foreign key ... on delete restrict on"
        " update restrict;"
    )
    if is_mariadb:
        return fix
    if version >= CASCADES_LOGGED_SINCE:
        return "Start the server with innodb_native_foreign_keys = OFF: it then logs what foreign keys do."
    return f"{fix} MySQL 9.6 and newer log what foreign keys do."


def merge_remedy(table: TableId) -> str:
    return f"Write to the tables that {table} shows, and exclude it: {exclusion_of(table)}"


def read_dependents(
    connection: Connection, facts: ServerFacts, selects: Callable[[TableId], bool], *, is_behind: bool = False
) -> Dependents:
    """The dependents by which changes reach selected tables, now. PyMySQL's errors are the caller's.

    `is_behind`: events are still to be read that the server may have written under another version or
    setting, so foreign keys count that it logs now.
    """
    return _Catalog(connection, facts, selects).read(is_behind=is_behind)


class _Catalog:
    """One look."""

    def __init__(
        self, connection: Connection, facts: ServerFacts, selects: Callable[[TableId], bool]
    ) -> None:
        self._connection = connection
        self._facts = facts
        self._selects = selects
        self._found: dict[TableId, list[Dependent]] = {}
        self._hidden: list[TableId] = []

    def read(self, *, is_behind: bool) -> Dependents:
        native = [str(value).upper() for _, value in self.query(_NATIVE_KEYS)]
        is_logged = logs_cascades(
            self._facts.version, is_mariadb=self._facts.is_mariadb, has_native_keys=native == ["ON"]
        )
        if is_behind or not is_logged:
            self._read_foreign_keys()
        if is_logged:
            self._hidden = []
        self._read_merge_tables()
        return Dependents(self._found, tuple(self._hidden), is_logged)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return [tuple(map(_text, row)) for row in cursor.fetchall()]

    def _read_foreign_keys(self) -> None:
        """From the selected tables up, through parents that are not selected."""
        listed = {self._cased(TableId(schema, name)) for schema, name in self.query(_CHILDREN)}
        with self._connection.cursor() as cursor:
            visible = set(list_tables(cursor))
        if self._facts.is_mariadb:
            grants = read_grants(self)
            listed |= {table for table in visible if _hides_keys(grants, table)}
        left = [table for table in sorted(listed) if self._selects(table)]
        passed = set(left)
        while left:
            child = left.pop()
            for cascade in cascades(child, self._shown(child)):
                parent = self._cased(cascade.parent)
                self._add_cascade(child, parent, cascade)
                if parent not in visible:
                    self._hidden.append(parent)
                elif parent in listed and parent not in passed:
                    passed.add(parent)
                    left.append(parent)

    def _add_cascade(self, child: TableId, parent: TableId, cascade: Cascade) -> None:
        how = f"the foreign key {shown(cascade.name)} of {child} ({cascade.rules})"
        remedy = cascade_remedy(child, cascade.name, self._facts.version, is_mariadb=self._facts.is_mariadb)
        self._add(Dependent(child, parent, how, remedy, cascade))

    def _read_merge_tables(self) -> None:
        groups = []
        for schema, name in self.query(_MERGE_TABLES):
            table = self._cased(TableId(schema, name))
            groups.append((table, tuple(map(self._cased, merged(table, self._shown(table))))))
        if not any(self._selects(table) for merge, members in groups for table in (merge, *members)):
            return
        for merge, members in groups:
            how, remedy = f"the MERGE table {merge}", merge_remedy(merge)
            for member in members:
                self._add(Dependent(member, merge, how, remedy))
                self._add(Dependent(merge, member, how, remedy, shows_only=True))

    def _shown(self, table: TableId) -> str:
        """SHOW CREATE TABLE; '' where there is no such table to be read."""
        try:
            return str(self.query(f"show create table {table_name(table)}")[0][1])
        except MySQLError as error:
            if is_denied(error):
                self._hidden.append(table)
            elif not error.args or error.args[0] not in _UNREADABLE:
                raise
            return ""

    def _add(self, dependent: Dependent) -> None:
        self._found.setdefault(dependent.source, []).append(dependent)

    def _cased(self, table: TableId) -> TableId:
        return table.lower() if self._facts.ignores_case else table


# A table that is gone, and a MERGE table whose members are gone or differ: no row of it can be changed.
_UNREADABLE: Final = frozenset({1049, 1146, 1168})


def _hides_keys(grants: Grants, table: TableId) -> bool:
    return not any(grants.may(privilege, table) for privilege in _MORE_THAN_SELECT)


def _text(value: object) -> str:
    return "" if value is None else value.decode() if isinstance(value, bytes) else str(value)
