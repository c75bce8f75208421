"""A random workload while the daemon is killed again and again, into a lake in a bucket and a mirror in
Postgres: equal, value by value.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.buckets import BucketLake
from tests.support.campaign import FULL_KILLS, FULL_SECONDS, SHORT_KILLS, SHORT_SECONDS, kill_repeatedly
from tests.support.equality import assert_all_equal
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.workload.postgres import PostgresWorkload


@pytest.mark.parametrize(
    ("seconds", "kills"),
    [
        (SHORT_SECONDS, SHORT_KILLS),
        pytest.param(FULL_SECONDS, FULL_KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_random_workload_into_a_bucket_and_a_warehouse_survives_kill9(
    database15: Database,
    database18: Database,
    tmp_path: Path,
    bucket_lake: BucketLake,
    seconds: float,
    kills: int,
) -> None:
    workload = PostgresWorkload(database18, seed=2026)
    pipeline = Pipeline(database18, tmp_path)
    pipeline.mirror_into(database15)
    pipeline.configure_sink("lake", **bucket_lake.options().model_dump(exclude_unset=True))
    kill_repeatedly(workload, pipeline, seconds, kills, seed=2026)
    bucket_lake.download(pipeline.lake)
    assert_all_equal(workload, pipeline.lake, pipeline.target)
    assert bucket_lake.uploads() == []
    assert not [key for key in bucket_lake.keys("_cdc/") if "/staging/" in key]
