"""Postgres stream → log → sink, beside what the server can send (`pg_recvlogical` to /dev/null) from the same
position, for each kind of work and connection.

"Less start and end" is without what a run with nothing to do takes.
Run: python -m benchmarks.stream [rows] [parquet|duckdb|both] [kind of work…]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import HEADER, Taken, measured, run_once, show
from cdc.cli.allocators import bound_resident_memory
from tests.support.postgres.server import PostgresServer

COLUMNS = """(id bigint primary key, customer bigint not null, quantity int not null,
    price numeric(12, 2) not null, weight double precision not null, name text not null, email text not null,
    paid boolean not null, placed timestamptz not null, day date not null)"""
TABLE = f"create table bench {COLUMNS}"
ROW = """select i, i % 5000, i % 9, (i % 10000) / 100.0, i / 7.0, 'name ' || i,
        'user' || i || '@example.com', i % 2 = 0,
        timestamptz '2026-01-01' + i * interval '1 second', date '2026-01-01' + (i % 365)::int"""
# A transaction of so many rows after the other, each by this statement over the numbers i.
EACH = """do $$ begin for t in 0..{transactions} - 1 loop
    %s;
    commit; end loop; end $$"""
NUMBERS = "generate_series(t::bigint * {rows} + 1, t::bigint * {rows} + {rows}) i"
FILL = EACH % f"insert into bench {ROW} from {NUMBERS}"
TABLES = 200
# Every transaction changes half of the tables, one row each.
MANY = """do $$ begin for t in 0..{transactions} - 1 loop
    for n in 0..99 loop
        execute format('insert into bench_%%s values ($1, $1, 1)', (t * 100 + n) %% 200)
            using t::bigint * 100 + n; end loop;
    commit; end loop; end $$""".replace("%%", "%")
CONFIG = """
state_dir: {folder}/state
sources:
  bench: {{type: postgres, url: "{url}", tables: ["public.bench*"], slot: cdc_bench, publication: cdc_bench}}
sinks:
  copy: {sink}
"""
SINKS = {
    "parquet": "{{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}",
    "duckdb": "{{type: duckdb, from: [bench], path: {folder}/copy.duckdb}}",
    "both": "{{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}\n"
    "  mirror: {{type: duckdb, from: [bench], path: {folder}/copy.duckdb}}",
}
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "8GB", "logical_decoding_work_mem": "64MB"}


@dataclass(frozen=True)
class Work:
    """Tables, what is in them before, and what fills them: a share of the benchmark's rows, in transactions
    of so many (None: all in one).
    """

    tables: Sequence[str] = (TABLE,)
    before: str | None = None
    fill: str = FILL
    rows_a_transaction: int | None = 100
    share: float = 1.0

    def fill_of(self, rows: int) -> str:
        size = self.rows_a_transaction or rows
        return self.fill.format(transactions=rows // size, rows=size)


WORK = {
    "wide": Work(),
    "narrow": Work(
        tables=["create table bench (id bigint primary key, value int not null)"],
        fill=EACH % f"insert into bench select i, i % 9 from {NUMBERS}",
    ),
    "200 tables": Work(
        tables=[
            f"create table bench_{n} (id bigint primary key, value bigint not null, kind int not null)"
            for n in range(TABLES)
        ],
        fill=MANY,
        share=0.3,
    ),
    "one-row transactions": Work(rows_a_transaction=1, share=0.1),
    "updates with full images": Work(
        tables=[TABLE, "alter table bench replica identity full"],
        before=FILL,
        fill=EACH % f"update bench set quantity = quantity + 1 where id in (select i from {NUMBERS})",
        share=0.3,
    ),
    "one transaction": Work(rows_a_transaction=None),
}


def main(rows: int = 3_000_000, sink: str = "parquet", *names: str) -> None:
    """Every kind of work, or those that are named: fill, measure the peer, measure ourselves, print."""
    bound_resident_memory()
    for name in names or WORK:
        server = PostgresServer(18, SETTINGS).start()
        try:
            print(f"\n{name}, sink {sink}\n{HEADER}")
            _both_ways(server, WORK[name], int(rows * WORK[name].share) // 100 * 100, SINKS[sink])
        finally:
            server.destroy()


def _both_ways(server: PostgresServer, work: Work, rows: int, sink: str) -> None:
    """Over TCP, and over the server's unix socket: the same changes, sent twice by two slots each."""
    ways = {"TCP": server.dsn(), "unix socket": server.dsn(host=str(server.folder))}
    with tempfile.TemporaryDirectory(prefix="cdc-bench-") as name, server.connect() as connection:
        for statement in work.tables:
            connection.execute(statement)
        if work.before is not None:
            connection.execute(work.before.format(transactions=1, rows=rows))
        configs = []
        for way, url in ways.items():
            folder = Path(name) / way.replace(" ", "-")
            folder.mkdir()
            config = CONFIG.replace("cdc_bench", f"cdc_{folder.name[:3].lower()}")
            (folder / "cdc.yaml").write_text(
                config.format(folder=folder, url=url, sink=sink.format(folder=folder))
            )
            run_once(folder / "cdc.yaml")
            slot = f"peer_{folder.name[:3].lower()}"
            connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
            configs.append((way, url, slot, folder / "cdc.yaml"))
        connection.execute(work.fill_of(rows))
        row = connection.execute("select pg_current_wal_lsn()").fetchone()
        for way, url, slot, config_file in configs:
            limit = _peer(server, url, slot, str(row[0]) if row else "")
            show(f"{way}: pg_recvlogical to /dev/null", rows, limit)
            whole = run_once(config_file)
            show(f"{way}: cdc, whole run", rows, whole, limit)
            show(f"{way}: cdc, less start and end", rows, whole.less(run_once(config_file)), limit)


def _peer(server: PostgresServer, url: str, slot: str, end: str) -> Taken:
    options = [
        "-o",
        "proto_version=1",
        "-o",
        f"publication_names={slot.replace('peer', 'cdc')}",
        "-o",
        "binary=true",
    ]
    target = ["-d", url, "-S", slot, "--start", "-f", "/dev/null"]
    command = [str(server.bindir / "pg_recvlogical"), *target, *options, f"--endpos={end}"]
    return measured(lambda: subprocess.run(command, check=True, capture_output=True))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]) if arguments else 3_000_000, *arguments[1:])
