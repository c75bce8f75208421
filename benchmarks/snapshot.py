"""Postgres snapshot → log → Parquet, beside `COPY … TO STDOUT (FORMAT binary)` to /dev/null by one psql.

1,000,000 rows of 10 columns that are there before the first start. Our time includes publication, slots and
the stream's start.
Run: python -m benchmarks.snapshot [rows]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.stream import CONFIG, FILL, SINKS, TABLE, peak_mib, run_once
from cdc.cli.allocators import bound_resident_memory
from tests.support.postgres.server import PostgresServer

FILL_TRANSACTIONS = 10


def main(rows: int = 1_000_000) -> None:
    """Fill, measure the peer, measure ourselves, print."""
    bound_resident_memory()
    server = PostgresServer(18, {"shared_buffers": "256MB", "max_wal_size": "8GB"})
    server.start()
    folder = Path(tempfile.mkdtemp(prefix="cdc-bench-"))
    try:
        with server.connect() as connection:
            connection.execute(TABLE)
            connection.execute(FILL.format(transactions=FILL_TRANSACTIONS, rows=rows // FILL_TRANSACTIONS))
            connection.execute("vacuum analyze bench")
        config = folder / "cdc.yaml"
        sink = SINKS["parquet"].format(folder=folder)
        config.write_text(CONFIG.format(folder=folder, url=server.dsn(), sink=sink))
        peer = _peer(server)
        ours = run_once(config)
        print(f"rows {rows:,}, two readers")
        print(f"copy to stdout (format binary)   {rows / peer:>10,.0f} rows/s   1.00")
        print(f"cdc to log and parquet           {rows / ours:>10,.0f} rows/s   {peer / ours:.2f}")
        print(f"peak resident memory of this process: {peak_mib():.0f} MiB")
    finally:
        server.destroy()


def _peer(server: PostgresServer) -> float:
    began = time.perf_counter()
    with Path("/dev/null").open("wb") as nowhere:
        statement = "copy (select * from bench) to stdout (format binary)"
        subprocess.run([str(server.psql), server.dsn(), "-c", statement], check=True, stdout=nowhere)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
