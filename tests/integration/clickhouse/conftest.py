"""Sinks into a ClickHouse of one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cdc.testing.servers.clickhouse import ClickHouseServer
from tests.support.clickhouse_sinks import FedClickHouse

OpenClickHouse = Callable[..., FedClickHouse]


@pytest.fixture
def open_clickhouse(clickhouse: ClickHouseServer) -> Iterator[OpenClickHouse]:
    """`open_clickhouse(mode="append")`: sinks into one server, closed after the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> FedClickHouse:
            made = FedClickHouse(clickhouse, **options)
            stack.callback(made.sink.close)
            return made

        yield make
