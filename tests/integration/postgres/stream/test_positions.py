"""Positions: going on after any of them, idle progress, signs of life, and a server that shuts down."""

from __future__ import annotations

import threading
import time

import pytest

from cdc.errors import CdcError, SourceUnavailable
from cdc.model import Position
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.stream import stream
from cdc_source_postgres.wire.messages import lsn_int
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.follower import Follower, rows_of
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

# How long the server waits for a sign of life. One comes every four seconds, so a loaded machine may be
# late by eight.
PATIENCE_SECONDS = 12


def confirmed(database: Database, slot: str) -> int:
    return lsn_int(
        database.value(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", [slot]
        )
    )


def test_a_stream_that_starts_after_any_set_gives_exactly_what_follows_it(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, n int)")
    follower = follow(database, limits=Limits(set_bytes=1))
    follower.acknowledges = False
    # Rows of COPY share one position in the WAL; transactions of several rows must not be split.
    for number in range(5):
        database.execute(
            f"insert into t select g, {number} from generate_series({number * 4}, {number * 4 + 3}) g"
        )
    with database.connect() as connection, connection.cursor().copy("copy t from stdin") as copy:
        copy.write("100\t1\n101\t1\n102\t1\n")
    follower.catch_up()
    sets, follower.sets = [s for s in follower.sets if s.row_count], []
    assert len(sets) == 6
    for i, changes in enumerate(sets):
        follower.close()
        follower.position = changes.position
        follower.restart().catch_up()
        assert [r["id"] for r in follower.taken()] == [r["id"] for r in rows_of(sets[i + 1 :])]


def test_nothing_acknowledged_is_sent_again_and_nothing_else_is_lost(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    seen = []
    for number in range(8):
        database.execute(f"insert into t values ({number})")
        seen += [row["id"] for row in follower.rows()]
        if number % 2:
            follower.restart()
    assert seen == list(range(8))


def test_the_slot_moves_only_to_what_was_acknowledged(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = make_follower(database)
    # From the beginning: what was acknowledged reaches the server some time later.
    follower.acknowledges = False
    follower.open()
    start = confirmed(database, follower.options.slot or "")
    database.execute("insert into t values (1)")
    follower.rows()
    assert confirmed(database, follower.options.slot or "") == start
    assert follower.position is not None
    reached = follower.position
    follower.source.acknowledge(reached)
    wait_until(
        lambda: (follower.step(), confirmed(database, follower.options.slot or "") >= reached.order)[1],
        "the slot to move",
    )


def test_an_acknowledgement_beyond_what_was_received_is_not_passed_on(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("insert into t values (1)")
    follower.catch_up()
    follower.source.acknowledge(Position(lsn_int("FF/0"), "FF/0"))
    database.execute("insert into t values (2)")
    follower.restart()
    assert confirmed(database, follower.options.slot or "") < lsn_int("FF/0")
    assert [row["id"] for row in follower.taken() + follower.rows()] == [1, 2]


def test_an_idle_database_lets_the_slot_move_while_others_write(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database, limits=Limits(idle_seconds=0.1))
    follower.catch_up()
    before = confirmed(database, follower.options.slot or "")
    database.execute(
        "create table unpublished (id int)", "insert into unpublished select generate_series(1, 1000)"
    )
    written = lsn_int(database.value("select pg_current_wal_flush_lsn()::text"))
    wait_until(
        lambda: (follower.step(), confirmed(database, follower.options.slot or "") >= written)[1],
        "the idle slot to move",
    )
    assert before < written
    assert follower.taken() == []
    # What was acknowledged while idle is no gap for the next process.
    database.execute("insert into t values (1)")
    assert [row["id"] for row in follower.restart().rows()] == [1]


def test_a_caller_that_takes_nothing_keeps_the_stream_by_repeating_its_acknowledgement(
    postgres_factory: PostgresFactory,
) -> None:
    server = postgres_factory({"wal_sender_timeout": f"{PATIENCE_SECONDS}s"})
    database = server.create_database()
    database.execute("create table t (id int primary key, note text)")
    follower = PostgresFollower(database).open()
    database.execute("insert into t select g, repeat('x', 1000) from generate_series(1, 5000) g")
    assert follower.position is not None
    pid = database.value("select active_pid from pg_replication_slots")
    reached, deadline = follower.position, time.monotonic() + 1.5 * PATIENCE_SECONDS
    wait_until(
        lambda: (follower.source.acknowledge(reached), time.monotonic() >= deadline)[1],
        "longer than the server's patience",
    )
    assert database.value("select active_pid from pg_replication_slots") == pid
    assert len(follower.rows()) == 5000
    follower.close()


def test_the_interval_of_signs_of_life_follows_the_servers_patience() -> None:
    def interval(seconds: float) -> float:
        return stream.Acknowledgements(lambda payload: None, 0, seconds).interval_seconds

    assert interval(60) == 10
    assert interval(3) == pytest.approx(1)
    assert interval(0) == 10


@pytest.mark.parametrize("acknowledges", [True, False])
def test_a_server_that_shuts_down_is_let_go(postgres_factory: PostgresFactory, acknowledges: bool) -> None:
    server = postgres_factory({"wal_sender_timeout": "60s"})
    database = server.create_database()
    database.execute("create table t (id int primary key)")
    follower = PostgresFollower(database).open()
    follower.acknowledges = acknowledges
    database.execute("insert into t values (1)")
    follower.catch_up()
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    with pytest.raises(SourceUnavailable):
        _read_until_error(follower)
    stopping.join(DEFAULT_TIMEOUT_SECONDS)
    assert not stopping.is_alive()
    server.start()
    database.execute("insert into t values (2)")
    assert [row["id"] for row in follower.taken() + follower.restart().rows()] == [1, 2]
    follower.close()


def test_a_killed_connection_is_unavailable_and_the_same_object_goes_on(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    database.execute("insert into t values (1)")
    follower.catch_up()
    database.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots"
        " where database = current_database()",
        "insert into t values (2)",
    )
    with pytest.raises(SourceUnavailable):
        _read_until_error(follower)
    follower._stream = None
    assert [row["id"] for row in follower.taken() + follower.rows()] == [1, 2]


def _read_until_error(follower: Follower) -> CdcError:
    deadline = time.monotonic() + DEFAULT_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        follower.step()
    raise AssertionError("the stream goes on")
