"""Deliveries into ClickHouse, beside one insert of the same Arrow data into a table like the sink's.

Rows of ten columns, about 100 bytes each, from memory: no source, log or daemon. Inserts into a changelog and
into a mirror, then 100,000 changes (four fifths updates of random keys) of a mirror. The same rows go in by
clickhouse-connect's `insert_arrow`, and by its Native format. The server is chDB behind its HTTP shim.
Run: python -m benchmarks.apply_clickhouse [rows of the inserts] [rows of the mirror that is changed]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa

from benchmarks.apply_postgres import CHANGED_ROWS, COLUMNS, DELIVERY_ROWS, ROUNDS, Fed, rows_of
from benchmarks.harness import peak_mib
from cdc.cli.allocators import bound_resident_memory
from cdc.model import Operation
from cdc.testing.events import EPOCH, sink_context, table
from cdc.testing.servers.clickhouse import PASSWORD, USER, ClickHouseServer
from cdc.testing.servers.process import HOST
from cdc_sink_clickhouse import ClickHouseSink
from cdc_sink_clickhouse.options import ClickHouseSinkOptions

# 16 MiB a part, as the sink declares.
PART_ROWS = 160_000
# The sink's own columns, as Arrow data, by mode.
OWN: dict[str, dict[str, Any]] = {
    "append": {
        "_cdc_op": "c",
        "_cdc_seq": 0,
        "_cdc_tx": "731",
        "_cdc_position": "0/16B3748",
        "_cdc_commit_at": EPOCH,
    },
    "mirror": {"_cdc_seq": 0, "_cdc_commit_at": EPOCH, "_cdc_deleted": False},
}


def into_clickhouse(server: ClickHouseServer, name: str, **options: Any) -> Fed:
    sink = ClickHouseSink(ClickHouseSinkOptions(url=server.url(), **options), sink_context(name))
    return Fed(sink, table(f"bench.{name}", COLUMNS, version=1), PART_ROWS)


def arrow_of(ids: Any, mode: str) -> pa.Table:
    """The rows that the sink writes in that mode."""
    rows = pa.Table.from_batches([rows_of(ids, 0)])
    for name, value in OWN[mode].items():
        column = pa.array(np.asarray(ids)) if name == "_cdc_seq" else pa.repeat(pa.scalar(value), len(ids))
        rows = rows.append_column(name, column)
    return rows


def bulk_seconds(client: Any, name: str, mode: str, rows: int) -> float:
    """Inserts of 500,000 rows each into an empty table like the sink's."""
    client.command(f"create table bench.bulk as bench.{name}")
    seconds = 0.0
    for start in range(0, rows, DELIVERY_ROWS):
        data = arrow_of(np.arange(start, min(start + DELIVERY_ROWS, rows)), mode)
        began = time.perf_counter()
        client.insert_arrow("bench.bulk", data)
        seconds += time.perf_counter() - began
    client.command("drop table bench.bulk sync")
    return seconds


def native_seconds(client: Any, name: str, rows: int) -> float:
    """One insert by the driver's Native format, which starts from Python's or numpy's values."""
    client.command(f"create table bench.bulk as bench.{name}")
    data = arrow_of(np.arange(rows), "mirror")
    began = time.perf_counter()
    columns = [column.to_pylist() for column in data.columns]
    client.insert("bench.bulk", columns, column_names=data.column_names, column_oriented=True)
    seconds = time.perf_counter() - began
    client.command("drop table bench.bulk sync")
    return seconds


def changes_of(mirror_rows: int, salt: int) -> list[tuple[pa.RecordBatch, Operation]]:
    """Four fifths updates of random keys, one fifth inserts."""
    chance = np.random.default_rng(salt)
    old = np.sort(chance.choice(mirror_rows, CHANGED_ROWS * 4 // 5, replace=False))
    new = np.arange(CHANGED_ROWS // 5) + mirror_rows + salt * CHANGED_ROWS
    return [(rows_of(old, salt), Operation.UPDATE), (rows_of(new, salt), Operation.CREATE)]


def main(rows: int, mirror_rows: int) -> None:
    bound_resident_memory()
    server = ClickHouseServer().start()
    try:
        client = clickhouse_connect.get_client(
            host=HOST, port=server.port, username=USER, password=PASSWORD, compress=False
        )
        for mode in ("append", "mirror"):
            fed = into_clickhouse(server, mode, mode=mode)
            fed.fill(PART_ROWS)
            for round_ in range(ROUNDS):
                bulk = bulk_seconds(client, mode, mode, rows)
                ours = fed.fill(rows)
                rates = f"insert_arrow {rows / bulk:,.0f} rows/s, sink {rows / ours:,.0f} rows/s"
                print(f"{mode} {round_}: {rates}, ratio {bulk / ours:.2f}")
        native = native_seconds(client, "mirror", DELIVERY_ROWS // 5)
        print(f"Native format of the driver: {DELIVERY_ROWS / 5 / native:,.0f} rows/s")
        fed = into_clickhouse(server, "changed")
        fed.fill(mirror_rows)
        client.command("create table bench.bulk as bench.changed")
        for salt in range(1, ROUNDS + 1):
            parts = changes_of(mirror_rows, salt)
            data = arrow_of(np.concatenate([batch.column("id").to_numpy() for batch, _ in parts]), "mirror")
            began = time.perf_counter()
            client.insert_arrow("bench.bulk", data)
            bulk, ours = time.perf_counter() - began, fed.deliver(parts)
            print(f"changes {salt}: insert_arrow {bulk * 1000:,.0f} ms, sink {ours * 1000:,.0f} ms")
        seconds = [fed.deliver([(rows_of(np.arange(1000), salt), Operation.UPDATE)]) for salt in range(20)]
        print(f"1,000 changes: {np.median(seconds) * 1000:.0f} ms")
        print(f"peak memory {peak_mib():.0f} MiB")
    finally:
        server.destroy()


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + ["1000000", "2000000"][len(sys.argv) - 1 :])))
