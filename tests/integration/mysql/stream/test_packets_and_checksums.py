"""How events travel: checksums that change, rows of several packets, events larger than a packet."""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
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


@pytest.mark.every_server
@pytest.mark.halved
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
