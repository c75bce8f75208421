"""The campaign of `test_kill9_campaign` on MySQL and MariaDB: nothing is lost, nothing doubled, with XA
transactions and swapped tables.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.campaign import FULL_KILLS, FULL_SECONDS, SHORT_KILLS, SHORT_SECONDS, campaign
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.pipeline import MysqlPipeline
from tests.support.workload.mysql import MysqlWorkload

SERVERS = ["mysql9", "mariadb10"]


@pytest.mark.halved
@pytest.mark.parametrize("name", SERVERS)
def test_random_mysql_workload_survives_kill9(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory(None, name)
    workload = MysqlWorkload(server, seed=2026)
    campaign(workload, MysqlPipeline(server, tmp_path), SHORT_SECONDS, SHORT_KILLS, seed=2026)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*SERVERS, "mariadb11"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_minute_of_random_mysql_workload_survives_ten_kills(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str, seed: int
) -> None:
    server = mysql_server_factory(None, name)
    workload = MysqlWorkload(server, seed)
    campaign(workload, MysqlPipeline(server, tmp_path), FULL_SECONDS, FULL_KILLS, seed)
