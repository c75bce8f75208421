"""Databases with the DDL event triggers, and what they report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cdc_source_postgres.schema.ddl_objects import PREFIX, install_statements
from tests.support.postgres.server import Database, PostgresServer
from tests.support.server_pool import lend

_READ = """
    select case when data like 'message: transactional: 1 prefix: ' || %s || ',%%'
                then substring(data from position('content:' in data) + 8) else data end
      from pg_logical_slot_get_changes(%s, null, null, 'include-xids', '0', 'skip-empty-xacts', '1')
"""


class Reporting:
    """A database whose DDL is reported, with a slot to read it from."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.connect() as connection:
            for statement in install_statements(connection.info.server_version):
                connection.execute(statement.encode())
        database.query("select pg_create_logical_replication_slot(%s, 'test_decoding')", [database.name])

    def lines(self) -> list[Any]:
        """What came since the last call, in order: reports as objects, all else in test_decoding's words."""
        rows = self.database.query(_READ, [PREFIX, self.database.name])
        return [json.loads(line) if line.startswith("{") else line for (line,) in rows]

    def reports(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if isinstance(line, dict)]

    def tables(self) -> list[dict[str, Any]]:
        """The tables that the reports since the last call describe, in order."""
        return [table for report in self.reports() for table in report.get("tables", ())]


@pytest.fixture
def reporting(database: Database) -> Reporting:
    return Reporting(database)


@pytest.fixture
def reporting15(database15: Database) -> Reporting:
    return Reporting(database15)


def reporting_on(server: PostgresServer) -> Iterator[Reporting]:
    """A fresh database on a server of one's own."""
    for database in lend(server, server.create_database):
        yield Reporting(database)
