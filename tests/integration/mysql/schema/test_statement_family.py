"""Statements that make, replace, swap and drop tables in the middle of the stream: the source follows what is
there afterwards.
"""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase


def names(follower: MysqlFollower) -> list[tuple[str, int]]:
    """The rows' tables and ids."""
    return [(row["table"].split(".")[1], row["id"]) for row in follower.rows()]


def stale(follower: MysqlFollower) -> set[str]:
    return {request.table.name for request in follower.stale}


def test_a_replaced_table_is_copied_again_with_its_new_columns(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key)", "insert into t values (1)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "create or replace table t (id bigint primary key, note text)", "insert into t values (2, 'x')"
    )
    (row,) = follower.rows()
    assert (row["id"], row["note"]) == (2, "x")
    assert stale(follower) == {"t"}


@pytest.mark.parametrize(
    "statement", ["create or replace table t as select 5 as id", "create or replace table t like u"]
)
def test_a_table_replaced_from_another_is_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    mariadb10_database.execute("create table t (id int primary key)", "create table u (id bigint, n int)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(statement, "insert into t (id) values (7)")
    assert names(follower)[-1] == ("t", 7)
    assert stale(follower) == {"t"}


def test_two_tables_that_swap_their_names_are_both_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute(
        "create table a (id int primary key)", "create table b (id int primary key, n int)"
    )
    follower = follow(mysql_database, tables=(f"{mysql_database.name}.a", f"{mysql_database.name}.b"))
    mysql_database.execute("rename table a to tmp, b to a, tmp to b")
    mysql_database.execute("insert into a values (1, 10)", "insert into b values (2)")
    rows = follower.rows()
    assert [(row["table"][-1], row["id"], row.get("n")) for row in rows] == [("a", 1, 10), ("b", 2, None)]
    assert stale(follower) == {"a", "b"}


def test_a_rename_among_other_clauses_counts_last(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, a int)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "alter table t add b int default 3, rename to t2, drop a, add index (b)",
        "insert into t2 values (1, 4)",
        "create table t (id int primary key)",
        "insert into t values (2)",
    )
    assert [(row["table"][-2:], row["id"], row.get("b")) for row in follower.rows()] == [
        ("t2", 1, 4), (".t", 2, None),
    ]  # fmt: skip
    assert stale(follower) == {"t", "t2"}


def test_a_table_made_like_another_has_its_columns(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, note varchar(10) character set latin1)")
    follower = follow(mysql_database)
    mysql_database.execute("create table u like t", "insert into u values (1, 'ä')")
    (row,) = follower.rows()
    assert (row["id"], row["note"]) == (1, "ä")
    assert stale(follower) == {"u"}


def test_a_database_that_is_dropped_and_made_anew_is_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    follower = follow(mysql_database)
    name = mysql_database.name
    mysql_database.server.execute(
        f"drop database {name}", f"create database {name}", f"create table {name}.t (id text, k int key)"
    )
    mysql_database.execute("insert into t values ('x', 1)")
    (row,) = follower.rows()
    assert (row["id"], row["k"]) == ("x", 1)
    assert stale(follower) == {"t"}
    assert [key for key in follower.facts if key.startswith("table:")] == [f"table:{name}.t"]


@pytest.mark.parametrize("log_format", ["row", "mixed"])
def test_sequences_change_no_table_whatever_their_log(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory, log_format: str
) -> None:
    mariadb10_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    follower = follow(mariadb10_database, tables=(f"{mariadb10_database.name}.t",))
    mariadb10_database.execute(
        f"set session binlog_format = {log_format}",
        "create sequence s", "select nextval(s)", "select setval(s, 100)", "do setval(s, 200)",
        "alter sequence s restart 5", "insert into u values (nextval(s))", "rename table s to s2",
        "drop sequence s2",
    )  # fmt: skip
    mariadb10_database.execute("insert into t values (1)")
    assert names(follower) == [("t", 1)]
    assert follower.stale == []


def test_a_partition_that_becomes_a_table_has_both_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute(
        "create table t (id int primary key) partition by range (id)"
        " (partition p0 values less than (10), partition p1 values less than (20))",
        "insert into t values (1), (11)",
    )
    follower = follow(mariadb10_database)
    mariadb10_database.execute("alter table t convert partition p0 to table u", "insert into u values (2)")
    assert names(follower) == [("u", 2)]
    assert stale(follower) == {"t", "u"}
    follower.stale.clear()
    mariadb10_database.execute(
        "alter table t reorganize partition p1 into (partition p1 values less than (40))",
        "insert into t values (35)",
    )
    assert names(follower) == [("t", 35)]
    assert stale(follower) == set()
