"""A random workload on every kind of table while the daemon is killed again and again: nothing is lost,
nothing doubled.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.campaign import FULL_KILLS, FULL_SECONDS, SHORT_KILLS, SHORT_SECONDS, campaign
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.workload.postgres import PostgresWorkload
from tests.support.workload.run import SHORT_PAUSE_SECONDS


@pytest.mark.halved
def test_random_workload_survives_kill9(database: Database, tmp_path: Path) -> None:
    workload = PostgresWorkload(database, seed=2026)
    campaign(workload, Pipeline(database, tmp_path), SHORT_SECONDS, SHORT_KILLS, seed=2026)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_minute_of_random_workload_survives_ten_kills(database: Database, tmp_path: Path, seed: int) -> None:
    workload = PostgresWorkload(database, seed, pause_seconds=SHORT_PAUSE_SECONDS)
    campaign(workload, Pipeline(database, tmp_path), FULL_SECONDS, FULL_KILLS, seed)
