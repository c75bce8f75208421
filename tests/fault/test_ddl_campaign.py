"""Random migrations under random writers while the daemon is killed again and again: whatever the stream
doesn't tell, mirror and lake equal the source in the end.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.campaign import live
from tests.support.migrations.mysql import recipes as mysql_recipes
from tests.support.migrations.mysql.migrator import MysqlMigrator, MysqlWriter, followed_tables
from tests.support.migrations.postgres import recipes
from tests.support.migrations.postgres.migrator import PostgresMigrator, PostgresWriter
from tests.support.migrations.threads import Following
from tests.support.migrations.verdict import assert_mysql_equal, assert_postgres_equal
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

WRITERS = 4
SHORT_SECONDS, SHORT_KILLS = 4.0, 2
FULL_SECONDS, FULL_KILLS = 300.0, 10
PUBLICATION = "cdc_shop"


def migrate(threads: Sequence[Following], pipeline: Pipeline, seconds: float, kills: int, seed: int) -> None:
    """Run the threads for that long, with that many kills, then catch up."""
    rng = random.Random(seed)
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    killed = 0
    try:
        while time.monotonic() < deadline or killed < kills or not all(thread.done for thread in threads):
            with pipeline.start() as daemon:
                live(pipeline, daemon, rng, until_streaming=killed % 2 == 0)
                threading.Event().wait(rng.uniform(0, seconds / kills))
                daemon.assert_running()
            killed += 1
            _check(threads)
    finally:
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(DEFAULT_TIMEOUT_SECONDS)
    _check(threads)
    pipeline.catch_up()


def _check(threads: Sequence[Following]) -> None:
    for thread in threads:
        if thread.error is not None:
            message = f"{thread.name} stopped: {thread.error}"
            raise AssertionError(message) from thread.error


def campaign(database: Database, folder: Path, ddl: str, seconds: float, kills: int, seed: int) -> None:
    database.execute(*recipes.CREATE)
    options = {"ddl": ddl}
    pipeline = Pipeline(database, folder, tables=recipes.SELECTED, source_options=options)
    writers = [PostgresWriter(database, seed * 100 + i) for i in range(WRITERS)]
    migrator = PostgresMigrator(database, PUBLICATION, seed * 100 + WRITERS)
    migrate([*writers, migrator], pipeline, seconds, kills, seed)
    assert_postgres_equal(
        database, recipes.SCHEMAS, pipeline.lake, pipeline.mirror, lambda name: recipes.HIDDEN in name
    )


def test_random_migrations_leave_the_copies_equal_under_the_watch(
    database15: Database, tmp_path: Path
) -> None:
    campaign(database15, tmp_path, "watch", SHORT_SECONDS, SHORT_KILLS, seed=2026)


def test_random_migrations_leave_the_copies_equal_with_event_triggers(
    database18: Database, tmp_path: Path
) -> None:
    campaign(database18, tmp_path, "trigger", SHORT_SECONDS, SHORT_KILLS, seed=2026)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_minutes_of_random_migrations_leave_the_copies_equal(
    database: Database, tmp_path: Path, ddl: str, seed: int
) -> None:
    campaign(database, tmp_path, ddl, FULL_SECONDS, FULL_KILLS, seed)


def mysql_campaign(server: MysqlServer, folder: Path, seconds: float, kills: int, seed: int) -> None:
    server.execute(*mysql_recipes.CREATE)
    pipeline = MysqlPipeline(server, folder, tables=mysql_recipes.SELECTED)
    writers = [MysqlWriter(server, seed * 100 + i) for i in range(WRITERS)]
    migrator = MysqlMigrator(server, seed * 100 + WRITERS)
    migrate([*writers, migrator], pipeline, seconds, kills, seed)
    tables = followed_tables(server)
    assert_mysql_equal(server, tables, pipeline.lake, pipeline.mirror, migrator)


# As these servers come: MariaDB's binlog then has no names of columns.
DEFAULT_METADATA = {"mysql9": "MINIMAL", "mariadb10": "NO_LOG"}


@pytest.mark.halved
@pytest.mark.parametrize("name", DEFAULT_METADATA)
def test_random_mysql_migrations_leave_the_copies_equal(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory({"binlog-row-metadata": DEFAULT_METADATA[name]}, name)
    mysql_campaign(server, tmp_path, SHORT_SECONDS, SHORT_KILLS, seed=2026)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", DEFAULT_METADATA)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("metadata", ["default", "FULL"])
def test_five_minutes_of_random_mysql_migrations_leave_the_copies_equal(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str, seed: int, metadata: str
) -> None:
    chosen = DEFAULT_METADATA[name] if metadata == "default" else metadata
    server = mysql_server_factory({"binlog-row-metadata": chosen}, name)
    mysql_campaign(server, tmp_path, FULL_SECONDS, FULL_KILLS, seed)
