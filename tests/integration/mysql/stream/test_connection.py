"""What the stream makes of its connection: silence, slowness, closing, encryption."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from cdc.errors import CdcError, SourceGap, SourceUnavailable
from cdc_source_mysql.binlog import stream
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.proxy import Proxy


@pytest.fixture
def proxy(mysql_database: MysqlDatabase) -> Iterator[Proxy]:
    mysql_database.execute("create table t (id int primary key auto_increment, note text)")
    with Proxy(mysql_database.server.port) as proxy:
        yield proxy


def through(database: MysqlDatabase, proxy: Proxy, make: FollowerFactory) -> MysqlFollower:
    follower = make(database, url=database.server.url(database.name, port=str(proxy.port)), heartbeat="200ms")
    follower.open()
    return follower


def step_for_ever(follower: MysqlFollower) -> None:
    while True:
        follower.step()


def test_a_connection_that_falls_silent_is_given_up(
    mysql_database: MysqlDatabase,
    proxy: Proxy,
    make_follower: FollowerFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MIN_SILENT_SECONDS", 0.6)
    follower = through(mysql_database, proxy, make_follower)
    follower.catch_up()
    proxy.pause("to_client")
    with pytest.raises(SourceUnavailable, match="no packet for"):
        step_for_ever(follower)
    proxy.resume()
    mysql_database.execute("insert into t (note) values ('x')")
    assert len(follower.restart().rows()) == 1


def test_heartbeats_keep_an_idle_connection_alive(
    mysql_database: MysqlDatabase,
    proxy: Proxy,
    make_follower: FollowerFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MIN_SILENT_SECONDS", 1.0)
    follower = through(mysql_database, proxy, make_follower)
    nothing = [follower.step() for _ in range(3)]
    assert nothing[-1] is None


def test_a_transaction_cut_in_the_middle_comes_whole_after_the_restart(
    mysql_database: MysqlDatabase,
    proxy: Proxy,
    make_follower: FollowerFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "SET_BYTES", 64 * 1024)
    follower = through(mysql_database, proxy, make_follower)
    follower.catch_up()
    proxy.cut_after(300_000, "to_client")
    values = ", ".join(["(repeat('x', 1000))"] * 1000)
    mysql_database.execute(f"insert into t (note) values {values}")
    with pytest.raises(SourceUnavailable):
        step_for_ever(follower)
    assert all(s.position is None for s in follower.sets if s.row_count)
    follower.sets.clear()
    follower.restart()
    assert len(follower.rows()) == 1000


def test_closing_ends_a_waiting_stream_at_once(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key)")
    follower = follow(mysql_database)
    follower.catch_up()
    ended: list[CdcError] = []

    def wait() -> None:
        try:
            step_for_ever(follower)
        except CdcError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    begun = time.monotonic()
    follower.source.close()
    thread.join(5)
    assert ended
    assert time.monotonic() - begun < 1.0


def test_a_stream_over_tls_carries_large_transactions(
    mysql9_database: MysqlDatabase, make_follower: FollowerFactory
) -> None:
    mysql9_database.execute("create table t (id int primary key auto_increment, note text)")
    url = mysql9_database.server.url(mysql9_database.name, **{"ssl-mode": "required"})
    follower = make_follower(mysql9_database, url=url)
    follower.open()
    values = ", ".join(["(repeat('x', 1000))"] * 1000)
    mysql9_database.execute(f"insert into t (note) values {values}")
    assert len(follower.rows()) == 1000


def test_an_incident_stops_the_source(mysql_database: MysqlDatabase, follow: FollowerFactory) -> None:
    mysql_database.execute(
        "create table m (id int primary key auto_increment, note longtext) engine = myisam"
    )
    follower = follow(mysql_database)
    server = mysql_database.server
    server.execute("set global max_binlog_stmt_cache_size = 4096")
    try:
        # What does not fit into the cache can't be rolled back: the server logs that it lost it.
        with pytest.raises(Exception, match="max_binlog_stmt_cache_size"):
            mysql_database.execute("insert into m (note) values (repeat('x', 100000)), (repeat('x', 100000))")
    finally:
        server.execute("set global max_binlog_stmt_cache_size = 18446744073709547520")
    with pytest.raises(SourceGap, match="incident"):
        follower.rows()
