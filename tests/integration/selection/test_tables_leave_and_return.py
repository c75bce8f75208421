"""A table that is out of `tables` for a while is copied again when it returns: mirror and lake equal the
source.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.equality import mysql, postgres
from tests.support.equality.lake import read_lake, replay
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.processes import run_cdc

LEFT = "a table is no longer selected"
GONE = "a table no longer exists under its name"


def assert_equal(pipeline: Pipeline, source: SourceTable) -> None:
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
    assert differences(source, held) == []


def run_without(pipeline: Pipeline, tables: list[str], *, code: int = 0) -> None:
    pipeline.configure(tables=tables)
    result = run_cdc("run", "--once", cwd=pipeline.folder)
    assert result.returncode == code, result.stderr
    assert result.stderr.count(LEFT) == 1, result.stderr
    assert result.stderr.count(GONE) == 1, result.stderr


def require_renamed(pipeline: Pipeline, old: str, now: str) -> None:
    (refused,) = pipeline.status()["sources"]["shop"]["refused"]
    assert refused["table"] == old
    assert f"{old} was renamed to {now}, which `tables` does not select" in refused["message"]
    assert refused["remedy"].startswith(f"Add to tables: {now}, or")


@pytest.mark.halved
def test_a_table_out_of_the_selection_for_a_while_is_copied_again_on_postgres(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        "create schema app",
        "create table app.t (id int primary key, v text)",
        "create table app.u (id int primary key, v text)",
        "insert into app.t select i, 'a' from generate_series(1, 20) i",
        "insert into app.u values (1, 'a')",
        "create table app.g (id int primary key, v text)",
        "insert into app.g values (1, 'a')",
    )
    pipeline = Pipeline(database, tmp_path)
    pipeline.catch_up()
    database.execute("delete from app.t where id < 3", "update app.u set v = 'c'", "drop table app.g")
    run_without(pipeline, ["app.*", "!app.t"])
    database.execute(
        "delete from app.t where id = 3",
        "update app.t set v = 'b'",
        "insert into app.t values (21, 'new')",
    )
    pipeline.configure(tables=["app.*"])
    database.execute(
        "update app.t set v = 'd' where id = 10",
        "create table app.g (v int, id int primary key)",
        "insert into app.g values (2, 3)",
    )
    result = pipeline.run_once()
    assert (result.returncode, GONE in result.stderr) == (0, False), result.stderr
    for name in ("t", "u", "g"):
        assert_equal(pipeline, postgres.read_source(database, f"app.{name}", ("id",)))


@pytest.mark.halved(other=True)
def test_a_table_out_of_the_selection_for_a_while_is_copied_again_on_mysql(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    server, name = mysql_database.server, mysql_database.name
    mysql_database.execute(
        *(f"create table {table} (id int primary key, v text)" for table in "turs"),
        "insert into s values (1, 'a')",
        "insert into t values (1, 'a'), (2, 'a'), (3, 'a')",
        "insert into u values (1, 'a')",
        "create table g (id int primary key, v text)",
        "insert into g values (1, 'a')",
        "insert into r values (1, 'a'), (2, 'a')",
        f"create database {name}_out",
    )
    pipeline = MysqlPipeline(server, tmp_path, url=mysql_database.url, tables=[f"{name}.*"])
    pipeline.catch_up()
    mysql_database.execute(
        "delete from t where id = 1",
        "alter table t add w int default 5",
        "update t set v = 'b', w = id where id = 2",
        "insert into t values (4, 'new', 4)",
        "update u set v = 'c'",
        # To a name that nobody follows, and back, in one piece of the binlog.
        f"rename table r to {name}_out.r",
        f"delete from {name}_out.r where id = 1",
        f"rename table {name}_out.r to r",
        "rename table s to s_out",
        f"rename table s_out to {name}_out.s",
        "drop table g",
    )
    run_without(pipeline, [f"{name}.*", f"!{name}.t"], code=1)
    for _ in range(2):
        require_renamed(pipeline, f"{name}.s", f"{name}_out.s")
        assert GONE not in pipeline.run_once().stderr
    mysql_database.execute(
        "update t set v = 'd' where id = 3",
        f"update {name}_out.s set v = 'out'",
        f"rename table {name}_out.s to s",
        f"drop database {name}_out",
    )
    pipeline.configure(tables=[f"{name}.*"])
    mysql_database.execute(
        "update t set v = 'e' where id = 4",
        "create table g (v int, id int primary key)",
        "insert into g values (2, 3)",
    )
    pipeline.catch_up()
    assert pipeline.status()["sources"]["shop"]["refused"] == []
    for table in ("t", "u", "r", "s", "g"):
        assert_equal(pipeline, mysql.read_source(server, f"{name}.{table}", ("id",)))
