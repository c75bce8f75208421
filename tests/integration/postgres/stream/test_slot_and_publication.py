"""Slot and publication over their lives: created, taken, moved, dropped; which tables may come in, with which
columns and rows.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cdc.errors import (
    SourceBusy,
    SourceGap,
    SourceMismatch,
    SourceRefused,
    SourceUnavailable,
    UnsupportedSchema,
)
from cdc.model import Position
from cdc_source_postgres import PostgresSource, source
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.stream import slot
from cdc_source_postgres.wire.messages import lsn_int
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

DELETE_SLOT = (
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
)


def test_an_empty_log_goes_on_from_a_slot_that_is_there(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    first = make_follower(database).open()
    first.close()
    database.execute("insert into t values (1)")
    second = make_follower(database).open()
    assert [row["id"] for row in second.rows()] == [1]


def test_a_slot_that_is_gone_is_a_gap_and_is_not_created_in_silence(
    database: Database, follow: FollowerFactory
) -> None:
    follower = follow(database)
    follower.rows()
    follower.let_go()
    database.execute(DELETE_SLOT)
    with pytest.raises(SourceGap, match="no longer exists"):
        follower.restart()
    assert database.query("select from pg_replication_slots where database = current_database()") == []


def test_a_slot_that_was_created_anew_is_a_gap(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.rows()
    follower.let_go()
    database.execute(
        DELETE_SLOT,
        "insert into t values (1)",
        f"select pg_create_logical_replication_slot('{follower.options.slot}', 'pgoutput')",
    )
    with pytest.raises(SourceGap, match="past the end of our log") as caught:
        follower.restart()
    assert "Copy all tables again" in caught.value.remedy


def test_after_a_gap_beginning_anew_takes_a_new_slot(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.rows()
    follower.let_go()
    database.execute(f"select pg_replication_slot_advance('{follower.options.slot}', pg_current_wal_lsn())")
    database.execute("insert into t values (1)")
    database.execute(f"select pg_replication_slot_advance('{follower.options.slot}', pg_current_wal_lsn())")
    with pytest.raises(SourceGap):
        follower.restart()
    follower.position = follower.source.open(None, {})
    database.execute("insert into t values (2)")
    assert [row["id"] for row in follower.rows()] == [2]
    assert "dropped the slot to start a new history" in [event for event, _ in follower.events]


def test_a_server_behind_the_end_of_the_log_is_another_one(
    database: Database, follow: FollowerFactory
) -> None:
    follower = follow(database)
    follower.close()
    follower.position = Position(lsn_int("FF/0"), "FF/0")
    with pytest.raises(SourceMismatch, match="restored to an earlier state"):
        follower.restart()


def test_a_slot_of_another_plugin_is_refused(database: Database, make_follower: FollowerFactory) -> None:
    follower = make_follower(database)
    database.execute(f"select pg_create_logical_replication_slot('{follower.options.slot}', 'test_decoding')")
    with pytest.raises(SourceRefused, match="test_decoding"):
        follower.open()


def test_a_slot_that_another_process_reads_is_busy_and_named(
    database: Database,
    follow: FollowerFactory,
    make_follower: FollowerFactory,
) -> None:
    first = follow(database)
    first.rows()
    with pytest.raises(SourceBusy, match=r"in use by process \d+ \(cdc_shop\)"):
        make_follower(database, limits=Limits(release_seconds=0.2)).open()
    database.execute("create table t (id int primary key)")
    first.source.follow(first.source.discover())
    database.execute("insert into t values (1)")
    assert first.ops() == ["c"]


def test_a_slot_is_taken_over_when_its_reader_lets_go(
    database: Database, follow: FollowerFactory, make_follower: FollowerFactory
) -> None:
    first = follow(database)
    first.rows()
    second = make_follower(database)
    opening = threading.Thread(target=second.open)
    opening.start()
    first.close()
    opening.join()
    assert second.rows() == []


def test_a_slot_that_a_lost_session_was_creating_is_created_anew(
    database: Database, make_follower: FollowerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a slot is listed without a position until its session ends, and never has one."""
    database.execute("create table t (id int primary key)", "create publication cdc_shop for table t")
    follower = make_follower(database)
    name = follower.options.slot or ""
    pid = "select active_pid from pg_replication_slots where slot_name = %s"
    with database.connect(autocommit=False) as blocker, database.connect(replication="database") as lost:
        blocker.execute("create table b (id int)")
        command = f'CREATE_REPLICATION_SLOT "{name}" LOGICAL pgoutput NOEXPORT_SNAPSHOT'
        lost.pgconn.send_query(command.encode())
        wait_until(lambda: database.query(pid, [name]), "the slot to be listed")

        def end_meanwhile(*arguments: Any) -> None:
            monkeypatch.setattr(source, "release_slot", slot.release_slot)
            database.execute(f"select pg_terminate_backend({database.value(pid, [name])})")
            lost.pgconn.finish()
            blocker.rollback()
            slot.release_slot(*arguments)

        monkeypatch.setattr(source, "release_slot", end_meanwhile)
        follower.open()
    assert follower.position is not None
    assert follower.position.order > 0
    database.execute("insert into t values (1)")
    assert [row["id"] for row in follower.rows()] == [1]


