"""MERGE tables: the binlog names the table that a statement changes, and other tables show the same rows."""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.findings import Check
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

SHAPE = "(id int not null, v int, key (id))"
MERGE = f"{SHAPE} engine = merge union = (one, two) insert_method = last"


@pytest.fixture
def database(mysql_database: MysqlDatabase) -> MysqlDatabase:
    mysql_database.execute(
        *(f"create table {name} {SHAPE} engine = myisam" for name in ("one", "two", "other")),
        f"create table both_ {MERGE}",
        "insert into one values (1, 1)",
        "insert into two values (2, 2)",
    )
    return mysql_database


def copied(follower: MysqlFollower) -> set[str]:
    follower.catch_up()
    found, follower.stale = {request.table.name for request in follower.stale}, []
    return found


CHANGES = {
    "insert into both_ values (3, 3)": {"one", "two"},
    "update both_ set v = 7 where id = 1": {"one", "two"},
    "delete from both_ where id = 2": {"one", "two"},
    "truncate table both_": {"one", "two"},
    "insert into one values (4, 4)": {"both_"},
    "truncate table two": {"both_"},
    "insert into other values (5, 5)": set(),
}


@pytest.mark.parametrize("statement", list(CHANGES))
def test_tables_that_show_a_changed_row_are_copied_again(
    database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    follower = follow(database)
    database.execute(statement)
    assert copied(follower) == CHANGES[statement]


def test_a_merge_table_that_is_not_followed_reaches_its_followed_members(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database, tables=(f"{database.name}.two",))
    database.execute("insert into both_ values (3, 3)")
    assert follower.rows() == []
    assert copied(follower) == {"two"}
    database.execute("insert into two values (4, 4)")
    assert [row["id"] for row in follower.rows()] == [4]


def test_members_that_are_not_followed_reach_a_followed_merge_table(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database, tables=(f"{database.name}.both_",))
    database.execute("insert into one values (3, 3)")
    assert follower.rows() == []
    assert copied(follower) == {"both_"}


def test_a_merge_table_made_while_the_stream_runs_reaches_its_members(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute("insert into other values (5, 5)")
    assert copied(follower) == set()
    database.execute(f"create table more {SHAPE} engine = merge union = (other) insert_method = last")
    assert copied(follower) == {"more"}
    database.execute("insert into more values (6, 6)")
    assert copied(follower) == {"other"}


@pytest.mark.parametrize("statement", ["alter table both_ union = (one)", "drop table both_"])
def test_members_that_a_merge_table_has_no_more_are_copied_again(
    database: MysqlDatabase, follow: FollowerFactory, statement: str
) -> None:
    follower = follow(database)
    database.execute("insert into both_ values (3, 3)", statement)
    assert copied(follower) >= {"one", "two"}


def test_a_merge_table_whose_member_is_gone_does_not_stop_the_others(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    database.execute("drop table one", "insert into two values (4, 4)")
    assert [row["id"] for row in follower.rows(f"{database.name}.two")] == [4]
    follower.restart().catch_up()


def test_check_warns_of_merge_tables(check: Check, database: MysqlDatabase) -> None:
    name = database.name
    finding = check(database.url).of("merge")
    assert finding.message.startswith(f"The MERGE table {name}.both_ shares its rows with others")
    assert f"{name}.both_, {name}.one, {name}.two are copied again" in finding.message
    assert finding.fix.endswith(f'exclude it: "!{name}.both_"')
    assert check(database.url, tables=[f"{name}.other"]).all_of("merge") == []
