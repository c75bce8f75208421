"""Concurrent writers that do everything an application can do to a table, seeded, and count what they
committed.

A writer's random choices depend on its seed only; what they meet depends on the others. Every transaction
ends in a commit that is counted, or in a rollback (its own, a deadlock, a duplicate key) that is not.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors

from tests.support.postgres import Database
from tests.support.workload.tables import TABLES, TableSpec

# What other writers may do to a transaction; it is rolled back and not counted.
CONFLICTS = (
    errors.DeadlockDetected,
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.LockNotAvailable,
)
# How often each thing is done; the sum is of no meaning.
OPERATIONS: tuple[tuple[str, int], ...] = (
    ("insert", 30),
    ("upsert", 6),
    ("update", 34),
    ("update_many", 4),
    ("change_key", 7),
    ("delete", 12),
    ("delete_and_insert", 5),
    ("truncate", 1),
    ("insert_many", 1),
)
# How often a table is chosen: the wide table costs as much as ten others.
TABLE_WEIGHTS = {"everything": 2, "toasty": 2, "bulk": 3}
MOST_OPERATIONS = 6
MANY_ROWS = 300
# One transaction in so many is rolled back as a whole, one in so many has a savepoint rolled back in its
# middle.
ROLLBACK_EVERY = 25
SAVEPOINT_EVERY = 8
SESSION = "set deadlock_timeout = '50ms'; set lock_timeout = '10s'"


class Tally:
    """Changes committed per table, as logical decoding counts them. Shared by all writers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.transactions = 0

    def add(self, counts: Counter[str]) -> None:
        with self._lock:
            self._counts.update(counts)
            self.transactions += 1

    @property
    def counts(self) -> dict[str, int]:
        with self._lock:
            return {name: count for name, count in self._counts.items() if count}


