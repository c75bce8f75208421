"""What the ClickHouse sink saves of its own tables, by the number of tables.

Tables of 60 columns are created, one delivery each, with one row. Then one of them gets a row, 20 times. The
server is chDB behind its HTTP shim. Run: python -m benchmarks.tables_clickhouse [numbers of tables]
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import pyarrow as pa

from cdc.testing.events import table
from cdc.testing.servers.clickhouse import ClickHouseServer
from cdc_sink_clickhouse.database import ClickHouseConnection
from tests.support.clickhouse_sinks import FedClickHouse

COLUMNS = {"id": pa.int64(), **{f"column_{i}": pa.string() for i in range(59)}}
FLUSHES = 20


class Saves:
    """Counts the statements that save own tables, and their bytes."""

    def __init__(self, connection: ClickHouseConnection) -> None:
        self.count = self.size = 0
        self._command = connection.client.command
        connection.client.command = self  # type: ignore[method-assign, assignment]

    def __call__(self, statement: str, *args: Any, **options: Any) -> Any:
        if statement.startswith("insert into `_cdc`.`state`"):
            self.count += 1
            self.size += len(statement)
        return self._command(statement, *args, **options)


def measure(server: ClickHouseServer, tables: int) -> None:
    """Print the figures of one number of tables."""
    sink = FedClickHouse(server)
    saves = Saves(sink.sink._connection)  # noqa: SLF001  (its client counts the bytes)
    schemas = [table(f"app.t{i}", COLUMNS, relation=i + 1) for i in range(tables)]
    row = dict.fromkeys(COLUMNS, "a") | {"id": 1}
    begun = time.perf_counter()
    for schema in schemas:
        sink.change(schema, ("c", row))
    seconds = time.perf_counter() - begun
    created = f"{seconds:.1f} s, {saves.size / 1e6:.2f} MB in {saves.count} saves"
    flushes, saves.size = [], 0
    for i in range(FLUSHES):
        begun = time.perf_counter()
        sink.change(schemas[0], ("c", row | {"id": 2 + i}))
        flushes.append(time.perf_counter() - begun)
    median = statistics.median(flushes) * 1000
    sink.sink.close()
    begun = time.perf_counter()
    again = FedClickHouse(server, epoch=2)
    prepared = time.perf_counter() - begun
    again.sink.close()
    print(
        f"{tables} tables: created {created}; a flush {median:.0f} ms, {saves.size / FLUSHES:.0f} bytes; "
        f"a start {prepared:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    for given in [int(text) for text in sys.argv[1:]] or [25, 100, 400]:
        started = ClickHouseServer().start()
        try:
            measure(started, given)
        finally:
            started.destroy()
