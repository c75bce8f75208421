"""A snapshot that died is gone on with under a new one: exact whatever happened to the rows between."""

from __future__ import annotations

import pytest

from cdc.model import Envelope
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.snapshot.chunks import RESUMABLE_TRANSACTIONS, ChunkLayout, ResumeToken
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database
from tests.support.postgres.snapshots import CHANGES, Copying, expected, filled


@pytest.fixture
def limits() -> Limits:
    """Small chunks."""
    return Limits(chunk_bytes=2 * 8192, min_chunk_pages=2)


@pytest.mark.parametrize("change", CHANGES)
def test_a_resumed_copy_is_exact_after(database: Database, follow: FollowerFactory, change: str) -> None:
    filled(database)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(*CHANGES[change])
    assert copying.attempt(1).state() == expected(database)
    assert copying.resumed == [False, True]


def test_finished_chunks_are_read_again_only_for_what_was_written_since(
    database: Database, follow: FollowerFactory
) -> None:
    filled(database)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute("update t set n = -1 where id in (1, 300, 600)")
    before = len(copying.rows)
    copying.attempt(1)
    reads = [row for row in copying.rows[before:] if row[Envelope.OP] == "r"]
    assert before + len(reads) <= 600 + 3
    assert copying.state() == expected(database)


def test_a_copy_may_die_any_number_of_times(database: Database, follow: FollowerFactory) -> None:
    filled(database)
    copying = Copying(follow(database))
    for seed, change in enumerate(CHANGES.values()):
        copying.attempt(0.3, seed)
        database.execute(*change)
        if seed % 3 == 0:
            copying.follower.restart()
    assert copying.attempt(1).state() == expected(database)
    assert copying.resumed == [False] + [True] * len(CHANGES)


@pytest.mark.parametrize(
    "change",
    [
        "truncate t",
        "vacuum full t",
        "alter table t alter n type bigint",
        "alter table t rename n to m",
        "alter table t drop constraint t_pkey, alter n set not null, add primary key (id, n)",
    ],
)
def test_a_table_whose_places_or_columns_changed_starts_again(
    database: Database, follow: FollowerFactory, change: str
) -> None:
    filled(database, 300)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(change, "insert into t select 9999, 9")
    columns = ", ".join(column.name for column in copying.follower.schema("public.t").columns)
    assert copying.attempt(1).state() == expected(database, columns)
    assert copying.resumed == [False, False]


@pytest.mark.parametrize(
    "change",
    [
        "alter table t add x int default 4",
        "alter table t add x int",
        "alter table t add x int default 4, drop n",
        "alter table t add x int default 4; alter table t alter x drop default",
        "alter table t add x int, alter n set default 3, alter n set statistics 10, alter n set not null",
    ],
)
def test_a_copy_goes_on_when_columns_came_or_went_without_a_rewrite(
    database: Database, follow: FollowerFactory, change: str
) -> None:
    filled(database, 300)
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(change, "insert into t (id, x) values (9999, 1)", "update t set x = 5 where id < 30")
    columns = ", ".join(column.name for column in copying.follower.schema("public.t").columns)
    assert copying.attempt(1).state() == expected(database, columns)
    assert copying.resumed == [False, True]


def test_a_table_without_key_starts_again(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t (id int, n int)",
        "alter table t replica identity full",
        "insert into t select g, g from generate_series(1, 1000) g",
    )
    copying = Copying(follow(database)).attempt(0.5)
    database.execute("update t set n = 0 where id = 1")
    copying.attempt(1)
    assert copying.resumed == [False, False]
    assert sorted(copying.state(()), key=lambda row: row["id"]) == expected(database, "id, n")


def test_partitions_may_come_but_not_go(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t (id int primary key, n int) partition by range (id)",
        "create table t1 partition of t for values from (0) to (1000)",
        "insert into t select g, g from generate_series(1, 900) g",
    )
    copying = Copying(follow(database)).attempt(0.5)
    database.execute(
        "create table t2 partition of t for values from (1000) to (2000)",
        "insert into t select g, g from generate_series(1000, 1100) g",
        "update t set id = id + 500 where id between 700 and 720",
    )
    copying.attempt(0.4)
    database.execute("update t set n = 0 where id > 1000")
    assert copying.attempt(1).state() == expected(database, "id, n")
    assert copying.resumed == [False, True, True]
    database.execute("drop table t2")
    copying.attempt(1)
    assert copying.resumed[-1] is False


def test_a_token_is_good_for_less_than_half_the_circle_of_transaction_ids() -> None:
    token = ResumeToken(
        1, 1000, {1: "23:-1::a", 2: "25:-1::b"}, (1, 2), ("a",), None, {1: ChunkLayout(1, 4, 3)}
    )
    assert ResumeToken.parse(token.text()) == token
    assert token.holds_for(token, 1000 + RESUMABLE_TRANSACTIONS - 1)
    assert not token.holds_for(token, 1000 + RESUMABLE_TRANSACTIONS)
