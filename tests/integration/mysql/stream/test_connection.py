"""What the stream makes of its connection: silence, slowness, closing, encryption."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from cdc.errors import CdcError, SourceGap, SourceUnavailable
from cdc_source_mysql.binlog import stream
from cdc_source_mysql.binlog.dump import Dump
from cdc_source_mysql.options import DEFAULTS, Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.proxy import Proxy
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until


@pytest.fixture
def proxy(mysql_database: MysqlDatabase) -> Iterator[Proxy]:
    mysql_database.execute("create table t (id int primary key auto_increment, note text)")
    with Proxy(mysql_database.server.port) as proxy:
        yield proxy


def through(
    database: MysqlDatabase, proxy: Proxy, make: FollowerFactory, limits: Limits = DEFAULTS
) -> MysqlFollower:
    url = database.server.url(database.name, port=str(proxy.port))
    follower = make(database, url=url, heartbeat="200ms", limits=limits)
    follower.open()
    return follower


def step_for_ever(follower: MysqlFollower) -> None:
    while True:
        follower.step()


def test_a_connection_that_falls_silent_is_given_up(
    mysql_database: MysqlDatabase,
    proxy: Proxy,
    make_follower: FollowerFactory,
) -> None:
    # So short that a loaded server exceeds it, too: nothing is waited for before the pause.
    follower = through(mysql_database, proxy, make_follower, Limits(min_silent_seconds=0.6))
    follower.limits = DEFAULTS
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
    """Silence is counted from the last packet: whoever counted from the start would give up here."""
    packets: list[bytes] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + len(packets) * DEFAULTS.min_silent_seconds * 0.6

    def counted(dump: Dump, size: int, timeout_seconds: float) -> bytes:
        data = receive(dump, size, timeout_seconds)
        if data:
            packets.append(data)
        return data

    receive = Dump.recv
    monkeypatch.setattr(Dump, "recv", counted)
    follower = through(mysql_database, proxy, make_follower)
    monkeypatch.setattr(stream, "time", Clock)
    wait_until(lambda: [follower.step(), len(packets) >= 5][1], "five packets, heartbeats among them")
    assert follower.taken() == []


def test_a_transaction_cut_in_the_middle_comes_whole_after_the_restart(
    mysql_database: MysqlDatabase,
    proxy: Proxy,
    make_follower: FollowerFactory,
) -> None:
    follower = through(mysql_database, proxy, make_follower, Limits(set_bytes=64 * 1024))
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
    # So only closing can end the wait.
    follower = follow(mysql_database, heartbeat="1h")
    follower.catch_up()
    ended: list[CdcError] = []

    def wait() -> None:
        try:
            step_for_ever(follower)
        except CdcError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    follower.source.close()
    thread.join(DEFAULT_TIMEOUT_SECONDS)
    assert ended


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
    # MySQL lowers the size of the cache itself to its limit, and leaves it there.
    names = ("max_binlog_stmt_cache_size", "binlog_stmt_cache_size")
    before = {name: server.value(f"select @@global.{name}") for name in names}
    server.execute("set global max_binlog_stmt_cache_size = 4096")
    try:
        # What does not fit into the cache can't be rolled back: the server logs that it lost it.
        with pytest.raises(Exception, match="max_binlog_stmt_cache_size"):
            mysql_database.execute("insert into m (note) values (repeat('x', 100000)), (repeat('x', 100000))")
    finally:
        server.execute(*(f"set global {name} = {value}" for name, value in before.items()))
    with pytest.raises(SourceGap, match="incident") as raised:
        follower.rows()
    assert raised.value.where.startswith("binlog.0")
