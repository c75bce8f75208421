"""What few servers write into a binlog, or write in few moments: checksums that change, statements beside
their rows, rows of several packets, partitions, cascades, tables made for a session.
"""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

# A packet of the protocol ends one byte before 16 MiB.
PACKET_BYTES = 2**24 - 1


def changes(follower: MysqlFollower) -> list[tuple[str, int]]:
    return [(row["_cdc_op"], row["id"]) for row in follower.rows()]


def test_checksums_may_be_turned_off_and_on_while_the_stream_runs(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    server = mysql_database.server
    before = server.value("select @@global.binlog_checksum")
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    try:
        for number, wanted in enumerate(("none", "crc32", "none", "crc32")):
            server.execute(f"set global binlog_checksum = {wanted}")
            mysql_database.execute(f"insert into t values ({number})")
            if number == 1:
                assert changes(follower) == [("c", 0), ("c", 1)]
                follower.restart()
        assert changes(follower) == [("c", 2), ("c", 3)]
        follower.restart()
        mysql_database.execute("delete from t where id = 0")
        assert changes(follower) == [("d", 0)]
    finally:
        server.execute(f"set global binlog_checksum = {before}")


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
    assert changes(follower) == [("c", 1), ("c", 2), ("u", 3), ("d", 2), ("d", 3)]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_row_of_several_packets_comes_whole(
    mysql_database: MysqlDatabase, follow: FollowerFactory, *, compressed: bool
) -> None:
    server = mysql_database.server
    mysql_database.execute("create table t (id int primary key, pile longblob)")
    before = server.value("select @@global.max_allowed_packet")
    server.execute("set global max_allowed_packet = 67108864")
    if server.flavour == "mysql":
        turn = "session binlog_transaction_compression"
    else:
        turn = "global log_bin_compress"
    follower = follow(mysql_database)
    try:
        mysql_database.execute(
            f"set {turn} = {'on' if compressed else 'off'}",
            f"insert into t values (1, repeat('x', {PACKET_BYTES + 100})), (2, 'small')",
            "update t set pile = concat('y', pile) where id = 1",
            f"set {turn} = off",
        )
        inserted, small, updated = follower.rows()
    finally:
        server.execute(f"set global max_allowed_packet = {before}")
    assert inserted["pile"] == b"x" * (PACKET_BYTES + 100)
    assert small["pile"] == b"small"
    assert updated["pile"] == b"y" + inserted["pile"]
    assert updated["_cdc_before"]["pile"] == inserted["pile"]


def test_a_stream_begins_and_goes_on_behind_an_event_larger_than_a_packet_may_be(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """An update's event holds two images. MariaDB 10.11 then tells no more GTIDs of places in this file."""
    server = mysql_database.server
    before = server.value("select @@global.max_allowed_packet")
    server.execute("flush binary logs", "set global max_allowed_packet = 4194304")
    try:
        mysql_database.execute(
            "create table t (id int primary key, pile longblob)",
            "insert into t values (1, repeat('x', 3000000))",
            "update t set pile = concat('y', pile)",
        )
        follower = follow(mysql_database)
        mysql_database.execute("insert into t values (2, 'a')")
        assert changes(follower) == [("c", 2)]
        assert follower.position is not None
        assert follower.position.text.partition(" ")[2] == server.executed()
        mysql_database.execute("update t set pile = concat('y', pile) where id = 1")
        follower.restart()
        # The server is the same one: a copy needs to wait for nothing, and the positions' epoch stays.
        assert len(follower.copy(f"{mysql_database.name}.t")[1]) == 2
        assert changes(follower) == [("u", 1)]
        assert follower.position.text.startswith("binlog.")
        follower.restart()
        mysql_database.execute("insert into t values (3, 'b')")
        assert changes(follower) == [("c", 3)]
    finally:
        server.execute(f"set global max_allowed_packet = {before}", "flush binary logs")


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


def test_rows_that_a_foreign_key_changes_come_where_the_server_logs_them(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({"innodb-native-foreign-keys": "OFF"})
    database = with_family(server.create_database())
    follower = follow(database)
    database.execute("update parent set id = 5 where id = 1", "delete from parent where id = 5")
    found = [(row["table"].rpartition(".")[2], row["_cdc_op"], row["id"]) for row in follower.rows()]
    assert sorted(found) == sorted(
        [
            *[("parent", "u", 5), ("child", "u", 10), ("child", "u", 11)],
            *[("parent", "d", 5), ("child", "d", 10), ("child", "d", 11)],
        ]
    )


def test_a_child_that_no_row_event_follows_does_not_disturb_the_stream(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """MariaDB names the child in a table map, and logs none of the rows that the foreign key changed."""
    database = with_family(mariadb10_database)
    follower = follow(database)
    database.execute("delete from parent where id = 1", "insert into child values (12, 2)")
    found = [(row["table"].rpartition(".")[2], row["_cdc_op"], row["id"]) for row in follower.rows()]
    assert found == [("parent", "d", 1), ("child", "c", 12)]


def with_family(database: MysqlDatabase) -> MysqlDatabase:
    database.execute(
        "create table parent (id int primary key)",
        "create table child (id int primary key, p int,"
        " foreign key (p) references parent (id) on delete cascade on update cascade)",
        "insert into parent values (1), (2)",
        "insert into child values (10, 1), (11, 1)",
    )
    return database


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
    assert changes(follower) == [("c", 2)]
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
