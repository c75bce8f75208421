"""Changes whose rows the binlog does not tell have their table copied again; the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import SOURCE, MysqlPipeline
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until

STATEMENT = "set session binlog_format = statement"
MINIMAL = "set session binlog_row_image = minimal"
TABLES = {"keyed": ("id",), "hit": ("id",), "bag": (), "poor": ("id",), "replaced": ("id",), "calm": ("id",)}
# What a MINIMAL image of an INSERT lacks and nothing tells.
UNKNOWN_CHARSET = {"mysql": "f float default 0.1", "mariadb": "f int as (a + 1) virtual"}


def refused(pipeline: MysqlPipeline, table: str) -> dict[str, Any]:
    """What the status says of a refused table; empty when it is none."""
    tables = pipeline.status().get("sources", {}).get(SOURCE, {}).get("refused", [])
    return next((entry for entry in tables if entry["table"] == table), {})


def assert_equal(pipeline: MysqlPipeline, database: MysqlDatabase) -> None:
    for table, key in TABLES.items():
        source = read_source(database.server, f"{database.name}.{table}", key)
        assert differences(source, read_mirror(pipeline.mirror, source)) == []


@pytest.mark.halved(other=True)
def test_changes_without_rows_are_copied_and_rarer_each_time(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    database, name = mysql_database, mysql_database.name
    database.execute(
        "create table keyed (id int primary key, v varchar(9))",
        "create table hit (id int primary key, v varchar(9))",
        "create trigger tr after insert on keyed for each row insert into hit values (new.id, 'by one')",
        "create table bag (a int, b int)",
        f"create table poor (id int primary key, a int, {UNKNOWN_CHARSET[database.server.flavour]})",
        "create table calm (id int primary key)",
        "insert into keyed values (1, 'a')",
        "insert into bag values (1, 1), (1, 1), (2, 2)",
        "create table replaced (id int primary key, v int, w int default 7, note text)",
        "insert into replaced values (1, 1, 1, 'a'), (2, 2, 2, 'b')",
    )
    pipeline = MysqlPipeline(database.server, tmp_path, tables=[f"{name}.*"])
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        log_statements(pipeline, database)
        send_poor_images(pipeline, database)
        database.execute("insert into calm values (2)")
        wait_for_rows(pipeline, f"{name}.calm", 2)
        assert process.terminate() == 0
    # MariaDB does not log what the second statement gives to the columns that it leaves out.
    database.execute(
        MINIMAL, "update replaced set v = 5 where id = 1", "replace into replaced (id) values (2)"
    )
    # A backlog full of statements costs one copy: `run --once` ends well.
    for number in range(10, 40):
        database.execute(STATEMENT, f"insert into keyed values ({number}, 'x')")
        database.execute(f"insert into calm values ({number})")
    pipeline.catch_up()
    assert_equal(pipeline, database)


def log_statements(pipeline: MysqlPipeline, database: MysqlDatabase) -> None:
    """The first copy begins at once, the second one waits, and an operator may ask for it."""
    keyed = f"{database.name}.keyed"
    # Together: a copy that began between the two would count as the first one.
    both = ("insert into keyed values (2, 'b')", "update keyed set v = 'c' where id = 1")
    database.execute(STATEMENT, "begin", *both, "commit")
    database.execute("insert into calm values (1)")
    wait_for_rows(pipeline, keyed, 3)
    wait_for_rows(pipeline, f"{database.name}.hit", 1)
    wait_for_rows(pipeline, f"{database.name}.calm", 1)
    database.execute(STATEMENT, "delete from keyed where id = 2")
    found = wait_until(lambda: refused(pipeline, keyed), "the second copy to wait")
    assert "2 times in a row" in found["message"]
    assert "DELETE was logged as a statement, without its rows, at binlog." in found["message"]
    assert "set global binlog_format = row" in found["remedy"]
    assert run_cdc("status", cwd=pipeline.folder).returncode == 1
    asked = run_cdc("snapshot", SOURCE, keyed, cwd=pipeline.folder)
    assert asked.returncode == 0, asked.stderr
    wait_until(lambda: not refused(pipeline, keyed), "the copy that was asked for")


def send_poor_images(pipeline: MysqlPipeline, database: MysqlDatabase) -> None:
    """A table without a key needs no full ones; a default that is not known does."""
    poor = f"{database.name}.poor"
    database.execute(
        MINIMAL,
        "update bag set b = 9 where a = 1 limit 1",
        "delete from bag where a = 2",
        "insert into poor (id, a) values (1, 1)",
    )
    wait_for_rows(pipeline, poor, 1)
    wait_for_rows(pipeline, f"{database.name}.bag", 5)
    database.execute(MINIMAL, "insert into poor (id, a) values (2, 2)")
    found = wait_until(lambda: refused(pipeline, poor), "its second copy to wait")
    assert "an inserted row without f" in found["message"]
    assert "set global binlog_row_image = full" in found["remedy"]


def wait_for_rows(pipeline: MysqlPipeline, table: str, count: int) -> None:
    wait_until(lambda: pipeline.lake_rows(table) >= count, f"{table} to have {count} rows in the lake")
