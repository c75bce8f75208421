"""Postgres snapshot → log → Parquet, and → a DuckDB mirror, beside `COPY … TO STDOUT (FORMAT binary)` to
/dev/null by one psql.

Rows of 10 columns that are there before the first start. Our time includes publication, slots and the
stream's start.
Run: python -m benchmarks.snapshot [rows] [sink…]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import HEADER, Taken, measured, run_once, show
from benchmarks.stream import CONFIG, FILL, SETTINGS, SINKS, TABLE
from cdc.cli.allocators import bound_resident_memory
from tests.support.postgres.server import PostgresServer

FILL_TRANSACTIONS = 10


def main(rows: int = 3_000_000, *sinks: str) -> None:
    """Fill, and for each sink measure the peer, measure ourselves, print."""
    bound_resident_memory()
    print(f"{rows:,} rows, two readers\n{HEADER}")
    for sink in sinks or ("parquet", "duckdb"):
        server = PostgresServer(18, SETTINGS).start()
        try:
            with server.connect() as connection, tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
                connection.execute(TABLE)
                connection.execute(
                    FILL.format(transactions=FILL_TRANSACTIONS, rows=rows // FILL_TRANSACTIONS)
                )
                connection.execute("vacuum analyze bench")
                config = Path(folder) / "cdc.yaml"
                target = SINKS[sink].format(folder=folder)
                config.write_text(CONFIG.format(folder=folder, url=server.dsn(), sink=target))
                limit = _peer(server)
                show("copy to stdout (format binary)", rows, limit)
                show(f"cdc to log and {sink}, whole run", rows, run_once(config), limit)
        finally:
            server.destroy()


def _peer(server: PostgresServer) -> Taken:
    statement = "copy (select * from bench) to stdout (format binary)"
    command = [str(server.psql), server.dsn(), "-c", statement]
    with Path("/dev/null").open("wb") as nowhere:
        return measured(lambda: subprocess.run(command, check=True, stdout=nowhere))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3_000_000, *sys.argv[2:])
