"""Changes the shape of tables while the writers write: columns come, go, are renamed and widened; tables are
created.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import psycopg
from psycopg import errors

from tests.support.postgres import Database
from tests.support.workload import values
from tests.support.workload.tables import SCHEMA, SHAPE
from tests.support.workload.values import Make
from tests.support.workload.writers import SESSION, Tally

# Type, its wider form, and values for both; the first needs a rewrite of the table, the second none.
WIDENINGS: tuple[tuple[str, str, Make], ...] = (
    ("integer", "bigint", values.integer(31)),
    ("varchar(30)", "text", values.text(30)),
    ("numeric(10,2)", "numeric(14,2)", values.decimal(10, 2)),
)
# A rewrite makes the daemon read the table again, so it is rarer than the rest.
OPERATIONS: tuple[tuple[str, int], ...] = (
    ("add_plain", 3),
    ("add_with_default", 4),
    ("add_with_volatile_default", 1),
    ("drop", 3),
    ("rename", 3),
    ("widen", 2),
    ("create_table", 2),
)
# Rows that a new table gets in the transaction that creates it, and in the one after.
NEW_TABLE_ROWS = 40


class Reshaper(threading.Thread):
    """The one thread that runs DDL. `renamed` and `created` tell the comparison what happened."""

    def __init__(self, database: Database, seed: int, tally: Tally, pause_seconds: float) -> None:
        super().__init__(name=f"reshaper-{seed}", daemon=True)
        self._database = database
        self._rng = random.Random(seed)
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._columns: dict[str, tuple[str, Make]] = {}
        self._serial = 0
        # (old name, new name) of the table `shape`, in order; names are never used twice.
        self.renamed: list[tuple[str, str]] = []
        self.created: list[str] = []
        self.statements: list[str] = []
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            with self._database.connect(autocommit=False, prepare_threshold=None) as connection:
                connection.execute(SESSION)
                connection.commit()
                while not self._stopping.wait(self._pause_seconds):
                    self._reshape(connection)
        except BaseException as error:
            self.error = error
            raise

    def _reshape(self, connection: psycopg.Connection[Any]) -> None:
        names, weights = zip(*OPERATIONS, strict=True)
        name = self._rng.choices(names, weights=weights)[0]
        columns, counts = dict(self._columns), Counter[str]()
        renamed, created, statements = list(self.renamed), list(self.created), list(self.statements)
        try:
            getattr(self, name)(connection, counts)
            self._touch(connection, counts)
            connection.commit()
        except (errors.DeadlockDetected, errors.LockNotAvailable):
            connection.rollback()
            self._columns, self.renamed, self.created, self.statements = columns, renamed, created, statements
            return
        self._tally.add(counts)

    def add_plain(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        kind, _, make = self._rng.choice(WIDENINGS)
        self._add(connection, kind, make, "")

    def add_with_default(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        kind, _, make = self._rng.choice(WIDENINGS)
        default = make(self._rng).replace("'", "''").replace("%", "%%")
        self._add(connection, kind, make, f"default '{default}'")

    def add_with_volatile_default(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        self._add(connection, "double precision", values.floating, "default random()")

    def drop(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        if self._columns:
            name = self._rng.choice(sorted(self._columns))
            self._alter(connection, f'drop column "{name}"')
            del self._columns[name]

    def rename(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        if self._columns:
            old, new = self._rng.choice(sorted(self._columns)), self._fresh("Renamed ")
            self._alter(connection, f'rename column "{old}" to "{new}"')
            self._columns[new] = self._columns.pop(old)
            self.renamed.append((old, new))

    def widen(self, connection: psycopg.Connection[Any], _counts: Counter[str]) -> None:
        wider = {narrow: wide for narrow, wide, _ in WIDENINGS}
        narrow = sorted(name for name, (kind, _) in self._columns.items() if kind in wider)
        if narrow:
            name = self._rng.choice(narrow)
            kind, make = self._columns[name]
            self._alter(connection, f'alter column "{name}" type {wider[kind]}')
            self._columns[name] = (wider[kind], make)

    def create_table(self, connection: psycopg.Connection[Any], counts: Counter[str]) -> None:
        name = self._fresh("new_")
        self._run(connection, f"create table {SCHEMA}.{name} (id bigint primary key, note text)")
        for start in (0, NEW_TABLE_ROWS):
            rows = f"generate_series({start}, {start + NEW_TABLE_ROWS - 1})"
            self._run(connection, f"insert into {SCHEMA}.{name} select i, 'row ' || i from {rows} i")
            counts[name] += NEW_TABLE_ROWS
            if start == 0:
                connection.commit()
                self._tally.add(counts)
                counts.clear()
                self.created.append(name)

    def _add(self, connection: psycopg.Connection[Any], kind: str, make: Make, default: str) -> None:
        name = self._fresh("added_")
        self._alter(connection, f'add column "{name}" {kind} {default}')
        self._columns[name] = (kind, make)

    def _alter(self, connection: psycopg.Connection[Any], change: str) -> None:
        self._run(connection, f"alter table {SHAPE.sql_name} {change}")

    def _run(self, connection: psycopg.Connection[Any], statement: str) -> None:
        connection.execute(statement.encode())
        self.statements.append(statement)

    def _touch(self, connection: psycopg.Connection[Any], counts: Counter[str]) -> None:
        """Write to the columns that only this thread knows, in the transaction of the DDL."""
        for name, (_, make) in sorted(self._columns.items()):
            key = SHAPE.new_key(self._rng)[0]
            statement = f'update {SHAPE.sql_name} set "{name}" = %s where id = %s'
            counts[SHAPE.name] += connection.execute(statement.encode(), [make(self._rng), key]).rowcount

    def _fresh(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}{self._serial}"
