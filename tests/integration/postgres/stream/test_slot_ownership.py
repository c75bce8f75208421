"""A log reads only from the slot that it made: the database remembers whose the slot is."""

from __future__ import annotations

import threading
from dataclasses import replace
from uuid import uuid4

import pytest

from cdc.engine.identity import STARTS_KEY, next_start
from cdc.errors import SourceClaimed, SourceGap, SourceRefused
from cdc.spi import LogIdentity
from cdc_source_postgres.limits import Limits
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database, PostgresServer
from tests.support.waiting import wait_until

COMMENT = "select obj_description(oid, 'pg_publication') from pg_publication"


def log(*, starts: int = 1, is_new: bool = True) -> LogIdentity:
    return LogIdentity(str(uuid4()), starts, is_new)


def confirmed(database: Database) -> str:
    return str(
        database.value(
            "select confirmed_flush_lsn from pg_replication_slots where database = current_database()"
        )
    )


def restart(follower: PostgresFollower) -> PostgresFollower:
    """The next process on the same log."""
    follower.let_go()
    assert follower.owner is not None
    follower.owner = replace(follower.owner, starts=follower.owner.starts + 1, is_new=False)
    follower.restart()
    return follower


def codes(follower: PostgresFollower) -> set[str]:
    return {f.code for f in follower.source.check() if f.severity == "error"}


