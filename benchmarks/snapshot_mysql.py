"""MySQL snapshot → Arrow, and → log → Parquet, beside PyMySQL's SSCursor and the bare packets of the same
SELECT.

1,000,000 rows of 10 columns that are there before. `packets` reads the socket and decodes nothing: what the
server can send to one reader. The last lines are a whole run with two readers, and the same less what a run
with nothing to do takes.
Run: python -m benchmarks.snapshot_mysql [rows] [mysql9|mariadb10|…]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pymysql.cursors import SSCursor

from benchmarks.harness import HEADER, measured, run_once, show
from benchmarks.stream_mysql import CONFIG, FILL, NUMBERS, TABLE
from cdc.cli.allocators import bound_resident_memory
from cdc_source_mysql.snapshot.copying import PreparedStatement
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.mysql.snapshots import SnapshotBench

ROWS_PER_STATEMENT = 100
_EOF_BYTES = 9


def main(rows: int = 1_000_000, server_name: str = "mysql9") -> None:
    """Fill, measure the peers, measure ourselves, print."""
    bound_resident_memory()
    server = MysqlServer(server_name, {"innodb-buffer-pool-size": "512M"}).start()
    try:
        database = server.create_database()
        numbers = ", ".join(f"({n})" for n in range(1, ROWS_PER_STATEMENT + 1))
        database.execute(TABLE, NUMBERS, f"insert into numbers values {numbers}", FILL)
        database.execute(f"call fill({rows // ROWS_PER_STATEMENT}, {ROWS_PER_STATEMENT}, 0)")
        database.execute("drop procedure fill", "drop table numbers", "analyze table bench")
        packets = measured(lambda: _packets(database))
        cursor = measured(lambda: _cursor(database))
        arrow = measured(lambda: _arrow(database, rows))
        with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
            config = Path(folder) / "cdc.yaml"
            config.write_text(CONFIG.format(folder=folder, url=database.url, database=database.name))
            whole = run_once(config)
            idle = run_once(config)
    finally:
        server.destroy()
    print(f"{server_name}: {rows:,} rows\n{HEADER}")
    show("packets, not decoded", rows, packets)
    for name, taken in (
        ("PyMySQL SSCursor", cursor),
        ("cdc to Arrow, one reader", arrow),
        ("cdc to log and parquet, two readers", whole),
        ("the same less its start and end", whole.less(idle)),
    ):
        show(name, rows, taken, packets)


def _packets(database: MysqlDatabase) -> None:
    with database.connect() as connection:
        prepared = PreparedStatement(connection, "select * from bench", "benchmark", "reading")
        with prepared.execute(lambda: True) as received:
            for data in received:
                # The last packet is an EOF; a row that ends like one is not among ours.
                if data[-_EOF_BYTES:][:3] == b"\x05\x00\x00" and data[-5] == 0xFE:
                    break


def _cursor(database: MysqlDatabase) -> None:
    with database.connect() as connection, connection.cursor(SSCursor) as cursor:
        cursor.execute("select * from bench")
        for _ in cursor:
            pass


def _arrow(database: MysqlDatabase, rows: int) -> None:
    with SnapshotBench(database).opened("bench") as snapshot:
        read = sum(batch.row_count for chunk in snapshot.chunks for batch in snapshot.read(chunk))
    assert read == rows


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, *sys.argv[2:3])
