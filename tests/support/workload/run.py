"""Starts and stops the writers together."""

from __future__ import annotations

import random
from types import TracebackType
from typing import Self

from tests.support.postgres import Database
from tests.support.workload.oracle import Oracle
from tests.support.workload.reshaping import Reshaper
from tests.support.workload.tables import TABLES, create_statements
from tests.support.workload.writers import Tally, Transaction, Writer

WRITERS = 4
# A pause after each transaction keeps the rate below what a daemon that is killed all the time can catch up
# with.
WRITER_PAUSE_SECONDS = 0.005
RESHAPE_PAUSE_SECONDS = 0.7
# Rows a table starts with.
SEED_ROWS = 150
STOP_TIMEOUT_SECONDS = 60.0


class Workload:
    """Tables, writers and the oracle in one database. As a context manager it writes until the block ends."""

    def __init__(self, database: Database, seed: int, *, reshape: bool = True) -> None:
        self.database = database
        self.tally = Tally()
        database.execute(*create_statements())
        self.oracle = Oracle(database)
        self._seed_rows(random.Random(seed))
        self._writers = [
            Writer(database, seed * 100 + i, self.tally, WRITER_PAUSE_SECONDS) for i in range(WRITERS)
        ]
        self.reshaper = Reshaper(database, seed * 100 + WRITERS, self.tally, RESHAPE_PAUSE_SECONDS)
        self._threads: list[Writer | Reshaper] = [*self._writers, *([self.reshaper] if reshape else [])]

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
            thread.join(STOP_TIMEOUT_SECONDS)
        assert not [thread.name for thread in self._threads if thread.is_alive()], "writers hang"
        self.check()

    def check(self) -> None:
        """Raise what made a writer stop by itself."""
        for thread in self._threads:
            if thread.error is not None:
                message = f"{thread.name} stopped: {thread.error}"
                raise AssertionError(message) from thread.error

    def _seed_rows(self, rng: random.Random) -> None:
        with self.database.connect(autocommit=False, prepare_threshold=None) as connection:
            transaction = Transaction(connection, rng)
            for table in TABLES:
                for _ in range(SEED_ROWS):
                    transaction.insert(table)
            connection.commit()
        self.tally.add(transaction.counts)
