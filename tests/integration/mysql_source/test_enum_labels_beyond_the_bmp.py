"""Labels with characters that information_schema shows as `?`."""

from __future__ import annotations

import pytest

from cdc.errors import UnsupportedSchema
from tests.integration.mysql_source.conftest import FollowerFactory
from tests.support.mysql import MysqlDatabase

TABLE = (
    "create table t (id int primary key, e enum('a😀','b?') charset utf8mb4, s set('😀','x') charset utf8mb4)"
)


def test_labels_come_right_with_full_metadata(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute(TABLE, "insert into t values (1, 'a😀', '😀,x')")
    follower = follow(mysql_database)
    mysql_database.execute("insert into t values (2, 'b?', '😀')", "update t set e = 'a😀' where id = 2")
    assert [(row["e"], row["s"]) for row in follower.rows()] == [("b?", "😀"), ("a😀", "😀")]
    assert follower.stale == []
    copied = follower.copy(f"{mysql_database.name}.t")[1]
    assert [(row["e"], row["s"]) for row in copied] == [("a😀", "😀,x"), ("a😀", "😀")]


def test_labels_that_nothing_tells_stop_the_stream(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    mysql_database.server.execute(f"set global binlog_row_metadata = {default}")
    try:
        mysql_database.execute(TABLE)
        follower = follow(mysql_database)
        mysql_database.execute("insert into t values (1, 'a😀', 'x')")
        with pytest.raises(UnsupportedSchema, match=r"\.t, column e.*binlog_row_metadata = full"):
            follower.rows()
    finally:
        mysql_database.server.execute("set global binlog_row_metadata = full")


def test_labels_of_a_statement_are_known(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    mysql_database.server.execute(f"set global binlog_row_metadata = {default}")
    try:
        mysql_database.execute("create table t (id int primary key)")
        follower = follow(mysql_database)
        mysql_database.execute("alter table t add e enum('a😀','?') charset utf8mb4")
        mysql_database.execute("insert into t values (1, 'a😀')")
        assert [row["e"] for row in follower.rows()] == ["a😀"]
    finally:
        mysql_database.server.execute("set global binlog_row_metadata = full")
