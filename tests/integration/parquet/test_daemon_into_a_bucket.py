"""The example of a lake in a bucket, and a run without a file, as users start them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from cdc.testing.servers.s3 import REGION
from tests.support.buckets import BUCKET, BucketLake
from tests.support.postgres.server import Database
from tests.support.processes import ROOT, run_cdc


def fill(database: Database) -> None:
    database.execute("create table orders (id int primary key, note text)")
    database.execute("insert into orders select i, 'note ' || i from generate_series(1, 20) i")


def run(*arguments: str, folder: Path, environment: Mapping[str, str]) -> str:
    done = run_cdc(*arguments, cwd=folder, environment=environment)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-4000:]
    return done.stdout


def ids(lake: BucketLake) -> list[int]:
    columns = [file.read(["id"]).column(0) for file in lake.files()]
    return sorted(value for column in columns for value in column.to_pylist())


def test_the_example_is_checked_and_fills_the_bucket(
    database18: Database, tmp_path: Path, bucket_lake: BucketLake
) -> None:
    fill(database18)
    shutil.copy(ROOT / "config/examples/parquet-on-s3.yaml", tmp_path / "cdc.yaml")
    place = {"LAKE_BUCKET": BUCKET, "LAKE_REGION": REGION}
    environment = {**bucket_lake.server.environment, "SHOP_URL": database18.url, **place}
    checked = orjson.loads(run("check", "--json", folder=tmp_path, environment=environment))
    assert f"s3://{BUCKET}/shop can be written; commits are exactly once per table" in str(checked)
    run("run", "--once", folder=tmp_path, environment=environment)
    lake = replace(bucket_lake, prefix="shop")
    assert ids(lake) == list(range(1, 21))
    assert all("/staging/" not in key and "/check-" not in key for key in lake.keys("_cdc/"))


def test_a_run_without_a_file_fills_the_bucket(
    database18: Database, tmp_path: Path, bucket_lake: BucketLake
) -> None:
    fill(database18)
    environment = {**bucket_lake.server.environment, "SHOP_URL": database18.url}
    run("run", "env:SHOP_URL", "--to", bucket_lake.url, "--once", folder=tmp_path, environment=environment)
    assert ids(bucket_lake) == list(range(1, 21))
