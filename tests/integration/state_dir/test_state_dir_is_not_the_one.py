"""A state_dir that is emptied, replaced or copied: source and sinks tell it from the right one, and stay as
they are.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.errors import SinkFenced, SinkRefused
from cdc.spi import Sink, SinkContext
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options as DuckDBOptions
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions
from tests.support.equality import mysql, postgres
from tests.support.equality.tables import differences, read_mirror
from tests.support.logs import flip_head, newest
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

OTHER_LOG = "was filled from another log"


def move_away(folder: Path) -> Path:
    return folder.rename(folder.with_name(f"{folder.name}.away"))


def put_back(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(f"{folder.name}.away").rename(folder)


def test_an_emptied_state_dir_leaves_slot_and_sinks_alone_on_postgres(
    database15: Database, tmp_path: Path
) -> None:
    database15.execute(
        "create schema app",
        "create table app.t (id int primary key)",
        "insert into app.t values (1), (2)",
    )
    pipeline = Pipeline(database15, tmp_path)
    pipeline.catch_up()
    state = tmp_path / "state"
    move_away(state)
    database15.execute("insert into app.t values (3)")
    confirmed = "select confirmed_flush_lsn from pg_replication_slots where slot_name = 'cdc_shop'"
    before = database15.value(confirmed)
    result = pipeline.run_once()
    assert result.returncode == 1
    assert "belongs to another log" in result.stderr
    assert "cdc run --adopt-slot shop" in result.stderr
    checked = run_cdc("check", cwd=tmp_path)
    assert checked.returncode == 1
    assert "belongs to another log" in checked.stdout
    assert database15.value(confirmed) == before
    put_back(state)
    # A copy that is started again after the original continued is detected, too.
    shutil.copytree(state, tmp_path / "copy")
    pipeline.catch_up()
    source = postgres.read_source(database15, "app.t", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    move_away(state)
    (tmp_path / "copy").rename(state)
    # However often it is started, and though nothing was changed since that the slot could tell.
    for _ in range(2):
        result = pipeline.run_once()
        assert result.returncode == 1
        assert "a copy of this state_dir" in result.stderr
    assert "a copy of this state_dir" in run_cdc("check", cwd=tmp_path).stdout


def test_a_copied_state_dir_that_waited_for_the_slot_is_still_refused(
    database15: Database, tmp_path: Path
) -> None:
    database15.execute("create schema app", "create table app.t (id int primary key)")
    (tmp_path / "first").mkdir()
    first = Pipeline(database15, tmp_path / "first")
    first.catch_up()
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = tmp_path / "second"
    # The first start of the copy fails because the slot is in use, which says nothing about its owner.
    with first.start() as daemon:
        first.wait_until_streaming(daemon)
        waiting = run_cdc("run", "--once", "--timeout", "3s", cwd=second)
        assert waiting.returncode == 1
        assert "in use" in waiting.stderr, waiting.stderr
        assert daemon.terminate() == 0
    for _ in range(2):
        refused = run_cdc("run", "--once", cwd=second)
        assert refused.returncode == 1
        assert "a copy of this state_dir" in refused.stderr, refused.stderr
    first.catch_up()


def test_a_damaged_log_without_a_backup_is_replaced_as_its_error_says(
    database15: Database, tmp_path: Path
) -> None:
    database15.execute(
        "create schema app", "create table app.t (id int primary key)", "insert into app.t values (1)"
    )
    pipeline = Pipeline(database15, tmp_path)
    pipeline.catch_up()
    log = tmp_path / "state" / "log" / "shop"
    flip_head(newest(log))
    database15.execute("insert into app.t values (2)")
    assert f"remove {log}, give each sink of the source a new" in pipeline.run_once().stderr
    shutil.rmtree(log)
    shutil.rmtree(pipeline.lake)
    pipeline.mirror.unlink()
    result = run_cdc("run", "--once", "--adopt-slot", "shop", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    database15.execute("insert into app.t values (3)")
    pipeline.catch_up()
    source = postgres.read_source(database15, "app.t", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []


def test_an_emptied_state_dir_leaves_sinks_alone_on_mysql(
    mysql9_database: MysqlDatabase, tmp_path: Path
) -> None:
    mysql9_database.execute("create table t (id int primary key)", "insert into t values (1), (2)")
    name = mysql9_database.name
    pipeline = MysqlPipeline(mysql9_database.server, tmp_path, url=mysql9_database.url, tables=[f"{name}.*"])
    pipeline.catch_up()
    state = tmp_path / "state"
    move_away(state)
    result = pipeline.run_once()
    assert result.returncode == 1
    # Each sink says so in the log and at the end.
    assert result.stderr.count(OTHER_LOG) == 2, result.stderr
    put_back(state)
    mysql9_database.execute("insert into t values (3)")
    pipeline.catch_up()
    source = mysql.read_source(mysql9_database.server, f"{name}.t", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []


@pytest.fixture(params=["duckdb", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, folder: Path, context: SinkContext) -> Sink:
    if kind == "duckdb":
        return DuckDBSink(DuckDBOptions(path=folder / "w.duckdb"), context)
    return ParquetSink(ParquetOptions(url=str(folder / "lake")), context)


def test_a_sink_tells_a_lost_state_dir_from_a_newer_daemon(kind: str, tmp_path: Path) -> None:
    t = table("public.t", {"id": pa.int64()})

    def opened(epoch: int, log_id: str) -> Sink:
        context = sink_context("warehouse", epoch)
        sink = make(kind, tmp_path, SinkContext("warehouse", epoch, context.log, context.count, log_id))
        try:
            sink.prepare("shop")
        except (SinkRefused, SinkFenced):
            sink.close()
            raise
        return sink

    # One that holds nothing is anybody's.
    opened(9, "another-log").close()
    sink = opened(5, "this-log")
    sink.apply(delivery([changes(t, [("c", {"id": 1})])], first=0, next=1))
    sink.close()
    with pytest.raises(SinkRefused, match=OTHER_LOG):
        opened(1, "emptied-state-dir")
    with pytest.raises(SinkRefused, match=OTHER_LOG):
        opened(6, "another-log")
    with pytest.raises(SinkFenced, match=r"epoch 5, this process has epoch 4: a newer daemon on a copy"):
        opened(4, "this-log")
    opened(6, "this-log").close()
