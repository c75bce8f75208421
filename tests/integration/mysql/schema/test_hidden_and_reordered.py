"""Columns that nobody named, labels that change their numbers, rows that come from a file, statements in the
characters of a client.
"""

from __future__ import annotations

import shutil

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.server import MysqlDatabase


def test_a_generated_primary_key_is_copied_and_streamed(
    mysql9_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql9_database.execute(
        "set sql_generate_invisible_primary_key = on",
        "create table t (note varchar(10))",
        "insert into t values ('a'), ('a'), ('b')",
    )
    follower = follow(mysql9_database)
    _, copied = follower.copy()
    assert sorted((row["my_row_id"], row["note"]) for row in copied) == [(1, "a"), (2, "a"), (3, "b")]
    assert follower.schema(f"{mysql9_database.name}.t").key == ("my_row_id",)
    mysql9_database.execute("insert into t values ('c')", "delete from t where note = 'b'")
    found = [(row["_cdc_op"], row["my_row_id"], row["note"]) for row in follower.rows()]
    assert found == [("c", 4, "c"), ("d", 3, "b")]


def test_labels_are_those_of_the_rows_time(
    mysql_database: MysqlDatabase, follow: FollowerFactory, metadata: str
) -> None:
    """An event holds the label's number, and an ALTER may give the numbers to other labels."""
    mysql_database.execute(
        "create table t (id int primary key, e enum('x', 'y', 'z'),"
        " s set('p', 'q', 'r') character set latin1)"
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "insert into t values (1, 'x', 'p,r')",
        "alter table t modify e enum('z', 'new', 'y', 'x'), modify s set('r', 'ä', 'q', 'p')",
        "insert into t values (2, 'x', 'p,r')",
        "update t set e = 'new', s = 'ä' where id = 1",
    )
    first, second, third = follower.rows()
    assert (first["e"], first["s"]) == ("x", "p,r")
    assert (second["e"], second["s"]) == ("x", "r,p")
    assert (third["e"], third["s"], third["_cdc_before"]["e"]) == ("new", "ä", "x")


def test_rows_that_come_with_a_tablespace_are_copied(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """No event tells of them."""
    server, folder = mysql_database.server, mysql_database.server.data / mysql_database.name
    for name in ("t", "other"):
        mysql_database.execute(f"create table {name} (id int primary key)")
    mysql_database.execute("insert into other values (1), (2)")
    follower = follow(mysql_database)
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("flush tables other for export")
        for suffix in ("ibd", "cfg"):
            shutil.copy(folder / f"other.{suffix}", folder / f"t.{suffix}.new")
        cursor.execute("unlock tables")
        cursor.execute("alter table t discard tablespace")
        for suffix in ("ibd", "cfg"):
            (folder / f"t.{suffix}.new").rename(folder / f"t.{suffix}")
        cursor.execute("alter table t import tablespace")
    follower.catch_up()
    assert {request.table.name for request in follower.stale} == {"t"}
    follower.step()
    _, rows = follower.copy(f"{mysql_database.name}.t")
    assert sorted(row["id"] for row in rows) == [1, 2]
    assert server.is_running


def test_statements_in_the_characters_of_a_client_are_understood(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """In gbk and sjis the second byte of a character may be a backslash or a quote of names."""
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    for charset, name in (("gbk", "誠"), ("sjis", "ソ表"), ("latin1", "é")):
        # As bytes, for PyMySQL would send utf8mb4.
        statement = f"alter table t add `{name}` varchar(20) default '{name}' comment '{name}'"
        with mysql_database.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"set names {charset}")
            cursor.execute(statement.encode(charset))
    mysql_database.execute("insert into t (id) values (1)")
    (row,) = follower.rows()
    assert [row[name] for name in ("誠", "ソ表", "é")] == ["誠", "ソ表", "é"]
