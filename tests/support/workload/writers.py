"""Concurrent writers that do everything an application can do to a table, seeded, and count what they
committed.

A writer's random choices depend on its seed only; what they meet depends on the others. Every transaction
ends in a commit that is counted, or in a rollback (its own, a deadlock, a duplicate key) that is not.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tests.support.workload.specs import TableSpec
from tests.support.workload.values import ColumnSpec

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


class Conflict(Exception):
    """Another writer was in the way: the transaction is rolled back and not counted."""


class Session(Protocol):
    """One connection of a writer, in transactions. A conflict of any kind is raised as `Conflict`."""

    def run(self, statement: str, values: Sequence[Any] | None = None) -> int:
        """Run a statement (`%s` for values); the number of rows that it changed."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...


class Tally:
    """Changes committed per table, as the source's own stream counts them. Shared by all writers."""

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


class Transaction(ABC):
    """The operations of one transaction and their count so far."""

    def __init__(self, session: Session, rng: random.Random) -> None:
        self.session = session
        self._rng = rng
        self.counts: Counter[str] = Counter()

    @abstractmethod
    def insert_guard(self, table: TableSpec) -> str:
        """What makes an insert leave a row of the same key alone."""

    @abstractmethod
    def upsert_tail(self, table: TableSpec, column: ColumnSpec) -> str:
        """What makes an insert change that column of a row of the same key."""

    @abstractmethod
    def some_rows(self, table: TableSpec) -> str:
        """The condition on some fifty rows, with one mark for a number below 40."""

    @abstractmethod
    def one_keyless_row(self, table: TableSpec) -> str:
        """The condition on one row of a table without key, with one mark for its `n`."""

    def run(self, statement: str, values: list[Any] | None = None) -> int:
        return self.session.run(statement, values)

    def count(self, table: TableSpec, rows: int, events_per_row: int = 1) -> None:
        self.counts[table.name] += rows * events_per_row

    def insert(self, table: TableSpec) -> None:
        columns, rng = table.all_columns, self._rng
        guard = self.insert_guard(table) if table.key else ""
        self.count(table, self.run(f"{_insert(table)} {guard}", [c.value(rng) for c in columns]))

    def upsert(self, table: TableSpec) -> None:
        if not table.key:
            self.insert(table)
            return
        columns, rng = table.all_columns, self._rng
        tail = self.upsert_tail(table, rng.choice(table.columns))
        # MySQL says 2 for a row that it changed.
        self.count(table, min(1, self.run(f"{_insert(table)} {tail}", [c.value(rng) for c in columns])))

    def update(self, table: TableSpec) -> None:
        rng = self._rng
        chosen = rng.sample(table.columns, k=rng.randint(1, min(3, len(table.columns))))
        changes = ", ".join(f"{c.sql_name} = {c.mark}" for c in chosen)
        where, key = self._one_row(table)
        values = [*(c.value(rng) for c in chosen), *key]
        self.count(table, self.run(f"update {table.sql_name} set {changes} where {where}", values))

    def update_many(self, table: TableSpec) -> None:
        column = self._rng.choice(table.columns)
        part = self._rng.randrange(40)
        statement = (
            f"update {table.sql_name} set {column.sql_name} = {column.mark} where {self.some_rows(table)}"
        )
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
        rng = self._rng
        row = [c.value(rng) for c in table.all_columns]
        if table.key:
            where = " and ".join(f"{c.sql_name} = %s" for c in table.key)
            self.count(table, self.run(f"delete from {table.sql_name} where {where}", row[: len(table.key)]))
        self.count(table, self.run(_insert(table), row))

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
        return self.one_keyless_row(table), (str(self._rng.randrange(50)),)


def _insert(table: TableSpec) -> str:
    names = ", ".join(c.sql_name for c in table.all_columns)
    marks = ", ".join(c.mark for c in table.all_columns)
    return f"insert into {table.sql_name} ({names}) values ({marks})"


class Writer(threading.Thread):
    """One application process. Stops after the transaction in hand; `error` holds what should not have
    happened.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Session]],
        begin: Callable[[Session, random.Random], Transaction],
        tables: Sequence[TableSpec],
        seed: int,
        tally: Tally,
        pause_seconds: float,
    ) -> None:
        super().__init__(name=f"writer-{seed}", daemon=True)
        self._connect = connect
        self._begin = begin
        self._tables = tables
        self._rng = random.Random(seed)
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            with self._connect() as session:
                while not self._stopping.wait(self._pause_seconds):
                    self.transact(session)
        except BaseException as error:
            self.error = error
            raise

    def transact(self, session: Session) -> None:
        transaction = self._begin(session, self._rng)
        try:
            self.fill(transaction)
            if self._rng.randrange(ROLLBACK_EVERY) == 0:
                session.rollback()
                return
            session.commit()
        except Conflict:
            session.rollback()
            return
        self._tally.add(transaction.counts)

    def fill(self, transaction: Transaction) -> None:
        for _ in range(self._rng.randint(1, MOST_OPERATIONS)):
            if self._rng.randrange(SAVEPOINT_EVERY):
                self.operate(transaction)
                continue
            before = transaction.counts.copy()
            transaction.run("savepoint inner_part")
            self.operate(transaction)
            if self._rng.randrange(2):
                transaction.run("rollback to savepoint inner_part")
                transaction.counts = before
            else:
                transaction.run("release savepoint inner_part")

    def operate(self, transaction: Transaction) -> None:
        rng, tables = self._rng, self._tables
        table = rng.choices(tables, weights=[TABLE_WEIGHTS.get(t.name, 5) for t in tables])[0]
        name = rng.choices([o for o, _ in OPERATIONS], weights=[w for _, w in OPERATIONS])[0]
        operation: Callable[[TableSpec], None] = getattr(transaction, name)
        operation(table)
