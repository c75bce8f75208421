"""A connection that writes to Postgres tables whose shape changes: each change looks at the catalog first."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.migrations.postgres.recipes import SCHEMAS
from tests.support.migrations.session import DriverSession
from tests.support.postgres.server import Database

# A table that writers keep near this size is copied in a moment, however often.
MOST_ROWS = 250
SETTINGS = "set deadlock_timeout = '50ms'; set lock_timeout = '10s'; set statement_timeout = '30s'"

TABLES = """
    select c.oid::int8, format('%%I.%%I', n.nspname, c.relname)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any(%s) and c.relkind in ('r', 'p') and not c.relispartition
       and c.relpersistence = 'p'
     order by 2
"""
_COLUMNS = """
    select quote_ident(a.attname), coalesce(b.typname, t.typname), t.typtype::text,
           coalesce(a.attnum = any(i.indkey::int2[]), false),
           (select array_agg(e.enumlabel::text) from pg_enum e where e.enumtypid = t.oid),
           (select count(*) from pg_attribute m where m.attrelid = t.typrelid and not m.attisdropped)
      from pg_attribute a
      join pg_type t on t.oid = a.atttypid
      left join pg_type b on b.oid = t.typbasetype
      left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
     where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
       and a.attgenerated = '' and a.attidentity <> 'a'
     order by a.attnum
"""


@dataclass(frozen=True)
class LiveColumn:
    """A column that a writer may set."""

    name: str
    base: str
    kind: str
    is_key: bool
    labels: Sequence[str] | None
    members: int

    def value(self, rng: random.Random) -> str | None:
        """Random, as text that the server reads."""
        if not self.is_key and rng.randrange(10) == 0:
            return None
        if self.labels:
            return rng.choice(self.labels)
        if self.kind == "c":
            return "(" + ",".join(str(rng.randrange(9)) for _ in range(self.members)) + ")"
        return _plain(self.base, rng, is_key=self.is_key)


def _plain(base: str, rng: random.Random, *, is_key: bool) -> str:
    if base in ("int2", "int4", "int8", "numeric", "float8"):
        return str(rng.randrange(100 if is_key else 10_000))
    if base == "uuid":
        return str(uuid.UUID(int=rng.getrandbits(128)))
    if base == "timestamptz":
        return f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)} 12:00:00+00"
    assert base in ("text", "varchar"), base
    if is_key:
        return f"k{rng.randrange(150)}"
    return rng.choice(
        ["", "Ada@Example.org", "b" * rng.randint(1, 25), "\u00e4 'q'", f"v{rng.randrange(10**6)}"]
    )


class PostgresSession(DriverSession):
    """See `tests.support.migrations.threads.Session`."""

    Error = psycopg.Error

    def __init__(self, database: Database) -> None:
        self._connection: psycopg.Connection[Any] = database.connect(autocommit=False, prepare_threshold=None)
        self._connection.execute(SETTINGS)
        self._connection.commit()

    def operate(self, rng: random.Random) -> None:
        with self._refusals():
            found = self.query(TABLES, [list(SCHEMAS)])
            relid, name = rng.choice(found)
            columns = self._columns(relid)
            rows = self.query(f"select count(*) from {name}")[0][0]
            draw = rng.random()
            if draw < 0.45 and rows < MOST_ROWS:
                self._insert(rng, name, columns)
            elif draw < 0.8:
                self._update(rng, name, columns)
            elif draw < 0.88:
                self._update(rng, name, [column for column in columns if column.is_key])
            else:
                self._connection.execute(f"delete from {name} where {_one_row(name)}".encode())

    def run(self, statement: str) -> None:
        with self._refusals():
            if not statement.startswith("vacuum"):
                self._connection.execute(statement.encode())
                return
            self._connection.commit()
            self._connection.autocommit = True
            try:
                self._connection.execute(statement.encode())
            finally:
                self._connection.autocommit = False

    def query(self, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement.encode(), parameters).fetchall()

    def _is_lost(self, error: Exception) -> bool:
        del error
        return bool(self._connection.closed)

    def _columns(self, relid: int) -> list[LiveColumn]:
        return [LiveColumn(*row) for row in self.query(_COLUMNS, [relid])]

    def _insert(self, rng: random.Random, name: str, columns: Sequence[LiveColumn]) -> None:
        chosen = [column for column in columns if column.is_key or rng.randrange(5)]
        if not chosen:
            return
        marks = ", ".join("%s" for _ in chosen)
        names = ", ".join(column.name for column in chosen)
        statement = f"insert into {name} ({names}) values ({marks}) on conflict do nothing"
        self._connection.execute(statement.encode(), [c.value(rng) for c in chosen])

    def _update(self, rng: random.Random, name: str, columns: Sequence[LiveColumn]) -> None:
        if not columns:
            return
        chosen = rng.sample(columns, k=rng.randint(1, min(3, len(columns))))
        changes = ", ".join(f"{column.name} = %s" for column in chosen)
        statement = f"update {name} set {changes} where {_one_row(name)}"
        self._connection.execute(statement.encode(), [column.value(rng) for column in chosen])


def _one_row(name: str) -> str:
    """A condition on one random row, whatever the key is."""
    return f"(tableoid, ctid) = (select tableoid, ctid from {name} order by random() limit 1)"
