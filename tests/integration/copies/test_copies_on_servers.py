"""Copies on real servers: a new sink on a trimmed log equals the source, one sink's copy touches no other
sink, and readers of a mirror never see a table that is half copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import duckdb
import pyarrow.parquet as pq
import pytest

from cdc.log import SegmentedLog
from cdc.model import ChangeSet
from cdc.spi.state import CopyRequest
from cdc.state import LocalState
from cdc.testing.events import append
from tests.support.equality import mysql, postgres
from tests.support.equality.lake import read_lake, replay
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until

ROWS = 3000
KEYED = "create table orders (id bigint primary key, note varchar(40), body text)"
KEYLESS = "create table bits (id bigint, note varchar(40))"


def trim(pipeline: Pipeline) -> None:
    """Remove all that the log can spare, as retention does in time."""
    with closing(SegmentedLog(pipeline.folder / "state" / "log" / "shop", segment_bytes=1)) as log:
        assert log.end is not None
        append(log, ChangeSet((), log.end.position))
        append(log, ChangeSet((), log.end.position))
        assert log.trim(log.end.next, max_bytes=0).start > 0


def requests(pipeline: Pipeline) -> list[CopyRequest]:
    with closing(LocalState(pipeline.folder / "state").reader()) as state:
        return state.unfinished_copies()


def ops_of_new_files(pipeline: Pipeline, before: set[Path]) -> set[str]:
    """The operations in the lake's files that were not there before; the old ones must still be."""
    files = set(pipeline.lake.rglob("*.parquet"))
    assert before <= files
    return {op for path in files - before for op in pq.read_table(path).column("_cdc_op").to_pylist()}


@contextmanager
def writing(step: Callable[[int], None]) -> Iterator[None]:
    """Calls `step` with growing numbers, from another thread."""
    halt = threading.Event()

    def run() -> None:
        number = 0
        while not halt.wait(0.01):
            number += 1
            step(number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()


class Watcher:
    """Reads the published copy of a mirror again and again; `counts` are the numbers of rows that it saw."""

    def __init__(self, path: Path, table: str) -> None:
        self._path, self._table = path, table
        self.counts: list[int] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._halt.wait(0.05):
            if self._path.exists():
                with duckdb.connect(str(self._path), read_only=True) as connection:
                    (found,) = connection.execute(f"select count(*) from {self._table}").fetchall()
                self.counts.append(int(found[0]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join()


def copies_arrive(
    pipeline: Pipeline,
    schema: str,
    write: Callable[[int], None],
    read: Callable[[], list[SourceTable]],
) -> None:
    # GIVEN sinks that are complete, and a log that has lost its beginning
    published = pipeline.folder / "published.duckdb"
    pipeline.configure_sink("warehouse", publish={"path": str(published), "interval": "100ms"})
    pipeline.catch_up()
    trim(pipeline)
    files = set(pipeline.lake.rglob("*.parquet"))
    # WHEN a sink is added, and the daemon is killed in the middle of its copies
    late = pipeline.add_duckdb("late")
    with writing(write):
        with pipeline.start({"CDC_FAILPOINT": "snapshot.rows-durable=2"}) as daemon:
            daemon.wait()
        with pipeline.start() as daemon:
            pipeline.wait_until_streaming(daemon)
            wait_until(lambda: pipeline.sink_status("late").get("rows", 0) > ROWS, "the copies")
            wait_until(published.exists, "the published copy")
            # AND one table is copied again into one mirror
            with Watcher(published, f"{schema}.orders") as watcher:
                asked = run_cdc("snapshot", f"{schema}.orders", "--sink", "warehouse", cwd=pipeline.folder)
                assert asked.returncode == 0, asked.stderr
                wait_until(lambda: not requests(pipeline), "the end of the request")
                seen = len(watcher.counts)
                wait_until(lambda: len(watcher.counts) > seen + 5, "readers of the new rows")
            daemon.terminate()
    pipeline.catch_up()
    # THEN all sinks equal the source, the lake got changes only, and readers saw whole tables only
    assert ops_of_new_files(pipeline, files) <= {"c", "u", "d"}
    assert min(watcher.counts) >= ROWS
    for source in read():
        assert differences(source, read_mirror(late, source)) == []
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []
    with duckdb.connect(str(pipeline.mirror), read_only=True) as connection:
        assert connection.execute("select count(incomplete_since) from _cdc.tables").fetchall() == [(0,)]


@pytest.mark.halved(other=True)
def test_copies_arrive_whole_and_alone_on_postgres(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create schema app",
        "set search_path = app",
        KEYED,
        KEYLESS,
        "alter table bits replica identity full",
        f"insert into orders select i, 'old', repeat('x', 3000) || i from generate_series(1, {ROWS}) i",
        "insert into bits select i % 7, 'same' from generate_series(1, 50) i",
    )

    def write(number: int) -> None:
        database.execute(
            f"insert into app.orders values ({number + 10_000}, 'new', 'b') on conflict do nothing",
            f"update app.orders set note = 'n{number}' where id = {number % ROWS + 1}",
            f"insert into app.bits values ({number % 5}, 'same')",
        )

    def read() -> list[SourceTable]:
        return [
            postgres.read_source(database, "app.orders", ("id",)),
            postgres.read_source(database, "app.bits", ()),
        ]

    copies_arrive(Pipeline(database, tmp_path), "app", write, read)


@pytest.mark.halved
def test_copies_arrive_whole_and_alone_on_mysql(mysql_database: MysqlDatabase, tmp_path: Path) -> None:
    server, name = mysql_database.server, mysql_database.name
    numbers = ", ".join(f"({i}, 'old', repeat('x', 300))" for i in range(1, ROWS + 1))
    mysql_database.execute(
        KEYED,
        KEYLESS,
        f"insert into orders values {numbers}",
        "insert into bits values " + ", ".join(f"({i % 7}, 'same')" for i in range(50)),
    )

    def write(number: int) -> None:
        mysql_database.execute(
            f"insert ignore into orders values ({number + 10_000}, 'new', 'b')",
            f"update orders set note = 'n{number}' where id = {number % ROWS + 1}",
            f"insert into bits values ({number % 5}, 'same')",
        )

    def read() -> list[SourceTable]:
        return [
            mysql.read_source(server, f"{name}.orders", ("id",)),
            mysql.read_source(server, f"{name}.bits", ()),
        ]

    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*"])
    copies_arrive(pipeline, name, write, read)
