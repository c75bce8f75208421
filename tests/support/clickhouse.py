"""One ClickHouse for a test process, emptied before each test that uses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdc.model import TableId
from cdc.testing.servers.clickhouse import ClickHouseServer

_KEPT = "('system', 'information_schema', 'INFORMATION_SCHEMA', 'default')"


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseServer]:
    server = ClickHouseServer().start()
    yield server
    server.destroy()


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer) -> ClickHouseServer:
    """The server, without a database of an earlier test."""
    if not clickhouse_server.is_running:
        clickhouse_server.start()
    for row in clickhouse_server.query(f"select name from system.databases where name not in {_KEPT}"):
        clickhouse_server.query(f"drop database {quoted(row['name'])} sync")
    return clickhouse_server


def quoted(name: str) -> str:
    """The name as an identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def qualified(place: TableId) -> str:
    """The name of a table."""
    return f"{quoted(place.schema)}.{quoted(place.name)}"


def literal(text: str) -> str:
    """The text as a string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
