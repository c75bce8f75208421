"""Rows that are rolled back after a part of their transaction was delivered: the source continues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc.errors import SourceUnavailable
from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline

PART_BYTES = 16 * 1024


@pytest.fixture
def limits() -> Limits:
    """Small parts."""
    return Limits(set_bytes=PART_BYTES, part_bytes=PART_BYTES)


def large(first: int, count: int = 3) -> list[str]:
    """Statements that write rows of which each is more than a part."""
    return [f"insert into t values ({n}, repeat('a', {PART_BYTES}))" for n in range(first, first + count)]


def refused_once(follower: MysqlFollower) -> list[dict[str, Any]]:
    """All rows, once the stream has been started again."""
    with pytest.raises(SourceUnavailable, match="a transaction rolled back rows") as error:
        follower.catch_up()
    assert "binlog." in error.value.where
    assert follower.sets[-1].position is None
    return follower.resume().rows()


@pytest.fixture
def database(mariadb10_database: MysqlDatabase) -> MysqlDatabase:
    """MySQL's binlog holds no rows that are rolled back, but after a crash."""
    mariadb10_database.execute("create table t (id int primary key, note mediumtext)")
    return mariadb10_database


def test_a_large_transaction_that_is_rolled_back_leaves_nothing(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute("insert into t values (1, 'before')")
    database.execute("begin", *large(10), "create temporary table x (a int)", *large(20), "rollback")
    database.execute("insert into t values (2, 'behind')")
    assert [row["id"] for row in refused_once(follower)] == [1, 2]
    database.execute("begin", *large(30), "commit")
    assert [row["id"] for row in follower.rows()] == [30, 31, 32]


def test_a_stream_that_begins_by_gtid_knows_the_rolled_back_rows(
    database: MysqlDatabase, follow: FollowerFactory, limits: Limits
) -> None:
    """As behind an offset that the dump command can't say."""
    follower = follow(database, limits=replace(limits, max_dump_offset=0))
    database.execute("begin", "create temporary table x (a int)", *large(10), "rollback")
    database.execute("insert into t values (2, 'behind')")
    assert [row["id"] for row in refused_once(follower)] == [2]
    assert all(fields["by_gtid"] for event, fields in follower.events if event == "streaming")


def test_large_changes_that_savepoints_roll_back_cost_one_start(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute(
        "begin", "create temporary table x (a int)", *large(10), "savepoint s", *large(20),
        "insert into t values (1, '')", "rollback to s", *large(30), "savepoint u", *large(40),
        "rollback to u", "insert into t values (2, '')", "rollback to s", "insert into t values (3, '')",
        *large(50), "commit",
    )  # fmt: skip
    database.execute("insert into t values (4, '')")
    rows = refused_once(follower)
    assert [row["id"] for row in rows] == [10, 11, 12, 3, 50, 51, 52, 4]
    assert len({row["_cdc_tx"] for row in rows}) == 2


def test_a_source_that_died_meanwhile_learns_it_again(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute("begin", "create temporary table x (a int)", *large(10), "rollback")
    with pytest.raises(SourceUnavailable, match="a transaction rolled back rows"):
        follower.catch_up()
    follower.resume().restart()
    assert refused_once(follower) == []


def test_tables_without_transactions_are_copied_again_after_a_large_rollback(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    database.execute("create table m (id int primary key) engine = myisam")
    follower = follow(database)
    database.execute(
        "begin", "create temporary table x (a int)", *large(10), "insert into m values (1)", "rollback"
    )
    rows = refused_once(follower)
    assert [(row["table"].rpartition(".")[2], row["id"]) for row in rows] == [("m", 1)]
    assert {request.table.name for request in follower.stale} == {"m"}


def test_a_large_prepared_transaction_is_read_again_without_what_it_rolled_back(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    xid = f"'{database.name}'"
    database.execute(
        f"xa start {xid}", *large(10), "savepoint s", "create temporary table x (a int)", *large(20),
        "rollback to s", "insert into t values (1, '')", f"xa end {xid}", f"xa prepare {xid}",
        f"xa commit {xid}",
    )  # fmt: skip
    assert [row["id"] for row in refused_once(follower)] == [10, 11, 12, 1]


def test_a_binlog_that_a_crash_ended_inside_of_a_large_transaction_is_passed(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({}, "mariadb10")
    database = server.create_database()
    database.execute("create table t (id int primary key, note mediumtext)")
    follower = follow(database)
    file, offset = server.position()
    database.execute("begin", *large(10, 8), "commit")
    follower.close()
    ends = [int(row[4]) for row in server.query(f"show binlog events in '{file}' from {offset}")]
    server.kill9()
    with (server.data / file).open("r+b") as binlog:
        binlog.truncate(ends[-5])
    server.start()
    database.execute("insert into t values (1, 'behind')")
    follower.restart()
    assert [row["id"] for row in refused_once(follower)] == [1]


def test_sinks_never_see_parts_of_a_large_transaction_that_is_rolled_back(
    database: MysqlDatabase, tmp_path: Path
) -> None:
    database.execute("insert into t values (1, 'copied')")
    table = f"{database.name}.t"
    pipeline = MysqlPipeline(database.server, tmp_path, url=database.url, tables=(table,))
    pipeline.catch_up()
    database.execute(
        "begin", "create temporary table x (a int)",
        *[f"insert into t values ({n}, repeat('a', 1000000))" for n in range(10, 18)],
        "rollback", "insert into t values (2, 'behind')",
    )  # fmt: skip
    pipeline.catch_up()
    assert pipeline.lake_rows(table) == 2
    assert pipeline.mirror_value(f"select list(id order by id)::varchar from {table}") == "[1, 2]"
