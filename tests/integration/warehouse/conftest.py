"""Warehouses for a test: sinks into a fresh database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.postgres.server import Database
from tests.support.warehouses import Warehouse

OpenWarehouse = Callable[..., Warehouse]


@pytest.fixture
def open_warehouse(database15: Database) -> Iterator[OpenWarehouse]:
    """`open_warehouse(mode="append")`: sinks into one database, closed after the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> Warehouse:
            warehouse = Warehouse(database15, **options)
            stack.callback(warehouse.sink.close)
            return warehouse

        yield make


@pytest.fixture
def warehouse(open_warehouse: OpenWarehouse) -> Warehouse:
    return open_warehouse()