def test_creating_the_slot_names_who_it_waits_for(database: Database, make_follower: FollowerFactory) -> None:
    limits = Limits(lock_timeout_seconds=1, create_attempts=1)
    with database.connect(autocommit=False, application_name="nightly report") as blocker:
        blocker.execute("create table t (id int)")
        with pytest.raises(SourceUnavailable, match="nightly report"):
            make_follower(database, limits=limits).open()
        assert database.query("select from pg_replication_slots where database = current_database()") == []


def test_check_tells_a_publication_that_sends_partitions_in_another_way_than_the_log_has_them(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.rows()
    source, position = follower.source, follower.position
    assert isinstance(source, PostgresSource)
    assert position is not None
    assert source.verify_reach(position, follower.facts) == ()
    database.execute("alter publication cdc_shop set (publish_via_partition_root = false)")
    (finding,) = source.verify_reach(position, follower.facts)
    assert finding.code == "log-partitions"
    assert "their changes are not captured until it is set back" in finding.message
    database.execute(finding.fix)
    assert source.verify_reach(position, follower.facts) == ()


def test_a_dropped_publication_stops_the_stream(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database, limits=Limits(look_seconds=0.05))
    follower.rows()
    database.execute("drop publication cdc_shop")
    with pytest.raises(SourceGap, match="publication 'cdc_shop' was dropped"):
        wait_until(lambda: follower.step() and False, "the stream to stop")
    with pytest.raises(SourceGap, match="was dropped"):
        follower.restart()


def test_a_publication_that_was_dropped_and_created_again_is_a_gap(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.rows()
    follower.close()
    database.execute(
        "drop publication cdc_shop", "insert into t values (1)", "create publication cdc_shop for table t"
    )
    with pytest.raises(SourceGap, match="was dropped"):
        follower.restart().rows()


def test_a_table_that_left_the_publication_and_came_back_is_copied_again(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.copy()
    follower.rows()
    follower.close()
    database.execute(
        "alter publication cdc_shop drop table t",
        "insert into t values (1)",
        "alter publication cdc_shop add table t",
    )
    follower.restart().rows()
    assert [str(stale.table) for stale in follower.stale] == ["public.t"]
    assert "out of the publication" in follower.stale[0].reason


def test_following_a_table_without_identity_is_refused_and_its_application_keeps_working(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int)", "insert into t values (1)")
    with pytest.raises(UnsupportedSchema, match="no replica identity") as caught:
        make_follower(database).open()
    assert "alter table public.t replica identity full" in caught.value.remedy
    database.execute("update t set id = 2")


def test_a_publication_of_the_user_is_used_as_it_is(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t (id int primary key)",
        "create table keyless (id int)",
        "create publication mine for all tables",
    )
    follower = follow(
        database, publication="mine", tables=("public.*", "!public.keyless"), create_publication=False
    )
    database.execute("insert into t values (1)", "insert into keyless values (1)")
    assert [row["table"] for row in follower.rows()] == ["public.t"]


def test_a_publication_that_we_may_not_alter_is_refused_with_the_statement(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    with pytest.raises(SourceRefused) as caught:
        make_follower(database, create_publication=False).open()
    assert "create publication cdc_shop" in caught.value.remedy
    database.execute("create publication cdc_shop")
    with pytest.raises(SourceRefused) as caught:
        make_follower(database, create_publication=False).open()
    assert "alter publication cdc_shop add table public.t" in caught.value.remedy


@pytest.mark.every_server
def test_column_lists_and_row_filters_are_refused_where_the_server_has_none(
    database: Database, make_follower: FollowerFactory
) -> None:
    if database.server.major >= 15:
        pytest.skip("this server has them")
    database.execute("create table t (id int primary key)")
    with pytest.raises(SourceRefused, match="need Postgres 15"):
        make_follower(database, where={"public.t": "id > 1"}).open()


@pytest.mark.every_server
def test_column_lists_and_row_filters_hold_for_copy_and_stream(
    database: Database, follow: FollowerFactory
) -> None:
    if database.server.major < 15:
        pytest.skip("this server has none")
    database.execute(
        "create table t (id int primary key, tenant int not null, secret text, note text)",
        "insert into t values (1, 1, 's', 'a'), (2, 0, 's', 'b')",
    )
    follower = follow(
        database, columns={"public.t": ("id", "note")}, where={"public.t": "id <> 2 and id < 100"}
    )
    _, copied = follower.copy()
    database.execute("insert into t values (3, 1, 's', 'c')", "insert into t values (200, 1, 's', 'd')")
    streamed = follower.rows()
    assert [(row["id"], row["note"]) for row in [*copied, *streamed]] == [(1, "a"), (3, "c")]
    assert all("secret" not in row for row in [*copied, *streamed])
    assert follower.schema("public.t").columns == next(iter(follower.source.discover())).columns


def test_generated_columns_are_in_neither_copy_nor_stream(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int primary key, double int generated always as (id * 2) stored)",
        "insert into t values (1)",
    )
    follower = follow(database)
    _, (copied,) = follower.copy()
    database.execute("insert into t values (2)")
    (streamed,) = follower.rows()
    assert "double" not in copied
    assert "double" not in streamed


def test_generated_columns_that_the_publication_sends_are_in_both(
    database18: Database, follow: FollowerFactory
) -> None:
    database18.execute(
        "create table t (id int primary key, double int generated always as (id * 2) stored)",
        "insert into t values (1)",
        "create publication mine for table t with (publish_generated_columns = stored)",
    )
    follower = follow(database18, publication="mine")
    _, (copied,) = follower.copy()
    database18.execute("insert into t values (2)")
    (streamed,) = follower.rows()
    assert (copied["double"], streamed["double"]) == (2, 4)


@pytest.mark.every_server
@pytest.mark.parametrize("wanted", [True, False])
def test_a_slot_follows_a_failover_where_that_is_wanted_and_known(
    database: Database, make_follower: FollowerFactory, wanted: bool
) -> None:
    make_follower(database, failover=wanted).open()
    query = (
        "select to_jsonb(s) ->> 'failover' from pg_replication_slots s where database = current_database()"
    )
    assert database.value(query) == (None if database.server.major < 17 else str(wanted).lower())


def test_a_lost_slot_is_a_gap(database: Database, follow: FollowerFactory) -> None:
    server = database.server
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    follower.rows()
    follower.close()
    with server.connect() as admin:
        admin.execute("alter system set max_slot_wal_keep_size = '1MB'")
        admin.execute("select pg_reload_conf()")
        try:
            deadline = time.monotonic() + DEFAULT_TIMEOUT_SECONDS
            state = "select wal_status from pg_replication_slots where slot_name = %s"
            while database.value(state, [follower.options.slot]) != "lost":
                assert time.monotonic() < deadline
                admin.execute("select pg_switch_wal()")
                admin.execute("checkpoint")
                database.execute("create table if not exists filler (x int)", "insert into filler values (1)")
        finally:
            admin.execute("alter system reset max_slot_wal_keep_size")
            admin.execute("select pg_reload_conf()")
    with pytest.raises(SourceGap, match="invalidated"):
        follower.restart()
    follower.position = follower.source.open(None, {})
    assert follower.rows() == []
