"""What the stream makes of the binlog's row events, on MySQL and MariaDB."""

from __future__ import annotations

import json

import pytest

from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_SERVER
from tests.support.mysql.server import MysqlDatabase


@EVERY_SERVER
def test_changes_of_several_tables_come_in_one_order_and_one_transaction(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table a (id int primary key)", "create table b (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "begin", "insert into a values (1)", "insert into b values (2)", "insert into a values (3)", "commit"
    )
    rows = follower.rows()
    assert [(row["table"].rpartition(".")[2], row["id"]) for row in rows] == [("a", 1), ("b", 2), ("a", 3)]
    assert len({row["_cdc_tx"] for row in rows}) == 1
    assert len({row["_cdc_position"] for row in rows}) == 1


@EVERY_SERVER
def test_an_update_carries_the_old_row_and_a_delete_is_it(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, note varchar(20))")
    mysql_database.execute("insert into t values (1, 'one')")
    follower = follow(mysql_database)
    mysql_database.execute("update t set id = 2, note = 'two'", "delete from t")
    update, delete = follower.rows()
    assert (update["_cdc_op"], update["id"], update["note"]) == ("u", 2, "two")
    assert update["_cdc_before"] == {"id": 1, "note": "one"}
    assert (delete["_cdc_op"], delete["id"], delete["note"]) == ("d", 2, "two")


def test_rolled_back_savepoints_and_transactions_leave_no_trace(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute("begin", "insert into t values (1)", "rollback")
    mysql_database.execute(
        "begin", "insert into t values (2)", "savepoint s", "insert into t values (3)", "rollback to s",
        "release savepoint s", "insert into t values (4)", "commit",
    )  # fmt: skip
    assert [row["id"] for row in follower.rows()] == [2, 4]


def test_rows_of_an_engine_without_transactions_stay_when_theirs_is_rolled_back(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute("create table m (id int primary key) engine = myisam")
    mariadb10_database.execute("create table t (id int primary key)")
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "begin",
        "insert into t values (1)",
        "insert into m values (2)",
        "rollback",
        "insert into t values (3)",
    )
    assert [row["id"] for row in follower.rows()] == [2, 3]


def test_tables_that_are_not_selected_only_move_the_position(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute(
        "create table mine (id int primary key)", "create table other (id int primary key)"
    )
    follower = follow(mysql_database, tables=(f"{mysql_database.name}.mine",))
    begun = follower.position
    mysql_database.execute("insert into other values (1)", "alter table other add column x int")
    assert follower.rows() == []
    assert begun is not None
    assert follower.position is not None
    assert follower.position > begun


@EVERY_SERVER
def test_a_transaction_larger_than_memory_comes_in_parts(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key auto_increment, note varchar(100))")
    mysql_database.execute(
        "create table seed (n int)", "insert into seed values (1),(2),(3),(4),(5),(6),(7),(8)"
    )
    follower = follow(mysql_database, limits=Limits(set_bytes=64 * 1024))
    cross = "seed a, seed b, seed c, seed d"
    mysql_database.execute(f"insert into t (note) select repeat('x', 100) from {cross}")
    follower.catch_up()
    sets = [s for s in follower.sets if s.row_count]
    assert len(sets) > 4
    assert [s.position is None for s in sets] == [True] * (len(sets) - 1) + [False]
    assert [row["id"] for row in follower.taken()] == list(range(1, 8**4 + 1))


@pytest.mark.parametrize("image", ["minimal", "noblob"])
def test_poor_row_images_name_what_they_leave_out(
    mysql_database: MysqlDatabase, follow: FollowerFactory, image: str
) -> None:
    mysql_database.execute("create table t (id int primary key, a int, b text, c text)")
    mysql_database.execute("insert into t values (1, 10, 'b', 'c')")
    follower = follow(mysql_database)
    mysql_database.execute(
        f"set session binlog_row_image = {image}",
        "update t set b = 'new'",
        "update t set id = 2",
        "delete from t",
    )
    update, moved, delete = follower.rows()
    absent = ["a", "c"] if image == "minimal" else ["c"]
    assert (update["id"], update["b"], update["_cdc_unchanged"]) == (1, "new", absent)
    assert (moved["id"], moved["_cdc_before"]["id"]) == (2, 1)
    assert delete["id"] == 2
    assert set(delete["_cdc_unchanged"]) >= {"b", "c"}


def test_poor_images_of_a_table_without_key_are_made_whole_from_the_old_row(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (a int, b text)", "insert into t values (1, 'x')")
    follower = follow(mysql_database)
    mysql_database.execute("set session binlog_row_image = minimal", "update t set a = 2", "delete from t")
    update, delete = follower.rows()
    assert (update["a"], update["b"], update["_cdc_before"]) == (2, "x", {"a": 1, "b": "x"})
    assert (delete["a"], delete["b"]) == (2, "x")


def test_documents_updated_in_part_come_whole(
    mysql9_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql9_database.execute("create table t (id int primary key, doc json)")
    mysql9_database.execute(
        "insert into t values (1, json_object('a', 1, 'b', json_array(1, 2, 3), 'c', 'long'))"
    )
    follower = follow(mysql9_database)
    mysql9_database.execute(
        "set session binlog_row_value_options = partial_json",
        "update t set doc = json_set(doc, '$.a', 2, '$.b[1]', 9), doc = json_remove(doc, '$.c')",
    )
    (update,) = follower.rows()
    assert json.loads(update["doc"]) == {"a": 2, "b": [1, 9, 3]}


def test_compressed_transactions_come_like_others(
    mysql9_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql9_database.execute("create table t (id int primary key auto_increment, note varchar(100))")
    mysql9_database.execute(
        "create table seed (n int)", "insert into seed values (1),(2),(3),(4),(5),(6),(7),(8)"
    )
    follower = follow(mysql9_database, limits=Limits(set_bytes=64 * 1024))
    cross = "seed a, seed b, seed c, seed d"
    mysql9_database.execute(
        "set session binlog_transaction_compression = on",
        "begin",
        f"insert into t (note) select concat('note ', a.n, b.n, c.n, d.n) from {cross}",
        "update t set note = 'changed' where id = 7",
        "commit",
        "insert into t (note) values ('small')",
    )
    rows = follower.rows()
    assert [row["id"] for row in rows] == [*range(1, 8**4 + 1), 7, rows[-1]["id"]]
    assert [row["note"] for row in rows[-2:]] == ["changed", "small"]
    assert len({row["_cdc_tx"] for row in rows}) == 2


def test_compressed_events_of_mariadb_come_like_others(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    server = mariadb10_database.server
    mariadb10_database.execute("create table t (id int primary key, note text)")
    follower = follow(mariadb10_database)
    server.execute("set global log_bin_compress = on", "set global log_bin_compress_min_len = 10")
    try:
        mariadb10_database.execute(
            "insert into t values (1, repeat('a', 1000))",
            "update t set note = repeat('b', 1000)",
            "alter table t add column x int not null default 3 comment 'long enough to be compressed too'",
            "delete from t",
        )
    finally:
        server.execute("set global log_bin_compress = off")
    rows = follower.rows()
    assert [row["_cdc_op"] for row in rows] == ["c", "u", "d"]
    assert rows[1]["note"] == "b" * 1000
    assert rows[2]["x"] == 3


def test_a_system_versioned_table_shows_its_present_rows_only(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mariadb10_database.execute(
        "create table t (id int primary key, note text, since timestamp(6) generated always as row start,"
        " until timestamp(6) generated always as row end, period for system_time (since, until))"
        " with system versioning"
    )
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "insert into t (id, note) values (1, 'a'), (2, 'b')",
        "update t set note = 'c' where id = 1",
        "delete from t",
    )
    rows = follower.rows()
    assert [(row["_cdc_op"], row["id"], row["note"]) for row in rows] == [
        ("c", 1, "a"),
        ("c", 2, "b"),
        ("u", 1, "c"),
        ("d", 1, "c"),
        ("d", 2, "b"),
    ]


def test_rows_of_partitions_come_like_others(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    """MySQL writes the partition before the row, both of them where an update moves it to another."""
    mysql_database.execute(
        "create table t (id int, region int, note varchar(10), primary key (id, region))"
        " partition by list (region) subpartition by hash (id) subpartitions 2"
        " (partition a values in (1), partition b values in (2, 3))"
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "insert into t values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
        "update t set note = 'stays' where id = 1",
        "update t set region = 2 where id = 1",
        "delete from t where region = 2",
        "alter table t add partition (partition c values in (4))",
        "insert into t values (4, 4, 'd')",
        "alter table t reorganize partition b into (partition b values in (2), partition d values in (3))",
        "update t set region = 3 where id = 4",
    )
    rows = follower.rows()
    assert [(row["_cdc_op"], row["id"], row["region"], row["note"]) for row in rows] == [
        ("c", 1, 1, "a"),
        ("c", 2, 2, "b"),
        ("c", 3, 3, "c"),
        ("u", 1, 1, "stays"),
        ("u", 1, 2, "stays"),
        ("d", 2, 2, "b"),
        ("d", 1, 2, "stays"),
        ("c", 4, 4, "d"),
        ("u", 4, 3, "d"),
    ]
    assert rows[4]["_cdc_before"]["region"] == 1
    # Moving rows between partitions changes none of them.
    assert follower.stale == []


def test_a_key_that_an_insert_replaces_is_an_update_or_a_delete_of_the_old_one(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute(
        "create table t (id int primary key, code int, note varchar(10), unique (code))",
        "insert into t values (1, 10, 'a'), (2, 20, 'b')",
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "replace into t values (3, 10, 'c')",
        "insert into t values (4, 20, 'd') on duplicate key update id = 5, note = 'e'",
    )
    held = {1: "a", 2: "b"}
    for row in follower.rows():
        if row["_cdc_op"] != "c":
            old = row["_cdc_before"]["id"] if row["_cdc_op"] == "u" else row["id"]
            del held[old]
        if row["_cdc_op"] != "d":
            held[row["id"]] = row["note"]
    assert held == dict(mysql_database.query("select id, note from t"))
