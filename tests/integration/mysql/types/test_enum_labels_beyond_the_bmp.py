"""Labels with characters that information_schema shows as `?`."""

from __future__ import annotations

import pytest

from cdc.errors import UnsupportedSchema
from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.server import MysqlDatabase

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


@pytest.mark.parametrize("charset", ["utf16", "utf16le", "utf32", "gb18030"])
def test_labels_are_the_same_in_copy_and_stream_whatever_their_charset(
    mysql_database: MysqlDatabase, follow: FollowerFactory, charset: str
) -> None:
    if not mysql_database.query(
        "select 1 from information_schema.character_sets where character_set_name = %s", [charset]
    ):
        pytest.skip(f"the server has no {charset}")
    mysql_database.execute(
        f"create table t (id int primary key, e enum('a😀','?','ä') charset {charset},"
        f" s set('😀','?','x🎉') charset {charset})"
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "insert into t values (1, 'a😀', '😀,x🎉'), (2, '?', '?'), (3, 'ä', ''), (4, null, null)",
        "set sql_mode = ''",
        "insert into t values (5, 'none', '😀,?')",
    )
    streamed = [(row["id"], row["e"], row["s"]) for row in follower.rows()]
    copied = follower.copy(f"{mysql_database.name}.t")[1]
    assert [(row["id"], row["e"], row["s"]) for row in copied] == streamed
    assert streamed[:2] == [(1, "a😀", "😀,x🎉"), (2, "?", "?")]
    assert streamed[2:] == [(3, "ä", ""), (4, None, None), (5, "", "😀,?")]


@pytest.mark.every_server
def test_a_table_with_labels_that_nothing_tells_is_refused_and_stops_no_other(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    mysql_database.server.execute(f"set global binlog_row_metadata = {default}")
    try:
        mysql_database.execute(TABLE)
        mysql_database.execute("create table other (id int primary key)")
        follower = follow(mysql_database)
        mysql_database.execute("insert into t values (1, 'a😀', 'x')", "insert into other values (1)")
        assert [row["table"] for row in follower.rows()] == [f"{mysql_database.name}.other"]
        assert [stale.table.name for stale in follower.stale] == ["t"]
        with pytest.raises(UnsupportedSchema, match=r"\.t, column e.*binlog_row_metadata = full"):
            follower.source.follow(follower.source.discover())
    finally:
        mysql_database.server.execute("set global binlog_row_metadata = full")


@pytest.mark.every_server
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


def test_a_key_with_such_labels_loses_no_row_to_the_chunks_of_a_copy(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    limits = Limits(min_chunk_rows=2, max_chunk_rows=2)
    rows = [(label, number) for label in ("a😀", "b", "c🎉", "z") for number in range(3)]
    mysql_database.execute(
        "create table t (e enum('a😀','b','c🎉','z') charset utf8mb4, n int, primary key (e, n))",
        "insert into t values " + ", ".join(f"('{label}', {number})" for label, number in rows),
        "analyze table t",
    )
    copied = follow(mysql_database, limits=limits).copy(f"{mysql_database.name}.t")[1]
    assert [(row["e"], row["n"]) for row in copied] == rows
