"""A random workload on every kind of table into a Postgres database while the daemon is killed again and
again: nothing is lost, nothing doubled, value by value. The short form is that of the bucket's lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.campaign import FULL_KILLS, FULL_SECONDS, campaign
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database, PostgresServer
from tests.support.server_pool import lend
from tests.support.workload.mysql import MysqlWorkload
from tests.support.workload.postgres import PostgresWorkload
from tests.support.workload.run import SHORT_PAUSE_SECONDS


@pytest.fixture
def target(postgres18: PostgresServer) -> Iterator[Database]:
    """A database on another server than the source's."""
    yield from lend(postgres18, postgres18.create_database)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_minute_of_random_workload_into_a_warehouse_survives_ten_kills(
    database15: Database, target: Database, tmp_path: Path, seed: int
) -> None:
    workload = PostgresWorkload(database15, seed, pause_seconds=SHORT_PAUSE_SECONDS)
    pipeline = Pipeline(database15, tmp_path)
    pipeline.mirror_into(target)
    campaign(workload, pipeline, FULL_SECONDS, FULL_KILLS, seed)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_minute_of_random_mysql_workload_into_a_warehouse_survives_ten_kills(
    mysql_server_factory: MysqlFactory, target: Database, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory(None, name)
    pipeline = MysqlPipeline(server, tmp_path)
    pipeline.mirror_into(target, nul="replace")
    campaign(MysqlWorkload(server, seed=12), pipeline, FULL_SECONDS, FULL_KILLS, seed=12)
