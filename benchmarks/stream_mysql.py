"""MySQL binlog → log → Parquet, beside pymysqlreplication iterating the same events with no sink at all, and
`mysqlbinlog -v` where that program is found.

Rows of 10 columns in transactions of 100 rows, then transactions of one row, one table. "Less start
and end" is without what a run with nothing to do takes.
Run: python -m benchmarks.stream_mysql [rows] [one-row transactions] [mysql9|mariadb10|…]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

from benchmarks.harness import HEADER, Taken, measured, run_once, show
from cdc.cli.allocators import bound_resident_memory
from tests.support.mysql.server import MysqlDatabase, MysqlServer

TABLE = """create table bench (id bigint primary key, customer bigint not null, quantity int not null,
    price decimal(12, 2) not null, weight double not null, name varchar(40) not null,
    email varchar(60) not null,
    paid boolean not null, placed datetime(6) not null, day date not null)"""
NUMBERS = "create table numbers (n int primary key)"
# One statement a transaction, so that many rows share an event: the peer's best case.
FILL = """create procedure fill(transactions int, rows_each int, start_at bigint) begin
    declare t bigint default 0;
    while t < transactions do
        insert into bench select i, i % 5000, i % 9, (i % 10000) / 100.0, i / 7.0, concat('name ', i),
            concat('user', i, '@example.com'), i % 2 = 0, timestamp'2026-01-01 00:00:00' + interval i second,
            date'2026-01-01' + interval (i % 365) day
            from (select start_at + t * rows_each + n i from numbers where n <= rows_each) source;
        set t = t + 1;
    end while;
end"""
CONFIG = """
state_dir: {folder}/state
sources:
  bench: {{type: mysql, url: "{url}", tables: ["{database}.bench"]}}
sinks:
  copy: {{type: parquet, from: [bench], url: {folder}/lake, flush: {{interval: 30s}}}}
"""


def main(rows: int = 3_000_000, transactions: int = 300_000, server_name: str = "mysql9") -> None:
    """Fill, measure the peer, measure ourselves, print."""
    bound_resident_memory()
    server = MysqlServer(server_name, {"binlog-row-metadata": "FULL"}).start()
    try:
        database = server.create_database()
        numbers = ", ".join(f"({n})" for n in range(1, 101))
        database.execute(TABLE, NUMBERS, f"insert into numbers values {numbers}", FILL)
        with tempfile.TemporaryDirectory(prefix="cdc-bench-") as folder:
            config = Path(folder) / "cdc.yaml"
            config.write_text(CONFIG.format(folder=folder, url=database.url, database=database.name))
            run_once(config)
            print(f"{server_name}: {rows:,} rows in transactions of 100\n{HEADER}")
            _measure(server, database, config, (rows // 100, 100, 0))
            print(f"{server_name}: {transactions:,} transactions of one row")
            _measure(server, database, config, (transactions, 1, rows))
    finally:
        server.destroy()


def _measure(server: MysqlServer, database: MysqlDatabase, config: Path, work: tuple[int, int, int]) -> None:
    rows = work[0] * work[1]
    start = server.position()
    database.execute(f"call fill({work[0]}, {work[1]}, {work[2]})")
    dumped = _mysqlbinlog(server, start)
    peer = measured(lambda: _peer(server, database, start, rows))
    limit = dumped or peer
    if dumped is not None:
        show("mysqlbinlog -v to /dev/null", rows, dumped)
    show("pymysqlreplication, no sink", rows, peer, limit)
    whole = run_once(config)
    show("cdc, whole run", rows, whole, limit)
    show("cdc, less start and end", rows, whole.less(run_once(config)), limit)


def _peer(server: MysqlServer, database: MysqlDatabase, start: tuple[str, int], rows: int) -> None:
    reader = BinLogStreamReader(
        connection_settings=_login(server),
        server_id=4711,
        only_events=[WriteRowsEvent],
        only_schemas=[database.name],
        log_file=start[0],
        log_pos=start[1],
        resume_stream=True,
    )
    seen = 0
    for event in reader:
        seen += len(event.rows)
        if seen >= rows:
            break
    reader.close()


def _mysqlbinlog(server: MysqlServer, start: tuple[str, int]) -> Taken | None:
    program = shutil.which("mysqlbinlog") or shutil.which("mariadb-binlog")
    if program is None:
        return None
    login = _login(server)
    options = [f"--host={login['host']}", f"--port={login['port']}", f"--user={login['user']}"]
    command = [program, "-v", "--read-from-remote-server", *options, f"--start-position={start[1]}", start[0]]
    nowhere = subprocess.DEVNULL
    return measured(lambda: subprocess.run(command, check=True, stdout=nowhere, stderr=nowhere))


def _login(server: MysqlServer) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": server.port, "user": "root", "passwd": ""}


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(*(int(a) for a in arguments[:2]), *arguments[2:])  # type: ignore[arg-type]
