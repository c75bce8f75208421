"""With GTIDs a stream goes on behind an offset that the dump command can't say."""

from __future__ import annotations

import pytest

from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_SERVER, MysqlFactory
from tests.support.mysql.server import MysqlDatabase

FOUR_GIB = 2**32
ROW_BYTES = 32 * 1024 * 1024


@EVERY_SERVER
def test_past_the_dumps_reach_a_stream_goes_on_by_gtid_on_the_same_server(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    server = mysql_database.server
    server.execute("flush binary logs")
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    mysql_database.execute("insert into t values (1)")
    assert [row["id"] for row in follower.rows()] == [1]
    follower.limits = Limits(max_dump_offset=300)
    for number in (2, 3):
        mysql_database.execute(f"insert into t values ({number})")
        before = follower.position
        follower.restart()
        (row,) = follower.rows()
        assert row["id"] == number
        assert before is not None
        assert follower.position is not None
        assert before < follower.source.position(row["_cdc_position"]) < follower.position
        follower.assert_at_end(server)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_a_file_of_more_than_4_gib_is_read_to_its_end_and_beyond(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, name: str
) -> None:
    """A file grows as long as a transaction lasts; the places of its last events don't fit into 32 bits."""
    cache = str(2 * FOUR_GIB)
    server = mysql_server_factory({"max-allowed-packet": "1G", "max-binlog-cache-size": cache}, name)
    database = server.create_database()
    database.execute("create table t (id int primary key auto_increment, pile longblob)")
    follower = follow(database)
    count = FOUR_GIB // (2 * ROW_BYTES) + 2  # Both images are logged.
    with database.connect(autocommit=False) as connection, connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute(f"insert into t (pile) values (repeat('x', {ROW_BYTES}))")
            cursor.execute("delete from t")
        connection.commit()
    assert max(int(row[1]) for row in server.query("show binary logs")) > FOUR_GIB
    ops = 0
    target = follower.source.current()
    while follower.position is None or follower.position < target:
        follower.step()
        ops += sum(changes.row_count for changes in follower.sets)
        follower.sets.clear()
    assert ops == 2 * count
    follower.restart()
    database.execute("insert into t (pile) values ('small')")
    (row,) = follower.rows()
    assert row["pile"] == b"small"
    follower.assert_at_end(server)
