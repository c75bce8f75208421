"""Temporary tables with the names of followed ones, in sessions that log statements as text and in others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

FORMATS = ("row", "mixed", "statement")
# A procedure whose later statements have the flag of those that use a temporary table.
REPORT = """
    create procedure report() begin
        create temporary table x (a int); insert into x values (1);
        truncate table t; drop temporary table x;
    end
"""


@pytest.fixture(params=FORMATS)
def log_format(request: pytest.FixtureRequest) -> str:
    """The session's binlog_format."""
    return str(request.param)


@pytest.fixture
def followed(mysql_database: MysqlDatabase, follow: FollowerFactory) -> MysqlFollower:
    mysql_database.execute("create table t (id int primary key)", "insert into t values (1)")
    return follow(mysql_database)


@pytest.fixture
def session(mysql_database: MysqlDatabase) -> Iterator[Any]:
    """A cursor of a session that stays."""
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        yield cursor


def ops(follower: MysqlFollower) -> list[str]:
    return [row["_cdc_op"] for row in follower.rows()]


def stale(follower: MysqlFollower) -> list[str]:
    return [request.table.name for request in follower.stale]


def remembered(follower: MysqlFollower) -> list[str]:
    return [key for key in follower.facts if key.startswith("temporary:")]


def run(cursor: Any, *statements: str) -> None:
    for statement in statements:
        cursor.execute(statement)


def test_ddl_on_a_temporary_table_concerns_no_other_of_its_name(
    mysql_database: MysqlDatabase, followed: MysqlFollower, log_format: str
) -> None:
    mysql_database.execute(
        f"set session binlog_format = {log_format}", "create temporary table t (a int)",
        "insert into t values (9)", "truncate table t", "alter table t add b int",
        "create index i on t (b)", "drop index i on t", "alter table t modify a bigint, rename to t2",
        "create temporary table t like t2", "truncate t2", "update t set a = 2", "delete from t",
        "alter table t2 rename to t3", "drop table t", "truncate t3", "create temporary table t (c text)",
    )  # fmt: skip
    mysql_database.execute("insert into t values (2)")
    assert ops(followed) == ["c"]
    assert stale(followed) == []
    assert remembered(followed) == []


def test_the_table_itself_is_truncated_beside_temporary_ones(
    mysql_database: MysqlDatabase, followed: MysqlFollower, log_format: str
) -> None:
    mysql_database.execute(REPORT)
    mysql_database.execute(
        f"set session binlog_format = {log_format}", "create temporary table y (a int)",
        "call report()", "truncate table t", "create temporary table t (a int)", "drop table t",
        "alter table t add b int",
    )  # fmt: skip
    mysql_database.execute("insert into t values (2, 3)")
    assert [(row["_cdc_op"], row.get("b")) for row in followed.rows()] == [("t", None)] * 2 + [("c", 3)]
    assert stale(followed) == []


def test_a_procedure_truncates_first_its_temporary_table_then_the_real_one(
    mysql_database: MysqlDatabase, followed: MysqlFollower, log_format: str
) -> None:
    mysql_database.execute(
        "create procedure p() begin create temporary table t (a int); truncate table t; drop table t;"
        " truncate table t; end",
        f"set session binlog_format = {log_format}",
        "call p()",
    )
    assert ops(followed) == ["t"]
    assert stale(followed) == []


def test_temporary_tables_are_known_after_a_restart(
    followed: MysqlFollower, session: Any, mysql_database: MysqlDatabase
) -> None:
    run(session, "set session binlog_format = statement", "create temporary table t (a int)")
    followed.catch_up()
    assert len(remembered(followed)) == 1
    followed.restart()
    run(session, "truncate table t", "alter table t add b int", "insert into t values (1, 2)")
    assert ops(followed) == []
    run(session, "drop table t", "truncate table t")
    assert ops(followed) == ["t"]
    assert stale(followed) == []
    assert remembered(followed) == []


def test_what_may_be_a_temporary_table_from_before_has_the_table_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory, session: Any
) -> None:
    mysql_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    run(session, "set session binlog_format = statement", "create temporary table t (a int)")
    follower = follow(mysql_database)
    run(session, "truncate table t", "alter table t add b int")
    mysql_database.execute("insert into t values (1)", "insert into u values (1)")
    rows = follower.rows()
    assert [(row["table"].split(".")[1], row["_cdc_op"]) for row in rows] == [("t", "c"), ("u", "c")]
    assert set(stale(follower)) == {"t"}


def test_statements_of_old_sessions_without_the_flag_are_followed(
    mysql_database: MysqlDatabase, follow: FollowerFactory, session: Any
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    run(session, "set session binlog_format = statement", "create temporary table x (a int)")
    follower = follow(mysql_database)
    run(session, "truncate table t", "alter table t add b int")
    assert ops(follower) == ["t"]
    assert stale(follower) == []


def test_a_server_that_starts_again_has_no_temporary_tables(
    mysql_name: str, mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = server.create_database()
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    session = database.connect().cursor()
    run(session, "set session binlog_format = statement", "create temporary table t (a int)")
    follower.catch_up()
    assert len(remembered(follower)) == 1
    # Read after the restart, from before it: the temporary table was there.
    run(session, "truncate table t", "alter table t add b int")
    server.kill9()
    server.start()
    follower.restart()
    database.execute(REPORT)
    # By sessions with all the ids that the one before may have had.
    for _ in range(10):
        database.execute("call report()")
    assert (ops(follower), stale(follower)) == (["t"] * 10, [])
    assert remembered(follower) == []


@pytest.mark.every_server
def test_rename_table_renames_temporary_tables_on_mariadb_only(
    mysql_database: MysqlDatabase, followed: MysqlFollower
) -> None:
    is_mariadb = mysql_database.server.flavour == "mariadb"
    mysql_database.execute(
        "set session binlog_format = statement",
        "create temporary table t (a int)",
        "rename table t to t3",
    )
    mysql_database.execute(f"insert into {'t' if is_mariadb else 't3'} values (2)")
    assert [row["table"].split(".")[1] for row in followed.rows()] == ["t" if is_mariadb else "t3"]
    assert stale(followed) == ([] if is_mariadb else ["t3"])


def test_a_rename_of_temporary_and_other_tables_is_taken_apart(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "set session binlog_format = mixed", "create or replace temporary table x (a int)",
        "create temporary sequence s", "rename table x to t, u to u2", "truncate t", "drop sequence s",
    )  # fmt: skip
    mariadb10_database.execute("insert into t values (1)", "insert into u2 values (1)")
    assert [row["table"].split(".")[1] for row in follower.rows()] == ["t", "u2"]
    assert stale(follower) == ["u2"]


def test_a_table_of_a_session_hides_the_one_of_its_name(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)", "insert into t values (1)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "create temporary table t (id int primary key, only_here int)",
        "insert into t values (7, 7)",
        "alter table t add column more int",
        "truncate table t",
        "drop temporary table t",
        "insert into t values (2)",
    )
    assert [(row["_cdc_op"], row["id"]) for row in follower.rows()] == [("c", 2)]
    assert follower.stale == []
