"""Postgres stream → log → Parquet,
beside what the server can send (`pg_recvlogical` to /dev/null) from the same position.

1,000,000 rows of 10 columns in 10,000 transactions, one table, over TCP and over the server's unix socket.
Prints rows a second of the whole run and of the run less its start and end (what a run with nothing to do
takes, measured too), their ratios, and the peak resident memory.
Run: python benchmarks/stream.py [rows] [rows a transaction] [parquet|duckdb|both]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cdc.cli.allocators import bound_resident_memory
from cdc.control.composition import sink_spec, source_spec
from cdc.engine import Engine, Outcome
from cdc.log import LocalLogs
from cdc.spi import registry
from cdc.state import LocalState
from cdc_config import load
from tests.support.postgres.server import PostgresServer

TABLE = """create table bench (id bigint primary key, customer bigint not null, quantity int not null,
    price numeric(12, 2) not null, weight double precision not null, name text not null, email text not null,
    paid boolean not null, placed timestamptz not null, day date not null)"""
FILL = """do $$ begin for t in 0..{transactions} - 1 loop
    insert into bench select i, i % 5000, i % 9, (i % 10000) / 100.0, i / 7.0, 'name ' || i,
        'user' || i || '@example.com', i % 2 = 0,
        timestamptz '2026-01-01' + i * interval '1 second', date '2026-01-01' + (i % 365)::int
        from generate_series(t::bigint * {rows} + 1, t::bigint * {rows} + {rows}) i;
    commit; end loop; end $$"""
CONFIG = """
state_dir: {folder}/state
sources:
  bench: {{type: postgres, url: "{url}", tables: ["public.bench"], slot: cdc_bench, publication: cdc_bench}}
sinks:
  copy: {sink}
"""
SINKS = {
    "parquet": "{{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}",
    "duckdb": "{{type: duckdb, from: [bench], path: {folder}/copy.duckdb}}",
    "both": "{{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}\n"
    "  mirror: {{type: duckdb, from: [bench], path: {folder}/copy.duckdb}}",
}


def main(rows: int = 1_000_000, rows_a_transaction: int = 100, sink: str = "parquet") -> None:
    """Fill, measure the peer, measure ourselves, print: once over TCP, once over the unix socket."""
    bound_resident_memory()
    settings = {"shared_buffers": "256MB", "max_wal_size": "8GB", "logical_decoding_work_mem": "64MB"}
    server = PostgresServer(18, settings)
    server.start()
    try:
        print(f"rows {rows:,} in transactions of {rows_a_transaction:,}, sink {sink}")
        for way, url in (("TCP", server.dsn()), ("unix socket", server.dsn(host=str(server.folder)))):
            with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
                _measure(server, url, way, Path(folder), SINKS[sink], (rows, rows_a_transaction))
    finally:
        server.destroy()
    print(f"peak resident memory of this process: {peak_mib():.0f} MiB")


def _measure(
    server: PostgresServer, url: str, way: str, folder: Path, sink: str, size: tuple[int, int]
) -> None:
    rows, rows_a_transaction = size
    config = folder / "cdc.yaml"
    with server.connect() as connection:
        connection.execute(TABLE)
        config.write_text(CONFIG.format(folder=folder, url=url, sink=sink.format(folder=folder)))
        run_once(config)
        connection.execute("select pg_create_logical_replication_slot('peer', 'pgoutput')")
        connection.execute(FILL.format(transactions=rows // rows_a_transaction, rows=rows_a_transaction))
        row = connection.execute("select pg_current_wal_lsn()").fetchone()
        end = str(row[0]) if row else ""
    peer = _peer(server, url, end)
    ours = run_once(config)
    streaming = ours - run_once(config)
    print(f"{way}: pg_recvlogical to /dev/null    {rows / peer:>10,.0f} rows/s   1.00")
    print(f"{way}: cdc, whole run                 {rows / ours:>10,.0f} rows/s   {peer / ours:.2f}")
    print(f"{way}: cdc, less start and end        {rows / streaming:>10,.0f} rows/s   {peer / streaming:.2f}")
    with server.connect() as connection:
        connection.execute("drop table bench")
        connection.execute("drop publication cdc_bench")
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")


def _peer(server: PostgresServer, url: str, end: str) -> float:
    began = time.perf_counter()
    options = ["-o", "proto_version=1", "-o", "publication_names=cdc_bench", "-o", "binary=true"]
    target = ["-d", url, "-S", "peer", "--start", "-f", "/dev/null"]
    command = [str(server.bindir / "pg_recvlogical"), *target, *options, f"--endpos={end}"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def run_once(config: Path) -> float:
    configuration = load(config, registry.load)
    sources = [source_spec(source, accept_identity=False) for source in configuration.sources.values()]
    sinks = [sink_spec(sink) for sink in configuration.sinks.values()]
    state, logs = LocalState(configuration.state_dir).open(), LocalLogs(configuration.state_dir)
    engine = Engine(sources, sinks, state, logs, lambda event, **fields: None)
    began = time.perf_counter()
    result = engine.run(once=True)
    if result.outcome is not Outcome.DONE:
        raise SystemExit(f"the run ended with {result}")
    return time.perf_counter() - began


def peak_mib() -> float:
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(*(int(a) for a in arguments[:2]), *arguments[2:])  # type: ignore[arg-type]
