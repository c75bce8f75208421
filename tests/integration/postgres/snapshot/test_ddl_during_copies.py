"""The daemon copies while an application writes and alters: nobody waits for its end, and it is exact."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.pipeline import SOURCE, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

ROWS = 60_000
# The copy of the big table crawls, so that it lasts as long as the statements beside it: only what reads that
# table asks for so many bytes.
CRAWL_SECONDS = 0.1
CRAWL_AFTER_BYTES = 1 << 20
GAVE_WAY = "the snapshot gave way to a statement that waits for it"
SETUP = (
    "create schema app",
    *(f"create table app.{name} (id int primary key, n int, note text)" for name in ("first", "big", "last")),
    "insert into app.first select g, g, 'x' from generate_series(1, 100) g",
    f"insert into app.big select g, g, repeat(md5(g::text), 8) from generate_series(1, {ROWS}) g",
    "insert into app.last select g, g, 'x' from generate_series(1, 100) g",
    "analyze",
)
# In this order: what leaves finished chunks good, then a rewrite, which starts the table again.
ALTERS = (
    "alter table app.big alter n set default 7",
    "alter table app.first add extra int default 3",
    "alter table app.last add extra int",
    "alter table app.big add extra text default 'new'",
    "create index concurrently on app.big (n)",
    "vacuum full app.big",
    "alter table app.big alter n type bigint",
)


def write(database: Database, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    with database.connect() as connection:
        while not stop.wait(0.005):
            key = chance.randrange(ROWS)
            table = chance.choice(["app.big", "app.big", "app.first", "app.last"])
            statement, parameters = chance.choice(
                [
                    (
                        f"insert into {table} (id, note) values (%s, 'in') on conflict do nothing",
                        [key + ROWS],
                    ),
                    (f"update {table} set n = %s where id = %s", [key, key]),
                    (f"delete from {table} where id = %s", [key]),
                    (f"update {table} set id = id + {10 * ROWS} where id = %s", [key]),
                ]
            )
            connection.execute(statement.encode(), parameters)


def alter_while_tables_are_copied(database: Database, pipeline: Pipeline, process: CdcProcess) -> None:
    def is_copying() -> bool:
        process.assert_running()
        source = pipeline.status().get("sources", {}).get(SOURCE, {})
        return bool(source.get("waiting_tables") and source.get("snapshot"))

    wait_until(is_copying, "the copy to begin")
    with database.connect() as application:
        application.execute("set lock_timeout = '60s'")
        for statement in ALTERS:
            application.execute(statement.encode())
    # Between two snapshots there is none for a moment.
    wait_until(is_copying, "the copy to go on")


@pytest.mark.halved
def test_ddl_goes_through_while_tables_are_copied_and_the_copy_is_exact(
    database: Database, tmp_path: Path
) -> None:
    database.execute(*SETUP)
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(database, seed, stop)) for seed in range(2)]
    with Proxy(database.server.port) as proxy:
        pipeline = Pipeline(database, tmp_path, url=database.dsn(port=str(proxy.port), sslmode="disable"))
        proxy.delay(CRAWL_SECONDS, "to_client", after_bytes=CRAWL_AFTER_BYTES)
        for thread in writers:
            thread.start()
        with pipeline.start() as process:
            try:
                alter_while_tables_are_copied(database, pipeline, process)
            finally:
                stop.set()
                for thread in writers:
                    thread.join()
            assert GAVE_WAY in process.log_text
            proxy.delay(0)
            process.terminate()
        # A change of each table shows its last columns; the rewritten rows are copied again.
        database.execute(*(f"insert into app.{name} (id) values (-1)" for name in ("first", "big", "last")))
        pipeline.catch_up()
    for name in ("first", "big", "last"):
        source = read_source(database, f"app.{name}", ["id"])
        assert differences(source, read_mirror(pipeline.mirror, source)) == [], name
        assert differences(source, replay(read_lake(pipeline.lake, source), source)) == [], name
