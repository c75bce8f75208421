"""What only newer servers of MariaDB write: large transactions as files of their own, timestamps up to 2106,
vectors.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase

# The least that the server takes for a large transaction.
THRESHOLD_BYTES = 10 * 1024 * 1024
LAST_TIMESTAMP = datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)
NEWEST = pytest.mark.parametrize("mysql", ["mariadb11"], indirect=True)


def test_a_transaction_that_becomes_a_file_of_its_own_comes_whole_and_in_its_place(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    settings = {"binlog-large-commit-threshold": str(THRESHOLD_BYTES), "max-allowed-packet": "64M"}
    server = mysql_server_factory(settings, "mariadb11")
    database = server.create_database()
    database.execute("create table t (id int primary key, note longtext)")
    follower = follow(database, limits=Limits(set_bytes=1024 * 1024))
    database.execute("insert into t values (1, 'before')")
    files = len(server.query("show binary logs"))
    rows = [f"insert into t values ({number}, repeat('x', 1000000))" for number in range(2, 14)]
    database.execute("begin", *rows, "commit", "insert into t values (14, 'behind')")
    assert len(server.query("show binary logs")) > files
    found = follower.rows()
    assert [row["id"] for row in found] == list(range(1, 15))
    assert len({row["_cdc_tx"] for row in found}) == 3
    orders = [follower.source.position(row["_cdc_position"]).order for row in found]
    assert orders == sorted(orders)
    follower.assert_at_end(server)
    follower.restart()
    database.execute("insert into t values (15, 'last')")
    assert [row["id"] for row in follower.rows()] == [15]


@NEWEST
def test_timestamps_reach_beyond_2038(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute("create table t (id int primary key, at timestamp null, fine timestamp(6) null)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "set time_zone = '+00:00'",
        "insert into t values (1, '2106-02-07 06:28:15', '2106-02-07 06:28:15.999999')",
        "insert into t values (2, '2038-01-19 03:14:08', '2038-01-19 03:14:08.5')",
    )
    _, copied = follower.copy()
    for rows in (follower.rows(), copied):
        last, first = rows
        assert (last["at"], last["fine"]) == (LAST_TIMESTAMP, LAST_TIMESTAMP.replace(microsecond=999_999))
        assert first["at"] == datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)


@NEWEST
def test_vectors_of_mariadb_are_lists(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute("create table t (id int primary key, v vector(3) not null, vector index (v))")
    follower = follow(mysql_database)
    mysql_database.execute("insert into t values (1, vec_fromtext('[1,-2.5,0.1]'))")
    _, copied = follower.copy()
    (streamed,) = follower.rows()
    assert streamed["v"] == copied[0]["v"] == pytest.approx([1.0, -2.5, 0.1])
