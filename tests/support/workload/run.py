"""Starts and stops the writers together."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS
from tests.support.workload.events import Oracle
from tests.support.workload.reshaping import Reshaper
from tests.support.workload.specs import SCHEMA, TableSpec
from tests.support.workload.writers import Session, Tally, Transaction, Writer

if TYPE_CHECKING:
    from tests.support.equality.tables import SourceTable

WRITERS = 4
# After each transaction. A hundred transactions a second meet every moment of a daemon; with more of them, a
# busy machine has more to apply and to compare the longer it takes. On MySQL, old and new images of long rows
# are some 40 KB a change, and while the stream has yet to come to a DDL statement, nothing is copied.
WRITER_PAUSE_SECONDS = 0.03
# For campaigns of a minute: below what a daemon that is killed all the time can catch up with.
SHORT_PAUSE_SECONDS = 0.005
# Rows a table starts with.
SEED_ROWS = 150
# The key of a table that the reshaper creates.
NEW_TABLE_KEY = ("id",)


class Workload(ABC):
    """Tables, writers and the oracle in one database. As a context manager it writes until the block ends."""

    tables: tuple[TableSpec, ...]
    shape: ClassVar[TableSpec]
    writer: ClassVar[type[Writer]] = Writer
    reshaper_class: ClassVar[type[Reshaper]]
    transaction: ClassVar[type[Transaction]]
    reshape_pause_seconds: ClassVar[float] = 0.7
    # Whether rows of a copy may be newer than the position they carry, so that changes which they contain
    # come again.
    copies_run_ahead: ClassVar[bool] = False

    def __init__(self, seed: int, pause_seconds: float = WRITER_PAUSE_SECONDS) -> None:
        self.tally = Tally()
        self.oracle = self.prepare()
        self._seed_rows(random.Random(seed))
        self._writers = [
            self.writer(
                self.connect,
                self.transaction,
                self.tables,
                seed * 100 + i,
                self.tally,
                pause_seconds,
            )
            for i in range(WRITERS)
        ]
        self.reshaper = self.reshaper_class(
            self.connect, self.shape, seed * 100 + WRITERS, self.tally, self.reshape_pause_seconds
        )
        self._threads: list[Writer | Reshaper] = [*self._writers, self.reshaper]

    @abstractmethod
    def prepare(self) -> Oracle:
        """Create the tables; then what will tell the changes to come."""

    @abstractmethod
    def connect(self) -> AbstractContextManager[Session]:
        """A writer's connection."""

    @abstractmethod
    def read_source(self, table: str, key: Sequence[str]) -> SourceTable:
        """A table (`schema.name`) as it is now."""

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """Every table that there is now, by name, with the columns of its key."""
        keys = {table.name: tuple(column.name for column in table.key) for table in self.tables}
        return {**keys, **dict.fromkeys(self.reshaper.created, NEW_TABLE_KEY)}

    def source(self, name: str) -> SourceTable:
        return self.read_source(f"{SCHEMA}.{name}", self.keys[name])

    def renamed(self, name: str) -> Sequence[tuple[str, str]]:
        """(old, new) names of columns of that table, in order of time."""
        return self.reshaper.renamed if name == self.shape.name else ()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(DEFAULT_TIMEOUT_SECONDS)
        assert not [thread.name for thread in self._threads if thread.is_alive()], "writers hang"
        self.check()

    def check(self) -> None:
        """Raise what made a writer stop by itself."""
        for thread in self._threads:
            if thread.error is not None:
                message = f"{thread.name} stopped: {thread.error}"
                raise AssertionError(message) from thread.error

    def _seed_rows(self, rng: random.Random) -> None:
        with self.connect() as session:
            transaction = self.transaction(session, rng)
            for table in self.tables:
                for _ in range(SEED_ROWS):
                    transaction.insert(table)
            session.commit()
        self.tally.add(transaction.counts)
