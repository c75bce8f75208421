"""Failover by GTID: the first server dies, the stream goes on with its replica, nothing lost or doubled."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from cdc.errors import SourceGap, SourceMismatch, SourceUnavailable
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.follower import position_of
from tests.support.mysql.branches import prepare
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.pairs import Pair, make_pair, stop_replica, wait_for_replica
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until


@pytest.fixture
def pair(mysql_server_factory: MysqlFactory, mysql_name: str) -> Pair:
    return make_pair(mysql_server_factory, mysql_name)


def promote(pair: Pair) -> None:
    """The first server is dead; the second one takes writes."""
    pair[0].kill9()
    stop_replica(pair)


@pytest.fixture
def database(pair: Pair) -> MysqlDatabase:
    database = pair[0].create_database()
    database.execute("create table t (id int primary key, note varchar(20))")
    return database


def ids(follower: MysqlFollower) -> list[int]:
    return [row["id"] for row in follower.rows()]


@pytest.mark.every_server
def test_nothing_is_lost_or_doubled_when_a_replica_takes_over(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    _, second = pair
    # The files of the two are not the same.
    second.execute("flush binary logs")
    follower = follow(database)
    database.execute("insert into t values (1, 'a')", "insert into t values (2, 'b')")
    assert ids(follower) == [1, 2]
    before = follower.position
    xid = f"'{database.name}'"
    prepare(database, xid, "insert into t values (3, 'xa')")
    follower.catch_up()
    database.execute("insert into t values (4, 'not seen yet')")
    wait_for_replica(pair)
    promote(pair)
    second.execute(f"insert into {database.name}.t values (5, 'on the second')")
    follower.point_to(second.url(database.name)).restart()
    assert ids(follower) == [4, 5]
    second.execute(f"insert into {database.name}.t values (6, 'f')")
    assert ids(follower) == [6]
    assert follower.position is not None
    assert before is not None
    assert follower.position > before
    assert follower.position.text.startswith("1/")
    follower.restart()
    second.execute(f"insert into {database.name}.t values (7, 'g')")
    assert ids(follower) == [7]
    second.execute(f"xa commit {xid}")
    assert ids(follower) == [3]


def test_a_statement_right_behind_a_failover_is_looked_into(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    """The stream doesn't know its file yet; what the statement may reach is proven by GTID."""
    _, second = pair
    database.execute("create table other (id int primary key)")
    follower = follow(database, tables=(f"{database.name}.t",))
    database.execute("insert into t values (1, 'a')")
    assert ids(follower) == [1]
    wait_for_replica(pair)
    promote(pair)
    second.execute(
        "set session binlog_format = statement",
        f"insert into {database.name}.other values (1)",
        f"insert into {database.name}.other values (2)",
    )
    second.execute(f"insert into {database.name}.t values (2, 'b')")
    follower.point_to(second.url(database.name)).restart()
    assert ids(follower) == [2]


