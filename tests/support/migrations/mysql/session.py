"""A connection that writes to MySQL tables whose shape changes: each change looks at the catalog first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import CR

from tests.support.migrations.mysql.recipes import SCHEMAS
from tests.support.migrations.session import DriverSession
from tests.support.mysql.server import MysqlServer

MOST_ROWS = 250
SETTINGS = (
    "set session innodb_lock_wait_timeout = 5, lock_wait_timeout = 10, time_zone = '+00:00', "
    "sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
)
TABLES = """
    select concat(table_schema, '.', table_name) from information_schema.tables
     where table_schema in %s and table_type = 'BASE TABLE' and not table_name like '\\_%%'
     order by 1
"""
_COLUMNS = """
    select column_name, data_type, column_type, column_key = 'PRI' from information_schema.columns
     where concat(table_schema, '.', table_name) = %s order by ordinal_position
"""
_LOST = frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST})


@dataclass(frozen=True)
class LiveColumn:
    """A column that a writer may set."""

    name: str
    base: str
    type: str
    is_key: bool

    def value(self, rng: random.Random) -> str | None:
        """Random, as text that the server reads."""
        if not self.is_key and rng.randrange(10) == 0:
            return None
        if self.base in ("int", "bigint", "decimal"):
            return str(rng.randrange(100 if self.is_key else 10_000))
        if self.base in ("datetime", "timestamp"):
            return f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)} 12:00:00"
        if self.base == "enum":
            return rng.choice(self.type[len("enum('") : -len("')")].split("','"))
        assert self.base in ("varchar", "text", "mediumtext", "longtext"), self.base
        if self.is_key:
            # Two spellings of one key: a change of case only is a change.
            return rng.choice(["k", "K"]) + str(rng.randrange(150))
        return rng.choice(
            ["", "Ada@Example.org", "b" * rng.randint(1, 20), "\u00e4 'q'", f"v{rng.randrange(10**6)}"]
        )


class MysqlSession(DriverSession):
    """See `tests.support.migrations.threads.Session`."""

    Error = pymysql.MySQLError

    def __init__(self, server: MysqlServer) -> None:
        self._connection = server.connect(autocommit=False, init_command=SETTINGS)

    def operate(self, rng: random.Random) -> None:
        name = str(rng.choice(self.query(TABLES, [SCHEMAS]))[0])
        columns = self._columns(name)
        rows = self.query(f"select count(*) from {name}")[0][0]
        draw = rng.random()
        if draw < 0.45 and rows < MOST_ROWS:
            self._insert(rng, name, columns)
        elif draw < 0.8:
            self._update(rng, name, columns, columns)
        elif draw < 0.88:
            self._update(rng, name, columns, [column for column in columns if column.is_key])
        else:
            where, values = self._one_row(name, columns)
            self._execute(f"delete from {name} {where}", values)

    def run(self, statement: str) -> None:
        self._execute(statement)

    def query(self, statement: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self._refusals(), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def _execute(self, statement: str, values: Sequence[Any] | None = None) -> None:
        with self._refusals(), self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _columns(self, table: str) -> list[LiveColumn]:
        found = self.query(_COLUMNS, [table])
        return [LiveColumn(str(n), str(b).lower(), str(t), bool(k)) for n, b, t, k in found]

    def _is_lost(self, error: Exception) -> bool:
        return bool(error.args) and error.args[0] in _LOST

    def _insert(self, rng: random.Random, name: str, columns: Sequence[LiveColumn]) -> None:
        chosen = [column for column in columns if column.is_key or rng.randrange(5)] or list(columns)
        marks = ", ".join("%s" for _ in chosen)
        names = ", ".join(column.name for column in chosen)
        self._execute(f"insert into {name} ({names}) values ({marks})", [c.value(rng) for c in chosen])

    def _update(
        self, rng: random.Random, name: str, columns: Sequence[LiveColumn], choice: Sequence[LiveColumn]
    ) -> None:
        if not choice:
            return
        chosen = rng.sample(choice, k=rng.randint(1, min(3, len(choice))))
        where, values = self._one_row(name, columns)
        changes = ", ".join(f"{column.name} = %s" for column in chosen)
        self._execute(f"update {name} set {changes} {where}", [*(c.value(rng) for c in chosen), *values])

    def _one_row(self, name: str, columns: Sequence[LiveColumn]) -> tuple[str, list[Any]]:
        """The condition on one random row, and its values."""
        keys = [column.name for column in columns if column.is_key]
        if not keys:
            return "limit 1", []
        found = self.query(f"select {', '.join(keys)} from {name} order by rand() limit 1")
        if not found:
            return "limit 1", []
        return f"where {' and '.join(f'{key} = %s' for key in keys)}", list(found[0])
