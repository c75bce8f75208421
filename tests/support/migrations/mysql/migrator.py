"""Writers and the migrator on MySQL and MariaDB."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tests.support.migrations.mysql import recipes
from tests.support.migrations.mysql.session import TABLES, MysqlSession
from tests.support.migrations.threads import (
    PREFIX,
    WRITE,
    FollowingWriter,
    Migrator,
    Refused,
    Session,
)
from tests.support.mysql.server import MysqlServer

_COLUMN = """
    select column_name from information_schema.columns
     where concat(table_schema, '.', table_name) = %s and column_name like %s order by ordinal_position
"""
_RENAME = re.compile(r"alter table (\S+) rename column (\S+) to (\S+)")
_RESTORE = (
    f"rename table app.{recipes.HIDDEN}twin to app.twin_a",
    f"rename table {recipes.OUTSIDE}.things to extra.things",
    "drop table if exists app._loose, app._ghost, app._gone, app._scratch",
)


_KEYS = """
    select column_name from information_schema.columns
     where concat(table_schema, '.', table_name) = %s and column_key = 'PRI' order by ordinal_position
"""


def followed_tables(server: MysqlServer) -> dict[str, list[str]]:
    """The tables of the selection now, with the columns of their keys."""
    names = [str(row[0]) for row in server.query(TABLES, [recipes.SCHEMAS])]
    return {
        name: [str(row[0]) for row in server.query(_KEYS, [name])]
        for name in names
        if recipes.HIDDEN not in name
    }


class MysqlWriter(FollowingWriter):
    """See `FollowingWriter`."""

    def __init__(self, server: MysqlServer, seed: int) -> None:
        super().__init__(seed)
        self._server = server

    def connect(self) -> Session:
        return MysqlSession(self._server)


class MysqlMigrator(Migrator):
    """See `Migrator`. `renamed` lists (old, new) names of columns by table, in order of time; `reused` names
    the tables where a column's name was used again.
    """

    weights = recipes.WEIGHTS
    recipes = recipes.RECIPES

    def __init__(self, server: MysqlServer, seed: int) -> None:
        super().__init__(seed)
        self._server = server
        self.renamed: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.reused: set[str] = set()

    def connect(self) -> Session:
        return MysqlSession(self._server)

    def is_transactional(self, statements: Sequence[str]) -> bool:
        return False

    def ran(self, statement: str) -> None:
        found = _RENAME.match(statement)
        if found:
            self.renamed[found[1]].append((found[2], found[3]))

    def names(self, session: Session, kind: str) -> dict[str, Any] | None:
        assert isinstance(session, MysqlSession)
        table = str(self.rng.choice(session.query(TABLES, [recipes.SCHEMAS]))[0])
        old = [str(row[0]) for row in session.query(_COLUMN, [table, f"{PREFIX}_%"]) if row[0] != "mood"]
        takes_old = kind in ("old_columns", "reused")
        if takes_old and not old:
            return None
        if kind == "reused":
            self.reused.add(table)
        first = session.query(_COLUMN, [table, "%"])
        orders = session.query(_COLUMN, ["app.orders", "%"])
        session.rollback()
        return {
            "t": table,
            "c": self.rng.choice(old) if takes_old else self.fresh(),
            "d": self.fresh(),
            "first": first[0][0] if first else "id",
            "orders": ", ".join(str(row[0]) for row in orders),
            "write": WRITE,
        }

    def finish(self) -> None:
        """Undo what a recipe left half done, which would leave tables out of the selection."""
        session = MysqlSession(self._server)
        for statement in _RESTORE:
            try:
                session.run(statement)
            except Refused:
                continue
        session.close()
