"""Inserts under binlog_row_image=MINIMAL: columns that they leave out hold what the server put there."""

from __future__ import annotations

from typing import Any

import pytest
from pymysql.cursors import DictCursor

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

MINIMAL = "set session binlog_row_image = minimal, sql_mode = '', time_zone = '+02:00'"
COLUMNS = """
i1 int default -5
i2 bigint unsigned default 18446744073709551615
i3 int not null
i4 tinyint(1) default true
i5 int
i6 int default null
i7 int default (1 + 1)
c1 decimal(10,2) default 1.555
c2 decimal(40,3) not null
c3 float not null
c4 double default 0.1
c5 double(7,3) default 0.12355
c6 double not null
v1 varchar(20) default 'x''y\\\\ "z" '
v2 varchar(20) character set latin1 default 'ä'
v3 char(5) default 'ab '
v4 varchar(5) not null
v5 varchar(5) default 'NULL'
v6 text
v7 text not null
e1 enum('a','b') not null
e2 enum('a','b') default 'B'
e3 set('x','y','z') default 'z,x'
e4 set('x','y') not null
d1 date default '2024-02-29'
d2 datetime default '2024-02-29 10:11:12'
d3 datetime(2) default '2024-02-29 10:11:12.555'
d4 timestamp not null default current_timestamp
d5 time default '-12:34:56'
d6 time(2) default '10:11:12.555'
d7 time(3) not null
d8 year default 24
d9 year not null
b1 bit default b'1'
b2 bit(12) default b'101'
b3 binary(4) not null
b4 varbinary(4) default ''
b5 blob
j1 json
""".strip().splitlines()
# The same set by ALTER … SET DEFAULT, ADD, MODIFY and CHANGE.
EDITS = """
alter table t alter i1 set default 7, alter i3 drop default
alter table t alter column v1 set default 'later'
alter table t modify i1 int not null default 8
alter table t change v1 v1 varchar(20) not null default 'y'
alter table t alter i1 drop default, alter v1 drop default
alter table t modify i1 int
alter table t add n1 int default 3, add n2 varchar(5) not null first
alter table t add n3 datetime default '2024-01-02 03:04:05'
alter table t alter n1 set default null, alter e2 set default 'a'
alter table t alter n1 set default (5 + 5)
""".strip().splitlines()


def _select(database: MysqlDatabase) -> dict[int, dict[str, Any]]:
    """The rows as the server selects them, by the copy's reader."""
    # Beside the follower under test: each has a number of its own.
    follower = MysqlFollower(database, server_id=1_700_000_001)
    try:
        follower.open()
        return {row["id"]: row for row in follower.copy(f"{database.name}.t")[1]}
    finally:
        follower.close()


def _compare(database: MysqlDatabase, follower: MysqlFollower, expected: dict[int, dict[str, Any]]) -> None:
    rows = follower.rows()
    assert [row["id"] for row in rows] == list(expected)
    for row in rows:
        assert row.get("_cdc_unchanged") is None
        wanted = expected[row["id"]]
        assert {name: row[name] for name in wanted if not name.startswith("_cdc")} == {
            name: value for name, value in wanted.items() if not name.startswith("_cdc")
        }


def copies_only(follower: MysqlFollower, reason: str) -> None:
    """The rows that can't be read have their table copied again, and the source goes on."""
    assert follower.rows() == []
    (request,) = follower.stale
    assert reason in request.reason
    assert "binlog_row_image = full" in request.remedy


def test_left_out_columns_have_their_defaults(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    columns = ", ".join(COLUMNS)
    mysql_database.execute(
        "set time_zone = '+02:00', sql_mode = ''",
        f"create table t (id int primary key, {columns}) default charset utf8mb4",
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        MINIMAL, "insert into t (id) values (1), (2)", "insert into t (id, i1) values (3, 9)"
    )
    _compare(mysql_database, follower, _select(mysql_database))


def test_defaults_are_those_of_their_time(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute(
        "create table t (id int primary key, i1 int default 1, i3 int not null, v1 varchar(20) default 'x',"
        " e2 enum('a','b') not null default 'b') default charset utf8mb4",
    )
    follower = follow(mysql_database)
    expected = {}
    for number, statement in enumerate(EDITS):
        mysql_database.execute(statement)
        mysql_database.execute(MINIMAL, f"insert into t (id) values ({number})")
        with mysql_database.connect() as connection, connection.cursor(DictCursor) as cursor:
            cursor.execute(f"select * from t where id = {number}")
            expected[number] = dict(cursor.fetchone() or {})
    _compare(mysql_database, follower, expected)


def test_defaults_survive_a_restart(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute("create table t (id int primary key, a int default 1, b varchar(9) default 'x')")
    follower = follow(mysql_database)
    mysql_database.execute("alter table t alter a set default 2", MINIMAL, "insert into t (id) values (1)")
    follower.catch_up()
    follower.restart()
    mysql_database.execute(
        MINIMAL, "insert into t (id) values (2)", "alter table t alter a set default 3",
        "insert into t (id, b) values (3, null)", "update t set b = 'y' where id = 3",
    )  # fmt: skip
    rows = follower.rows()
    assert [(row["id"], row["a"], row["b"]) for row in rows][-3:] == [
        (2, 2, "x"),
        (3, 3, None),
        (3, None, "y"),
    ]
    assert [row.get("_cdc_unchanged") for row in rows][-3:] == [None, None, ["a"]]


@pytest.mark.every_server
@pytest.mark.parametrize("metadata", ["full", "default"])
def test_a_default_that_is_not_known_has_the_table_copied_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    """The catalog read again shows the later default, which may not be given to the earlier row."""
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    mysql_database.server.execute(f"set global binlog_row_metadata = {metadata.replace('default', default)}")
    try:
        columns = "id int not null, a int default 3"
        mysql_database.execute(f"create table t ({columns}, unique u (id), unique w (id))")
        follower = follow(mysql_database)
        mysql_database.execute("alter table t drop index u")
        mysql_database.execute(
            MINIMAL, "insert into t (id) values (1)", "alter table t alter a set default 4"
        )
        copies_only(follower, "without a:")
    finally:
        mysql_database.server.execute("set global binlog_row_metadata = full")


def test_a_virtual_column_that_is_left_out_has_the_table_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table t (id int primary key, a int, g int as (a + 1) virtual)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(MINIMAL, "insert into t (id, a) values (1, 2)")
    copies_only(follower, "an inserted row without g:")


def test_a_virtual_column_that_an_update_leaves_out_has_the_table_copied_again(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """MariaDB doesn't send the column's new value."""
    mariadb10_database.execute(
        "create table t (id int primary key, a int, g int as (a + 1) virtual)",
        "insert into t (id, a) values (1, 2)",
    )
    follower = follow(mariadb10_database)
    mariadb10_database.execute(MINIMAL, "update t set a = 5")
    copies_only(follower, "an updated row without g:")
