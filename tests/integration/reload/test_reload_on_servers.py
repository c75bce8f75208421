"""Reloads on real servers while rows change: what is there equals the source at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality import assert_all_equal, mysql, postgres
from tests.support.equality.lake import read_lake, replay
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until
from tests.support.workload.postgres import PostgresWorkload


def reload(pipeline: Pipeline) -> str:
    result = run_cdc("reload", cwd=pipeline.folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def assert_equal(pipeline: Pipeline, source: SourceTable) -> None:
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
    assert differences(source, held) == []


@pytest.mark.halved
def test_reloads_under_load_lose_and_double_nothing(database: Database, tmp_path: Path) -> None:
    workload, pipeline = PostgresWorkload(database, seed=11), Pipeline(database, tmp_path)
    with pipeline.start() as daemon, workload:
        pipeline.wait_until_streaming(daemon, copied=False)
        for number in range(3):
            pipeline.configure(heartbeat=f"{number + 1}s")
            pipeline.configure_sink("warehouse", flush={"interval": f"{number + 1}00ms"})
            if number == 1:
                pipeline.add_duckdb("second")
            if number == 2:
                pipeline.remove_sink("second")
            assert "sinks.warehouse changed (flush)" in reload(pipeline)
            workload.check()
        daemon.assert_running()
    pipeline.catch_up()
    assert_all_equal(workload, pipeline.lake, pipeline.mirror)


def test_tables_and_masks_change_in_a_postgres_source_that_runs(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create schema app",
        "create table app.t (id int primary key, v text)",
        "create table app.u (id int primary key, v text)",
        "insert into app.t select i, 'a' from generate_series(1, 20) i",
        "insert into app.u values (1, 'a')",
    )
    pipeline = Pipeline(database, tmp_path, tables=["app.t"])
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        pipeline.configure(tables=["app.*"])
        assert "sources.shop changed (tables)" in reload(pipeline)
        database.execute("insert into app.u values (2, 'b')", "delete from app.t where id = 1")
        pipeline.wait_until_streaming(daemon)
        pipeline.wait_until_delivered(daemon)
        assert daemon.terminate() == 0
    for name in ("t", "u"):
        assert_equal(pipeline, postgres.read_source(database, f"app.{name}", ("id",)))


def test_another_slot_and_another_database_are_refused(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create schema app", "create table app.t (id int primary key)", "insert into app.t values (1)"
    )
    pipeline = Pipeline(database, tmp_path)
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        other = database.url.rpartition("/")[0] + "/postgres"
        for options, words in (
            ({"slot": "other"}, "sources.shop.slot: cannot change while the daemon runs"),
            ({"slot": None, "url": other}, "this is not the database that the log was written from"),
            ({"url": database.url.replace("@", "x@")}, "sources.shop"),
        ):
            pipeline.configure(**options)
            result = run_cdc("reload", cwd=pipeline.folder)
            assert result.returncode != 0
            assert words in result.stderr
        pipeline.configure(url=database.url)
        database.execute("insert into app.t values (2)")
        pipeline.wait_until_delivered(daemon)
        assert "has not changed" in reload(pipeline)
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.t") == 2


def test_a_sink_that_comes_gets_all_and_one_that_goes_holds_no_log(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        "create schema app", "create table app.t (id int primary key)", "insert into app.t values (1)"
    )
    pipeline = Pipeline(database, tmp_path)
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        second = pipeline.add_duckdb("second")
        assert "sinks.second added" in reload(pipeline)
        database.execute("insert into app.t values (2)")
        pipeline.wait_until_delivered(daemon)
        pipeline.remove_sink("second")
        assert "sinks.second removed" in reload(pipeline)
        database.execute("insert into app.t values (3)")
        wait_until(lambda: "second" not in pipeline.status()["sinks"], "the sink to be gone")
        pipeline.wait_until_delivered(daemon)
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.t") == 3
    pipeline.mirror = second
    assert pipeline.mirror_rows("app.t") == 2


def test_tables_change_in_a_mysql_source_that_runs(mysql_database: MysqlDatabase, tmp_path: Path) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        "create table t (id int primary key, v text)",
        "create table u (id int primary key, v text)",
        "insert into t values (1, 'a'), (2, 'a')",
        "insert into u values (1, 'a')",
    )
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.t"])
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        pipeline.configure(tables=[f"{name}.*"], server_id=4_000_000_001)
        assert "sources.shop changed (tables, server_id)" in reload(pipeline)
        mysql_database.execute("insert into u values (2, 'b')", "delete from t where id = 1")
        pipeline.wait_until_streaming(daemon)
        assert daemon.terminate() == 0
    pipeline.catch_up()
    for table in ("t", "u"):
        assert_equal(pipeline, mysql.read_source(server, f"{name}.{table}", ("id",)))
