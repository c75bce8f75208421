"""The source contract on real servers."""

from __future__ import annotations

import pytest

from cdc.spi import Source
from cdc.testing.events import source_context
from cdc.testing.source_contract import SourceContract, Step
from cdc_source_postgres import PostgresSource
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.options import PostgresOptions
from tests.support.postgres.server import Database

_STATEMENTS = {
    "c": "insert into contract values (%s, %s)",
    "u": "update contract set note = %s where id = %s",
    "d": "delete from contract where id = %s",
    "t": "truncate contract",
}


class TestPostgresSource(SourceContract):
    @pytest.fixture(autouse=True)
    def _database(self, database: Database) -> None:
        self.database = database

    def make_source(self) -> Source:
        options = PostgresOptions(url=self.database.url, slot=self.database.name)
        return PostgresSource(options, source_context(), Limits(chunk_bytes=8192, min_chunk_pages=1))

    def create_table(self) -> None:
        self.database.execute("create table contract (id int primary key, note text)")

    def commit(self, *steps: Step) -> None:
        with self.database.connect(autocommit=False) as connection:
            for op, *values in steps:
                parameters = values[::-1] if op == "u" else values
                connection.execute(_STATEMENTS[op], parameters)
