"""ROLLBACK TO SAVEPOINT where the binlog holds the rows that it undoes."""

from __future__ import annotations

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.server import MysqlDatabase


def test_rows_behind_a_savepoint_that_is_rolled_back_are_not_delivered(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "begin", "insert into t values (1)", "create temporary table x (a int)",
        "savepoint `A b`", "insert into t values (2)", "savepoint s", "insert into t values (3)",
        "rollback to s", "insert into t values (4)", "rollback to S", "insert into t values (5)",
        "rollback to `a B`", "insert into t values (6)", "savepoint s", "insert into t values (7)",
        "savepoint s", "insert into t values (8)", "rollback to s", "commit",
        "insert into t values (9)",
    )  # fmt: skip
    assert [row["id"] for row in follower.rows()] == [1, 6, 7, 9]
    assert mysql_database.query("select id from t order by id") == [(1,), (6,), (7,), (9,)]


def test_a_savepoint_set_before_any_change_takes_all_of_them_back(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "begin", "savepoint s", "create temporary table x (a int)", "insert into t values (2)",
        "rollback to s", "insert into t values (3)", "rollback to s", "insert into t values (4)", "commit",
    )  # fmt: skip
    assert [row["id"] for row in follower.rows()] == [4]


def test_rows_that_a_trigger_wrote_without_transactions_are_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute(
        "create table t (id int primary key)",
        "create table m (id int primary key) engine = myisam",
        "create trigger tr after insert on t for each row insert into m values (new.id)",
    )
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "begin", "insert into t values (1)", "savepoint s", "insert into t values (2)",
        "rollback to s", "insert into t values (3)", "commit",
    )  # fmt: skip
    rows = follower.rows()
    assert [row["id"] for row in rows if row["table"].endswith(".t")] == [1, 3]
    assert {request.table.name for request in follower.stale} == {"m"}
