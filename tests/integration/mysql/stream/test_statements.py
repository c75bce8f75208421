"""Statements in the binlog: DDL of every kind, and DML that is logged as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase


def stale(follower: MysqlFollower) -> list[str]:
    """The names of the tables that are to be copied again."""
    follower.catch_up()
    return [request.table.name for request in follower.stale]


def test_a_statement_that_changes_a_followed_table_has_that_one_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "set session binlog_format = statement", "insert into t values (1)", "update t set id = 2"
    )
    mysql_database.execute("insert into u values (1)", "insert into t values (3)")
    assert [(row["table"].partition(".")[2], row["id"]) for row in follower.rows()] == [("u", 1), ("t", 3)]
    assert {request.table.name for request in follower.stale} == {"t"}
    request = follower.stale[0]
    assert "INSERT was logged as a statement" in request.reason
    assert "binlog." in request.reason
    assert "binlog_format = row" in request.remedy
    assert [row["id"] for row in follower.copy(f"{mysql_database.name}.t")[1]] == [2, 3]


def test_a_file_loaded_by_a_statement_has_its_table_copied_again(
    mysql9_database: MysqlDatabase, follow: FollowerFactory, tmp_path: Path
) -> None:
    mysql9_database.execute("create table t (id int primary key)")
    follower = follow(mysql9_database)
    file = tmp_path / "rows.csv"
    file.write_text("1\n2\n")
    mysql9_database.execute(f"load data infile '{file}' into table t")
    assert [row["id"] for row in follower.rows()] == [1, 2]
    mysql9_database.execute(
        "delete from t", "set session binlog_format = statement", f"load data infile '{file}' into table t"
    )
    follower.catch_up()
    assert ["LOAD was logged as a statement" in request.reason for request in follower.stale] == [True]


def test_what_concerns_every_table_concerns_one_that_the_stream_has_not_shown(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """It was copied when `tables` took it in, and has had no change since."""
    mysql_database.execute("create table t (id int primary key)", "create table u (id int primary key)")
    follower = follow(mysql_database, tables=(f"{mysql_database.name}.t",))
    mysql_database.execute("insert into t values (1)")
    follower.catch_up()
    follower.given["tables"] = (f"{mysql_database.name}.*",)
    follower.restart()
    follower.copy(f"{mysql_database.name}.u")
    mysql_database.execute(
        "set session binlog_format = statement",
        "create procedure p() insert into u values (9)",
        "prepare s from 'call p()'",
        "execute s",
    )
    assert "u" in stale(follower)


def test_a_statement_on_another_table_does_not(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)", "create table other (id int primary key)")
    follower = follow(mysql_database, tables=(f"{mysql_database.name}.t",))
    mysql_database.execute(
        "set session binlog_format = statement", "insert into other values (1)", "update other set id = 2"
    )
    mysql_database.execute("insert into t values (1)")
    assert [row["id"] for row in follower.rows()] == [1]


def test_truncate_is_a_change_in_its_place(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute("insert into t values (1)", "truncate table t", "insert into t values (2)")
    rows = follower.rows()
    assert [row["_cdc_op"] for row in rows] == ["c", "t", "c"]
    assert len({row["_cdc_tx"] for row in rows}) == 3
    assert follower.stale == []


@pytest.mark.parametrize("metadata", ["full", "minimal"])
def test_columns_follow_alter_table_at_the_very_place(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    mysql_database.execute("create table t (id int primary key, a int)")
    follower = follow(mysql_database)
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {metadata}")
    try:
        mysql_database.execute(
            "insert into t values (1, 1)",
            "alter table t add column b varchar(10) default 'x' after id",
            "insert into t values (2, 'two', 2)",
            "alter table t change column a c bigint unsigned, drop column b",
            "insert into t values (3, 18446744073709551615)",
            "alter table t rename column c to d, add index (d)",
            "insert into t values (4, 4)",
        )
        rows = follower.rows()
    finally:
        server.execute("set global binlog_row_metadata = full")
    plain = [{k: v for k, v in row.items() if k != "table" and not k.startswith("_cdc")} for row in rows]
    assert plain == [
        {"id": 1, "a": 1},
        {"id": 2, "b": "two", "a": 2},
        {"id": 3, "c": 18446744073709551615},
        {"id": 4, "d": 4},
    ]


@pytest.mark.parametrize("metadata", ["full", "minimal"])
def test_an_altered_table_is_known_after_a_restart(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    mysql_database.execute("create table t (id int primary key, a int)")
    follower = follow(mysql_database)
    server = mysql_database.server
    server.execute(f"set global binlog_row_metadata = {metadata}")
    try:
        mysql_database.execute("alter table t add column b int", "insert into t values (1, 1, 1)")
        follower.catch_up()
        mysql_database.execute("insert into t values (2, 2, 2)", "alter table t drop column a")
        mysql_database.execute("insert into t values (3, 3)")
        follower.restart()
        rows = follower.rows()
    finally:
        server.execute("set global binlog_row_metadata = full")
    assert [(row["id"], row.get("a"), row["b"]) for row in rows] == [(1, 1, 1), (2, 2, 2), (3, None, 3)]


def test_a_ghost_table_that_takes_the_name_is_a_new_copy(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, a int)", "insert into t values (1, 1)")
    follower = follow(mysql_database, tables=(f"{mysql_database.name}.t",))
    mysql_database.execute(
        "create table _t_gho like t",
        "alter table _t_gho add column b int",
        "insert into _t_gho (id, a) select id, a from t",
        "rename table t to _t_del, _t_gho to t",
        "insert into t values (2, 2, 2)",
        "drop table _t_del",
    )
    assert [(row["id"], row["b"]) for row in follower.rows()] == [(2, 2)]
    assert stale(follower) == ["t"]


@pytest.mark.parametrize(
    "statement",
    [
        "alter table t drop partition p0",
        "alter table t truncate partition p0",
        "alter table t exchange partition p0 with table other",
    ],
)
def test_rows_that_go_with_a_partition_are_never_lost_in_silence(
    mysql_database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    mysql_database.execute(
        "create table t (id int primary key) partition by range (id)"
        " (partition p0 values less than (10), partition p1 values less than (20))",
        "create table other (id int primary key)",
        "insert into t values (1), (11)",
    )
    follower = follow(mysql_database)
    mysql_database.execute(statement)
    assert "t" in stale(follower)
    assert ("other" in stale(follower)) == ("exchange" in statement)


@pytest.mark.parametrize(
    "statement",
    [
        "alter table t modify a bigint",
        "alter table t convert to character set latin1",
        "alter table t add column b timestamp not null default current_timestamp",
        "drop table t",
        "alter table t add index (a)",
        "optimize table t",
        "analyze table t",
        "create or replace view v as select 1",
        "create user if not exists nobody@localhost",
        "flush tables",
    ],
)
def test_statements_of_all_kinds_let_the_stream_go_on(
    mysql_database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    mysql_database.execute("create table t (id int primary key, a int, note varchar(10))")
    mysql_database.execute("create table u (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute(statement, "insert into u values (1)")
    assert [row["id"] for row in follower.rows()] == [1]


def test_a_table_made_from_a_query_comes_with_its_rows(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)", "insert into t values (1), (2)")
    follower = follow(mysql_database)
    mysql_database.execute("create table made as select id, 'x' as note from t")
    assert [(row["id"], row["note"]) for row in follower.rows(f"{mysql_database.name}.made")] == [
        (1, "x"),
        (2, "x"),
    ]


def test_an_alter_in_two_phases_counts_once(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "set session binlog_alter_two_phase = on",
        "alter table t add column a int default 7",
        "insert into t values (1, 1)",
    )
    (row,) = follower.rows()
    assert (row["id"], row["a"]) == (1, 1)


def test_ddl_spelled_for_mariadb_is_understood(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "set statement lock_wait_timeout = 5 for alter table t add column a int",
        "/*M! alter table t add column b int */",
        "insert into t values (1, 2, 3)",
    )
    (row,) = follower.rows()
    assert (row["a"], row["b"]) == (2, 3)


@pytest.mark.every_server
def test_statements_that_are_logged_beside_their_rows_change_nothing(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """ROWS_QUERY on MySQL; MariaDB's annotations are sent to those only that ask for them."""
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    if mysql_database.server.flavour == "mysql":
        told = "set session binlog_rows_query_log_events = on"
    else:
        told = "set session binlog_annotate_row_events = on"
    mysql_database.execute(
        told,
        "begin",
        *(f"/* {'insert into t values (9)' * 50} */ insert into t values ({number})" for number in (1, 2)),
        "update t set id = 3 where id = 1 /* delete from t */",
        "commit",
        "delete from t",
    )
    assert [(row["_cdc_op"], row["id"]) for row in follower.rows()] == [
        ("c", 1),
        ("c", 2),
        ("u", 3),
        ("d", 2),
        ("d", 3),
    ]