def test_a_copy_behind_a_failover_waits_for_the_stream(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    _, second = pair
    # Positions of the two don't compare, and those of the first are in a later file.
    pair[0].execute("flush binary logs", "flush binary logs")
    database.execute("create table keyless (v int)", "insert into keyless values (1)")
    follower = follow(database)
    follower.catch_up()
    database.execute("insert into keyless values (2)")
    wait_for_replica(pair)
    promote(pair)
    follower.point_to(second.url(database.name)).restart()
    for table in (f"{database.name}.keyless", f"{database.name}.t"):
        with pytest.raises(SourceUnavailable, match="has not reached this server"):
            follower.copy(table)
    [streamed] = follower.rows()
    # A set counts as taken when the next one is asked for.
    follower.step()
    snapshot, rows = follower.copy(f"{database.name}.keyless")
    assert sorted(row["v"] for row in rows) == [1, 2]
    # What the copy contains comes before it.
    position = position_of(snapshot)
    assert position.text.startswith("1/")
    assert position.order > follower.source.position(streamed["_cdc_position"]).order


def test_a_replica_that_lacks_what_we_have_is_refused(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    _, second = pair
    follower = follow(database)
    wait_for_replica(pair)
    stop_replica(pair)
    database.execute("insert into t values (1, 'only on the first')")
    follower.catch_up()
    with pytest.raises(SourceMismatch, match="transactions"):
        follower.point_to(second.url(database.name)).restart()


def test_a_replica_that_has_purged_what_we_lack_is_a_gap(
    pair: Pair, database: MysqlDatabase, follow: FollowerFactory
) -> None:
    _, second = pair
    follower = follow(database)
    follower.catch_up()
    follower.close()
    database.execute("insert into t values (1, 'purged')")
    wait_for_replica(pair)
    second.execute("flush binary logs")

    def is_purged() -> bool:
        second.execute(f"purge binary logs to '{second.position()[0]}'")
        return len(second.query("show binary logs")) == 1

    wait_until(is_purged, "the binlog to be purged")
    with pytest.raises(SourceGap):
        follower.point_to(second.url(database.name)).restart().rows()


@pytest.mark.parametrize("files", [0, 20])
def test_a_server_that_counts_from_the_beginning_again_is_a_gap(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, mysql_name: str, files: int
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = server.create_database()
    database.execute("create table t (id int primary key, note varchar(20))")
    follower = follow(database)
    database.execute("insert into t values (1, 'before')")
    assert ids(follower) == [1]
    follower.close()
    had = follower.position
    # A file is identified by the second in which it began.
    begun = int(server.value("select unix_timestamp()"))
    wait_until(lambda: int(server.value("select unix_timestamp()")) > begun, "the next second")
    server.execute("reset binary logs and gtids" if server.flavour == "mysql" else "reset master")
    # The new binlogs reach beyond the place and the GTIDs of our log.
    server.execute(*["flush binary logs"] * files)
    database.execute(*[f"insert into t values ({number}, 'lost')" for number in range(2, 42)])
    with pytest.raises(SourceGap, match="reset") as error:
        follower.restart()
    assert "Copy all tables again" in error.value.remedy
    vars(follower).update(position=None, facts={})
    follower.open()
    assert had is not None
    assert follower.position is not None
    assert follower.position > had


def photograph(server: MysqlServer, copy: Path) -> None:
    """What a power loss would leave of a server now."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        shutil.copytree(server.data, copy, symlinks=True)
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("files", "reason"), [(0, "ends before the end of our log"), (1, "is not the same binlog as before")]
)
def test_a_server_that_lost_the_end_of_its_binlog_and_counts_on_is_a_gap(
    mysql_server_factory: MysqlFactory,
    follow: FollowerFactory,
    mysql_name: str,
    files: int,
    reason: str,
    tmp_path: Path,
) -> None:
    server = mysql_server_factory({}, mysql_name)
    database = server.create_database()
    database.execute("create table t (id int primary key, note varchar(20))", "insert into t values (1, 'a')")
    follower = follow(database)
    database.execute("insert into t values (2, 'kept')")
    assert ids(follower) == [2]
    photograph(server, tmp_path / "data")
    server.execute(*["flush binary logs"] * files)
    database.execute(*[f"insert into t values ({number}, 'lost')" for number in range(3, 13)])
    assert ids(follower) == list(range(3, 13))
    follower.close()
    server.kill9()
    # A file is identified by the second in which it began.
    died = int(time.time())
    wait_until(lambda: int(time.time()) > died, "the next second")
    shutil.rmtree(server.data)
    shutil.copytree(tmp_path / "data", server.data, symlinks=True)
    server.start()
    # The GTIDs of what is lost are given to others, and so are the places behind a rotation.
    database.execute(*[f"insert into t values ({number}, 'new')" for number in range(20, 40)])
    with pytest.raises(SourceGap, match=reason) as error:
        follower.restart()
    assert "Copy all tables again" in error.value.remedy