def test_an_empty_log_leaves_a_slot_that_another_log_made(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    first = make_follower(database, owner=log()).open()
    database.execute("insert into t values (1)")
    assert first.ops() == ["c"]
    first.let_go()
    before = confirmed(database)
    second = make_follower(database, owner=log())
    with pytest.raises(SourceClaimed, match="belongs to another log") as caught:
        second.open()
    assert "cdc run --adopt-slot shop" in caught.value.remedy
    assert "run the command in the folder of its daemon" in caught.value.remedy
    assert "`cdc init` writes a file" in caught.value.remedy
    assert codes(second) == {"slot-owner"}
    assert confirmed(database) == before
    database.execute("insert into t values (2)")
    assert [row["id"] for row in restart(first).rows()] == [2]


def test_an_empty_log_leaves_a_slot_that_nobody_marked(
    database15: Database, make_follower: FollowerFactory
) -> None:
    database15.execute("create table t (id int primary key)")
    make_follower(database15).open().let_go()
    follower = make_follower(database15, owner=log())
    with pytest.raises(SourceClaimed, match="exists, and this state_dir"):
        follower.open()
    assert codes(follower) == {"slot-owner"}
    assert follower.owner is not None
    follower.owner = replace(follower.owner, takes_over=True)
    follower.close()
    follower.source = follower._new_source()
    follower.open().let_go()
    assert follower.owner.log_id in database15.value(COMMENT)


def test_a_slot_of_another_database_is_not_offered_to_be_adopted(
    database15: Database, postgres15: PostgresServer, make_follower: FollowerFactory
) -> None:
    other = postgres15.create_database()
    taken = f"slot_of_{other.name}"
    other.query("select pg_create_logical_replication_slot(%s, 'pgoutput')", [taken])
    follower = make_follower(database15, owner=log(), slot=taken)
    with pytest.raises(SourceRefused, match=f"is of the database {other.name}") as caught:
        follower.open()
    assert "adopt" not in caught.value.remedy
    other.drop()


def test_a_log_that_was_written_before_owners_were_remembered_marks_its_slot(
    database15: Database, make_follower: FollowerFactory
) -> None:
    database15.execute("create table t (id int primary key)")
    follower = make_follower(database15).open()
    database15.execute("comment on publication cdc_shop is 'the shop''s'")
    follower.owner = log(is_new=False)
    follower.let_go()
    follower.restart()
    database15.execute("insert into t values (1)")
    assert follower.ops() == ["c"]
    assert database15.value(COMMENT).splitlines() == [
        "the shop's",
        f"cdc: slot {follower.options.slot} belongs to log {follower.owner.log_id}, start 1",
    ]


def test_a_log_that_waits_for_the_slot_does_not_take_it_from_its_new_owner(
    database15: Database, make_follower: FollowerFactory
) -> None:
    # GIVEN two logs, of which the second was given the slot
    limits = Limits(release_seconds=60.0)
    first = make_follower(database15, owner=log(), limits=limits).open()
    first.let_go()
    taking_over = replace(log(), takes_over=True)
    second = make_follower(database15, owner=taking_over, limits=limits).open()
    second.rows()
    # WHEN the first waits until it is free
    failure: list[Exception] = []

    def open_again() -> None:
        try:
            restart_now(first)
        except SourceClaimed as error:
            failure.append(error)

    waiting = threading.Thread(target=open_again)
    waiting.start()
    wait_until(
        lambda: database15.value(
            "select count(*) from pg_locks where locktype = 'advisory' and database ="
            " (select oid from pg_database where datname = current_database())"
        ),
        "the first log to wait",
    )
    second.close()
    waiting.join()
    # THEN it leaves it
    assert failure


def restart_now(follower: PostgresFollower) -> None:
    assert follower.owner is not None
    follower.owner = replace(follower.owner, starts=follower.owner.starts + 1, is_new=False)
    follower.restart()


def test_a_copy_of_a_log_is_told_from_the_one_that_went_on(
    database15: Database, make_follower: FollowerFactory
) -> None:
    first = restart(make_follower(database15, owner=log()).open())
    copy = make_follower(database15, owner=first.owner)
    copy.position, copy.facts = first.position, dict(first.facts)
    restart(first).let_go()
    # The copy counts to the number that the other one has written, or stays behind it.
    for starts in (0, 1):
        assert first.owner is not None
        copy.owner = replace(first.owner, starts=first.owner.starts - starts)
        with pytest.raises(SourceClaimed, match="a copy of this state_dir"):
            copy.restart()
    restart(first)


def test_adopting_a_slot_that_has_moved_on_is_a_gap_that_takes_nothing_until_tables_are_copied_again(
    database15: Database, make_follower: FollowerFactory
) -> None:
    # GIVEN a log, and an older copy of it, whose slot has moved on
    database15.execute("create table t (id int primary key)")
    first = restart(make_follower(database15, owner=log()).open())
    assert first.owner is not None
    number = next_start({STARTS_KEY: str(first.owner.starts)}, takes_over=True)
    restored = make_follower(database15, owner=replace(first.owner, starts=number, takes_over=True))
    restored.position, restored.facts = first.position, dict(first.facts)
    database15.execute("insert into t values (1)")
    first.rows()
    restart(first).let_go()
    database15.query("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", [first.options.slot])
    # WHEN the copy is to take it
    before, reached = database15.value(COMMENT), confirmed(database15)
    for _ in range(2):
        with pytest.raises(SourceGap, match="past the end of our log"):
            restored.restart()
    # THEN it still belongs to the other, which could go on
    assert (database15.value(COMMENT), confirmed(database15)) == (before, reached)
    # and only a new history takes it
    restored.position = restored.source.open(None, {})
    database15.execute("insert into t values (2)")
    assert [row["id"] for row in restored.rows()] == [2]
    assert database15.value(COMMENT) != before
    restored.let_go()
    with pytest.raises(SourceClaimed):
        restart(first)


def test_a_publication_of_another_role_leaves_the_slot_unmarked_and_says_so(
    database15: Database, make_follower: FollowerFactory
) -> None:
    role = f"reader_{database15.name}"
    database15.execute(
        f"create role {role} login replication password 'secret'",
        "create table t (id int primary key)",
        f"grant select on t to {role}",
        "create publication cdc_shop for table t",
    )
    try:
        url = database15.dsn(role, "secret")
        follower = make_follower(database15, owner=log(), url=url).open()
        database15.execute("insert into t values (1)")
        assert follower.ops() == ["c"]
        assert [event for event, _ in follower.events if "cannot mark the publication" in event]
        follower.let_go()
        with pytest.raises(SourceClaimed, match="exists, and this state_dir"):
            make_follower(database15, owner=log(), url=url).open()
        restart(follower)
        follower.let_go()
    finally:
        database15.execute(f"drop owned by {role}", f"drop role {role}")
