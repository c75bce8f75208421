"""How long an application's statements wait for a Postgres copy, and how quickly small tables are copied.

While a large table is copied beside small ones, one session alters in turn the table that is being copied,
one that is copied first, one that is copied last and one that has no part in the copy, a second one inserts,
and a third one looks how long our transactions hold back VACUUM; the limit is one second. Snapshots are cut
to SNAPSHOT_SECONDS, so that a short copy takes many. Then a database of tiny tables is copied.
Run: python -m benchmarks.copy_locks [rows] [tiny tables]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.harness import peak_mib, run_once
from benchmarks.stream import FILL, TABLE
from cdc.cli.allocators import bound_resident_memory
from cdc.spi.source import SourceContext
from cdc_source_postgres import PostgresSource
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.options import PostgresOptions
from tests.support.postgres.server import Database, PostgresServer

LIMIT_SECONDS = 1.0
SNAPSHOT_SECONDS = 4.0
# Between two statements of the application: a busy deployment, not a siege.
PAUSE_SECONDS = 2.0
CONFIG = """
state_dir: {folder}/state
sources:
  bench: {{type: "benchmarks.copy_locks:ShortSnapshots", url: "{url}", slot: cdc_bench,
           publication: cdc_bench, tables: ["public.*", "!public.apart"]}}
sinks:
  copy: {{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}
"""
ALTERS = (
    "alter table bench alter paid set default true",
    "alter table small1 add if not exists x int",
    "alter table zlast add if not exists x int",
    "alter table apart add if not exists x int",
    "create index concurrently if not exists apart_id on apart (id); drop index concurrently apart_id",
)


class ShortSnapshots(PostgresSource):
    """Postgres, with snapshots of SNAPSHOT_SECONDS."""

    def __init__(self, options: PostgresOptions, context: SourceContext) -> None:
        super().__init__(options, context, Limits(snapshot_seconds=SNAPSHOT_SECONDS))


def main(rows: int = 1_500_000, tiny_tables: int = 500) -> None:
    """Measure both, print."""
    bound_resident_memory()
    server = PostgresServer(18, {"shared_buffers": "256MB", "max_wal_size": "8GB"}).start()
    try:
        _waits(server, rows)
        _tiny(server, tiny_tables)
        print(f"peak resident memory of this process: {peak_mib():.0f} MiB")
    finally:
        server.destroy()


def _waits(server: PostgresServer, rows: int) -> None:
    database = _database(server, "waits")
    database.execute(TABLE, FILL.format(transactions=10, rows=rows // 10))
    for name in ("small1", "zlast", "apart"):
        database.execute(f"create table {name} (id int primary key)", f"insert into {name} values (1)")
    database.execute("vacuum analyze")
    alone = _copy(database)
    stop = threading.Event()
    waits: dict[str, list[float]] = defaultdict(list)
    horizon = [0.0]
    threads = [
        threading.Thread(target=_alter, args=(database, stop, waits)),
        threading.Thread(target=_insert, args=(database, stop, waits)),
        threading.Thread(target=_watch, args=(database, stop, horizon)),
    ]
    for thread in threads:
        thread.start()
    beside = _copy(database)
    stop.set()
    for thread in threads:
        thread.join()
    print(f"copy of {rows:,} rows alone {alone:.1f} s, beside the application's statements {beside:.1f} s")
    print(f"the longest transaction of ours: {max(horizon):.1f} s, snapshots of {SNAPSHOT_SECONDS:.0f} s")
    for statement, seconds in waits.items():
        worst, mean = max(seconds), sum(seconds) / len(seconds)
        figures = f"mean {mean:.3f} s, longest {worst:.3f} s, {worst / LIMIT_SECONDS:.2f} of the limit"
        print(f"{statement[:60]:<60} {len(seconds):>5} times, {figures}")


def _alter(database: Database, stop: threading.Event, waits: dict[str, list[float]]) -> None:
    with database.connect() as connection:
        while not stop.is_set():
            for statement in ALTERS:
                for part in statement.split("; "):
                    began = time.perf_counter()
                    connection.execute(part.encode())
                    waits[part].append(time.perf_counter() - began)
                if stop.wait(PAUSE_SECONDS):
                    return


def _insert(database: Database, stop: threading.Event, waits: dict[str, list[float]]) -> None:
    with database.connect() as connection:
        number = 1
        while not stop.wait(0.01):
            for name in ("small1", "zlast", "apart"):
                number += 1
                began = time.perf_counter()
                connection.execute(f"insert into {name} (id) values (%s)".encode(), (number,))
                waits["inserts"].append(time.perf_counter() - began)


def _watch(database: Database, stop: threading.Event, horizon: list[float]) -> None:
    query = """select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity
                where application_name = 'cdc_bench' and backend_xmin is not null
                  and backend_type = 'client backend'"""
    while not stop.wait(0.1):
        horizon.append(database.value(query) or 0.0)


def _tiny(server: PostgresServer, count: int) -> None:
    database = _database(server, "tiny")
    with database.connect() as connection:
        for i in range(count):
            connection.execute(
                f"create table t{i} (id int primary key, n int); insert into t{i} values (1)".encode()
            )
    seconds = _copy(database)
    print(f"{count:,} tables of one row: {seconds:.1f} s, {count / seconds:,.0f} tables/s")


def _database(server: PostgresServer, name: str) -> Database:
    with server.connect() as connection:
        connection.execute(f"create database {name}".encode())
    return Database(server, name)


def _copy(database: Database) -> float:
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
        config = Path(folder) / "cdc.yaml"
        config.write_text(CONFIG.format(folder=folder, url=database.url))
        seconds = run_once(config).wall
    database.execute("select pg_drop_replication_slot('cdc_bench')", "drop publication cdc_bench")
    return seconds


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