class Transaction:
    """The operations of one transaction and their count so far."""

    def __init__(self, connection: psycopg.Connection[Any], rng: random.Random) -> None:
        self._connection = connection
        self._rng = rng
        self.counts: Counter[str] = Counter()

    def run(self, statement: str, values: list[Any] | None = None) -> int:
        return self._connection.execute(statement.encode(), values).rowcount

    def count(self, table: TableSpec, rows: int, events_per_row: int = 1) -> None:
        self.counts[table.name] += rows * events_per_row

    def insert(self, table: TableSpec) -> None:
        columns, rng = table.all_columns, self._rng
        names = ", ".join(c.sql_name for c in columns)
        marks = ", ".join(["%s"] * len(columns))
        guard = "on conflict do nothing" if table.key else ""
        statement = f"insert into {table.sql_name} ({names}) values ({marks}) {guard}"
        self.count(table, self.run(statement, [c.value(rng) for c in columns]))

    def upsert(self, table: TableSpec) -> None:
        if not table.key:
            self.insert(table)
            return
        columns, rng = table.all_columns, self._rng
        names = ", ".join(c.sql_name for c in columns)
        marks = ", ".join(["%s"] * len(columns))
        target = ", ".join(c.sql_name for c in table.key)
        column = rng.choice(table.columns).sql_name
        statement = (
            f"insert into {table.sql_name} ({names}) values ({marks}) "
            f"on conflict ({target}) do update set {column} = excluded.{column}"
        )
        self.count(table, self.run(statement, [c.value(rng) for c in columns]))

    def update(self, table: TableSpec) -> None:
        rng = self._rng
        chosen = rng.sample(table.columns, k=rng.randint(1, min(3, len(table.columns))))
        changes = ", ".join(f"{c.sql_name} = %s" for c in chosen)
        where, key = self._one_row(table)
        values = [*(c.value(rng) for c in chosen), *key]
        self.count(table, self.run(f"update {table.sql_name} set {changes} where {where}", values))

    def update_many(self, table: TableSpec) -> None:
        column = self._rng.choice(table.columns)
        part = self._rng.randrange(40)
        some = f"select ctid from {table.sql_name} where hashtext(ctid::text) %% 40 = %s limit 50"
        where = f"ctid = any(array({some}))"
        if table.tail:  # A ctid names a row in one partition only.
            where = f"{table.key[0].sql_name} %% 40 = %s"
        statement = f"update {table.sql_name} set {column.sql_name} = %s where {where}"
        self.count(table, self.run(statement, [column.value(self._rng), part]))

    def change_key(self, table: TableSpec) -> None:
        if not table.key:
            self.update(table)
            return
        old, new = table.new_key(self._rng), table.new_key(self._rng)
        changes = ", ".join(f"{c.sql_name} = %s" for c in table.key)
        where = " and ".join(f"{c.sql_name} = %s" for c in table.key)
        rows = self.run(f"update {table.sql_name} set {changes} where {where}", [*new, *old])
        self.count(table, rows, table.moves(old, new))

    def delete(self, table: TableSpec) -> None:
        where, key = self._one_row(table)
        self.count(table, self.run(f"delete from {table.sql_name} where {where}", list(key)))

    def delete_and_insert(self, table: TableSpec) -> None:
        """The same key again, in one transaction."""
        columns, rng = table.all_columns, self._rng
        row = [c.value(rng) for c in columns]
        if table.key:
            where = " and ".join(f"{c.sql_name} = %s" for c in table.key)
            self.count(table, self.run(f"delete from {table.sql_name} where {where}", row[: len(table.key)]))
        names, marks = ", ".join(c.sql_name for c in columns), ", ".join(["%s"] * len(columns))
        self.count(table, self.run(f"insert into {table.sql_name} ({names}) values ({marks})", row))

    def truncate(self, table: TableSpec) -> None:
        if not table.truncates:
            self.delete(table)
            return
        self.run(f"truncate {table.sql_name}")
        self.count(table, 1)
        # A row is left, so that a snapshot of the table always has one to show its position.
        self.insert(table)

    def insert_many(self, table: TableSpec) -> None:
        for _ in range(MANY_ROWS // max(1, len(table.columns) // 2)):
            self.insert(table)

    def _one_row(self, table: TableSpec) -> tuple[str, tuple[str, ...]]:
        if table.key:
            return " and ".join(f"{c.sql_name} = %s" for c in table.key), table.new_key(self._rng)
        number = str(self._rng.randrange(50))
        return f"ctid = (select ctid from {table.sql_name} where n = %s limit 1)", (number,)


class Writer(threading.Thread):
    """One application process. Stops after the transaction in hand; `error` holds what should not have
    happened.
    """

    def __init__(self, database: Database, seed: int, tally: Tally, pause_seconds: float) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._database = database
        self._rng = random.Random(seed)
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            with self._database.connect(autocommit=False, prepare_threshold=None) as connection:
                connection.execute(SESSION)
                connection.commit()
                while not self._stopping.wait(self._pause_seconds):
                    self._transact(connection)
        except BaseException as error:
            self.error = error
            raise

    def _transact(self, connection: psycopg.Connection[Any]) -> None:
        transaction = Transaction(connection, self._rng)
        try:
            self._fill(transaction, connection)
            if self._rng.randrange(ROLLBACK_EVERY) == 0:
                connection.rollback()
                return
            connection.commit()
        except CONFLICTS:
            connection.rollback()
            return
        self._tally.add(transaction.counts)

    def _fill(self, transaction: Transaction, connection: psycopg.Connection[Any]) -> None:
        for _ in range(self._rng.randint(1, MOST_OPERATIONS)):
            if self._rng.randrange(SAVEPOINT_EVERY):
                self._operate(transaction)
                continue
            before = transaction.counts.copy()
            connection.execute("savepoint inner_part")
            self._operate(transaction)
            if self._rng.randrange(2):
                connection.execute("rollback to savepoint inner_part")
                transaction.counts = before
            else:
                connection.execute("release savepoint inner_part")

    def _operate(self, transaction: Transaction) -> None:
        rng = self._rng
        table = rng.choices(TABLES, weights=[TABLE_WEIGHTS.get(t.name, 5) for t in TABLES])[0]
        name = rng.choices([o for o, _ in OPERATIONS], weights=[w for _, w in OPERATIONS])[0]
        operation: Callable[[TableSpec], None] = getattr(transaction, name)
        operation(table)
