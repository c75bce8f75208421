"""The workload on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from tests.support.equality.postgres import read_source
from tests.support.equality.tables import SourceTable
from tests.support.postgres.server import Database
from tests.support.workload.events import Oracle
from tests.support.workload.postgres.oracle import SlotOracle
from tests.support.workload.postgres.reshaping import PostgresReshaper
from tests.support.workload.postgres.tables import SHAPE, TABLES, create_statements
from tests.support.workload.postgres.writing import PostgresTransaction, connect
from tests.support.workload.run import WRITER_PAUSE_SECONDS, Workload
from tests.support.workload.writers import Session


class PostgresWorkload(Workload):
    """See `Workload`; `database` is a fresh one."""

    tables = TABLES
    shape = SHAPE
    reshaper_class = PostgresReshaper
    transaction = PostgresTransaction

    def __init__(self, database: Database, seed: int, *, pause_seconds: float = WRITER_PAUSE_SECONDS) -> None:
        self.database = database
        super().__init__(seed, pause_seconds)

    def prepare(self) -> Oracle:
        self.database.execute(*create_statements())
        return SlotOracle(self.database)

    def connect(self) -> AbstractContextManager[Session]:
        return connect(self.database)

    def read_source(self, table: str, key: Sequence[str]) -> SourceTable:
        return read_source(self.database, table, key)


__all__ = ["PostgresWorkload"]
