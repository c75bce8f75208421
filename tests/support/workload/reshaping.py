"""Changes the shape of tables while the writers write: columns come, go, are renamed and widened; tables are
created.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ClassVar

from tests.support.workload.specs import SCHEMA, TableSpec
from tests.support.workload.values import Make
from tests.support.workload.writers import Conflict, Session, Tally

# Rows that a new table gets in the transaction that creates it, and in the one after.
NEW_TABLE_ROWS = 40


class Reshaper(threading.Thread, ABC):
    """The one thread that runs DDL. `renamed` and `created` tell the comparison what happened."""

    # How often each thing is done; the names are those of methods.
    operations: ClassVar[tuple[tuple[str, int], ...]]
    # Type, its wider form, and values for both.
    widenings: ClassVar[tuple[tuple[str, str, Make], ...]]

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Session]],
        shape: TableSpec,
        seed: int,
        tally: Tally,
        pause_seconds: float,
    ) -> None:
        super().__init__(name=f"reshaper-{seed}", daemon=True)
        self._connect = connect
        self.shape = shape
        self.rng = random.Random(seed)
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self.columns: dict[str, tuple[str, Make]] = {}
        self._serial = 0
        # (old name, new name) of the table `shape`, in order; names are never used twice.
        self.renamed: list[tuple[str, str]] = []
        self.created: list[str] = []
        self.statements: list[str] = []
        self.error: BaseException | None = None

    @abstractmethod
    def retype(self, column: str, kind: str) -> str:
        """What `alter table` takes to give a column that type."""

    @abstractmethod
    def fill(self, table: str, start: int, end: int) -> str:
        """The statement that inserts the rows from `start` to below `end`."""

    @abstractmethod
    def reshape(self, session: Session, operation: Callable[[Session, Counter[str]], None]) -> None:
        """One operation and the writes after it, counted when they are committed."""

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        names, weights = zip(*self.operations, strict=True)
        try:
            with self._connect() as session:
                while not self._stopping.wait(self._pause_seconds):
                    self.reshape(session, getattr(self, self.rng.choices(names, weights=weights)[0]))
        except BaseException as error:
            self.error = error
            raise

    def add_plain(self, session: Session, _counts: Counter[str]) -> None:
        kind, _, make = self.rng.choice(self.widenings)
        self.add(session, kind, make, "")

    def add_with_default(self, session: Session, _counts: Counter[str]) -> None:
        kind, _, make = self.rng.choice(self.widenings)
        default = make(self.rng).replace("\\", "").replace("'", "''")
        self.add(session, kind, make, f"default '{default}'")

    def drop(self, session: Session, _counts: Counter[str]) -> None:
        if self.columns:
            name = self.rng.choice(sorted(self.columns))
            self.alter(session, f'drop column "{name}"')
            del self.columns[name]

    def rename(self, session: Session, _counts: Counter[str]) -> None:
        if self.columns:
            old, new = self.rng.choice(sorted(self.columns)), self.fresh("Renamed ")
            self.alter(session, f'rename column "{old}" to "{new}"')
            self.columns[new] = self.columns.pop(old)
            self.renamed.append((old, new))

    def widen(self, session: Session, _counts: Counter[str]) -> None:
        wider = {narrow: wide for narrow, wide, _ in self.widenings}
        narrow = sorted(name for name, (kind, _) in self.columns.items() if kind in wider)
        if narrow:
            name = self.rng.choice(narrow)
            kind, make = self.columns[name]
            self.alter(session, self.retype(name, wider[kind]))
            self.columns[name] = (wider[kind], make)

    def create_table(self, session: Session, counts: Counter[str]) -> None:
        name = self.fresh("new_")
        self.execute(session, f"create table {SCHEMA}.{name} (id bigint primary key, note text)")
        for start in (0, NEW_TABLE_ROWS):
            self.execute(session, self.fill(name, start, start + NEW_TABLE_ROWS))
            counts[name] += NEW_TABLE_ROWS
            if start == 0:
                session.commit()
                self._tally.add(counts)
                counts.clear()
                self.created.append(name)

    def add(self, session: Session, kind: str, make: Make, tail: str) -> None:
        name = self.fresh("added_")
        self.alter(session, f'add column "{name}" {kind} {tail}')
        self.columns[name] = (kind, make)

    def alter(self, session: Session, change: str) -> None:
        self.execute(session, f"alter table {self.shape.sql_name} {change}")

    def execute(self, session: Session, statement: str) -> None:
        session.run(statement)
        self.statements.append(statement)

    def touch(self, session: Session, counts: Counter[str]) -> None:
        """Write to the columns that only this thread knows."""
        for name, (_, make) in sorted(self.columns.items()):
            key = self.shape.new_key(self.rng)[0]
            statement = f'update {self.shape.sql_name} set "{name}" = %s where id = %s'
            counts[self.shape.name] += session.run(statement, [make(self.rng), key])

    def fresh(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}{self._serial}"

    def tally(self, counts: Counter[str]) -> None:
        self._tally.add(counts)


__all__ = ["Conflict", "Reshaper"]
