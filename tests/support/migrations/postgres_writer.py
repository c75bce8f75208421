"""Writers for tables whose shape changes under them: each transaction looks at the catalog first."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support.migrations.recipes import SCHEMAS
from tests.support.postgres import Database

# A table that writers keep near this size is copied in a moment, however often.
MOST_ROWS = 250
MOST_OPERATIONS = 5
ROLLBACK_EVERY = 20
PAUSE_SECONDS = 0.01
# Writers give way to the migrator's locks.
SETTINGS = "set deadlock_timeout = '50ms'; set lock_timeout = '10s'; set statement_timeout = '30s'"

_TABLES = """
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
    if base == "bool":
        return rng.choice(["t", "f"])
    if base == "timestamptz":
        return f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)} 12:00:00+00"
    assert base in ("text", "varchar"), base
    if is_key:
        return f"k{rng.randrange(150)}"
    return rng.choice(
        ["", "Ada@Example.org", "b" * rng.randint(1, 25), "\u00e4 'q'", f"v{rng.randrange(10**6)}"]
    )


class FollowingWriter(threading.Thread):
    """One application that writes to any table there is, in transactions; `error` holds what must not
    happen.
    """

    def __init__(self, database: Database, seed: int) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._database = database
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self.committed = 0
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            with connect(self._database) as connection:
                while not self._stopping.wait(PAUSE_SECONDS):
                    self._transact(connection)
        except BaseException as error:
            self.error = error
            raise

    def _transact(self, connection: psycopg.Connection[Any]) -> None:
        try:
            for _ in range(self._rng.randint(1, MOST_OPERATIONS)):
                operate(connection, self._rng)
            if self._rng.randrange(ROLLBACK_EVERY) == 0:
                connection.rollback()
                return
            connection.commit()
            self.committed += 1
        except psycopg.OperationalError as error:
            if connection.closed:
                raise
            # Deadlocks and lock timeouts.
            del error
            connection.rollback()
        except psycopg.Error:
            # The table changed between the look and the statement, or a value doesn't fit its constraints.
            connection.rollback()


@contextmanager
def connect(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(autocommit=False, prepare_threshold=None) as connection:
        connection.execute(SETTINGS)
        connection.commit()
        yield connection


def operate(connection: psycopg.Connection[Any], rng: random.Random, table: str | None = None) -> None:
    """One random change of a random table, or of that one."""
    found = connection.execute(_TABLES, [list(SCHEMAS)]).fetchall()
    relid, name = rng.choice([row for row in found if table in (None, row[1])] or found)
    columns = [LiveColumn(*row) for row in connection.execute(_COLUMNS, [relid]).fetchall()]
    if not columns:
        return
    draw = rng.random()
    rows = connection.execute(f"select count(*) from {name}".encode()).fetchall()[0][0]
    if draw < 0.45 and rows < MOST_ROWS:
        _insert(connection, rng, name, columns)
    elif draw < 0.8:
        _update(connection, rng, name, columns)
    elif draw < 0.88:
        _update(connection, rng, name, [column for column in columns if column.is_key])
    else:
        connection.execute(f"delete from {name} where {_one_row(name)}".encode())


def _insert(
    connection: psycopg.Connection[Any], rng: random.Random, name: str, columns: Sequence[LiveColumn]
) -> None:
    chosen = [column for column in columns if column.is_key or rng.randrange(5)]
    marks = ", ".join("%s" for _ in chosen)
    names = ", ".join(column.name for column in chosen)
    guard = "on conflict do nothing"
    connection.execute(
        f"insert into {name} ({names}) values ({marks}) {guard}".encode(), [c.value(rng) for c in chosen]
    )


def _update(
    connection: psycopg.Connection[Any], rng: random.Random, name: str, columns: Sequence[LiveColumn]
) -> None:
    if not columns:
        return
    chosen = rng.sample(columns, k=rng.randint(1, min(3, len(columns))))
    changes = ", ".join(f"{column.name} = %s" for column in chosen)
    statement = f"update {name} set {changes} where {_one_row(name)}"
    connection.execute(statement.encode(), [column.value(rng) for column in chosen])


def _one_row(name: str) -> str:
    """A condition on one random row, whatever the key is."""
    return f"(tableoid, ctid) = (select tableoid, ctid from {name} order by random() limit 1)"
