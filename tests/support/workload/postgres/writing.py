"""Writers on PostgreSQL: the session, and the statements that differ between databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from tests.support.postgres.server import Database
from tests.support.workload.specs import TableSpec
from tests.support.workload.values import ColumnSpec
from tests.support.workload.writers import Conflict, Session, Transaction

CONFLICTS = (
    errors.DeadlockDetected,
    errors.UniqueViolation,
    errors.SerializationFailure,
    errors.LockNotAvailable,
)
_SETTINGS = "set deadlock_timeout = '50ms'; set lock_timeout = '10s'"


class PostgresSession:
    """psycopg's connection as the writers use it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] | None = None) -> int:
        try:
            return self._connection.execute(statement.encode(), values).rowcount
        except CONFLICTS as error:
            raise Conflict from error

    def commit(self) -> None:
        try:
            self._connection.commit()
        except CONFLICTS as error:
            raise Conflict from error

    def rollback(self) -> None:
        self._connection.rollback()


@contextmanager
def connect(database: Database) -> Iterator[Session]:
    with database.connect(autocommit=False, prepare_threshold=None) as connection:
        connection.execute(_SETTINGS)
        connection.commit()
        yield PostgresSession(connection)


class PostgresTransaction(Transaction):
    def insert_guard(self, table: TableSpec) -> str:
        return "on conflict do nothing"

    def upsert_tail(self, table: TableSpec, column: ColumnSpec) -> str:
        target = ", ".join(c.sql_name for c in table.key)
        return f"on conflict ({target}) do update set {column.sql_name} = excluded.{column.sql_name}"

    def some_rows(self, table: TableSpec) -> str:
        if table.tail:  # A ctid names a row in one partition only.
            return f"{table.key[0].sql_name} %% 40 = %s"
        some = f"select ctid from {table.sql_name} where hashtext(ctid::text) %% 40 = %s limit 50"
        return f"ctid = any(array({some}))"

    def one_keyless_row(self, table: TableSpec) -> str:
        return f"ctid = (select ctid from {table.sql_name} where n = %s limit 1)"
