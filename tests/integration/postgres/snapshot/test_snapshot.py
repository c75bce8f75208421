"""Snapshots: exact at the seam with the stream, under writes, rewrites and partitions."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from cdc.errors import SourceRefused, SourceUnavailable, UnrepresentableValue
from cdc.model import Envelope, Position, TableId
from cdc.testing.fold import fold
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.snapshot import views
from cdc_source_postgres.wire.messages import lsn_int
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.follower import Follower, Row, position_of, read_chunks
from tests.support.postgres.follower import PostgresFollower
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

T = TableId("public", "t")


@pytest.fixture
def limits() -> Limits:
    """Small chunks."""
    return Limits(chunk_bytes=4 * 8192, min_chunk_pages=1)


@pytest.fixture
def writers(database: Database) -> Iterator[list[threading.Thread]]:
    """Four sessions that insert, update, delete and change keys in t until the test is over or joins them."""
    stop = threading.Event()
    threads = [threading.Thread(target=write, args=(database, seed, stop)) for seed in range(4)]
    yield threads
    stop.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join()


def write(database: Database, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    with database.connect() as connection:
        for _ in range(150):
            if stop.is_set():
                return
            key, other = (chance.randrange(2000) for _ in range(2))
            choices: list[tuple[str, list[Any]]] = [
                ("insert into t values (%s, %s) on conflict do nothing", [key, chance.random()]),
                ("update t set n = %s where id between %s and %s + 20", [chance.random(), key, key]),
                ("delete from t where id = %s", [key]),
                ("update t set id = %s where id = %s", [other, key]),
            ]
            statement, parameters = chance.choice(choices)
            try:
                connection.execute(statement.encode(), parameters)
            except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
                continue


def beyond(rows: list[Row], start: Position, end: Position | None = None) -> list[Row]:
    """The streamed rows that a snapshot at `start` does not hold (and one at `end` does)."""
    return [
        row
        for row in rows
        if start.order <= lsn_int(row[Envelope.POSITION])
        and (end is None or lsn_int(row[Envelope.POSITION]) < end.order)
    ]


def folded(rows: list[Row], key: list[str]) -> list[Row]:
    """The state that this history gives, sorted by key."""
    numbered = [
        {k: v for k, v in row.items() if k != "table"} | {Envelope.SEQ: i} for i, row in enumerate(rows)
    ]
    return sorted(fold(numbered, key), key=lambda row: [row[name] for name in key])


def source_rows(database: Database, query: str = "select * from t order by id") -> list[Row]:
    with database.connect(row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.every_server
def test_a_snapshot_and_the_stream_meet_exactly_under_concurrent_writes(
    database: Database, follow: FollowerFactory, writers: list[threading.Thread]
) -> None:
    database.execute(
        "create table t (id int primary key, n float8)",
        "insert into t select g, g from generate_series(1, 2000) g",
    )
    follower = follow(database)
    for thread in writers:
        thread.start()
    snapshot = follower.source.snapshot(follower.source.discover(), {})
    copied = read_chunks(snapshot, snapshot.chunks)
    snapshot.close()
    for thread in writers:
        thread.join()
    assert len(snapshot.chunks) > 2 or database.server.major == 13
    assert folded([*copied, *beyond(follower.rows(), position_of(snapshot))], ["id"]) == source_rows(database)


def test_a_transaction_that_was_open_when_its_table_was_followed_is_not_lost(
    database: Database, make_follower: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = make_follower(database)
    follower.open(follow=False)
    with database.connect(autocommit=False) as writer:
        writer.execute("insert into t values (1)")
        follow_and_copy = threading.Thread(target=lambda: results.append(_follow_and_copy(follower)))
        results: list[tuple[Position, list[Row]]] = []
        follow_and_copy.start()
        writer.execute("insert into t values (2)")
        database.query("select pg_sleep(0)")
    follow_and_copy.join()
    ((position, copied),) = results
    assert sorted(row["id"] for row in [*copied, *beyond(follower.rows(), position)]) == [1, 2]


def _follow_and_copy(follower: Follower) -> tuple[Position, list[Row]]:
    follower.source.follow(follower.source.discover())
    snapshot, rows = follower.copy()
    return position_of(snapshot), rows


def test_snapshot_rows_say_what_they_are(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)", "insert into t select generate_series(1, 3)")
    snapshot, rows = follow(database).copy()
    assert {row[Envelope.OP] for row in rows} == {"r"}
    assert {row[Envelope.TX] for row in rows} == {"snapshot"}
    assert {row[Envelope.POSITION] for row in rows} == {position_of(snapshot).text}
    assert len({row[Envelope.COMMIT_AT] for row in rows}) == 1


def test_copy_and_stream_give_the_same_values_and_schema(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        """create table t (id int primary key, a numeric(30,4), b timestamptz, c jsonb, d text[], e bytea,
                           f uuid,
                           g interval, h int4range, i inet, j numeric, k "char", l char(5))""",
    )
    values = """(1, 1.5, '2020-01-01 05:00+01', '{"a": [1, null]}', '{a,NULL,"b c"}', '\\x00ff',
                 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 mon -3 days 04:05:06.789', '[1,5]', '10.0.0.1/8',
                 1e-30, 'x', 'ab')"""
    follower = follow(database)
    database.execute(f"insert into t values {values}")
    (streamed,) = follower.rows()
    _, (copied,) = follower.copy()
    own = [name for name in copied if not name.startswith("_cdc_")]
    assert {name: copied[name] for name in own} == {name: streamed[name] for name in own}


def test_a_partitioned_table_is_copied_and_followed_under_its_own_name(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int, k int, note text, primary key (id, k)) partition by list (k)",
        "create table t1 partition of t for values in (1)",
        "create table t2 (note text, k int not null, id int not null, primary key (id, k))",
        "alter table t attach partition t2 for values in (2)",
        "insert into t select g, 1 + g % 2, 'n' || g from generate_series(1, 1000) g",
    )
    follower = follow(database)
    assert [str(s.table) for s in follower.source.discover()] == ["public.t"]
    snapshot, copied = follower.copy()
    database.execute(
        "insert into t values (2000, 1, 'x')",
        "update t set k = 2 where id = 2000",
        "delete from t where id = 1",
        "create table t3 partition of t for values in (3)",
        "insert into t values (3000, 3, 'y')",
    )
    streamed = beyond(follower.rows(), position_of(snapshot))
    assert {row["table"] for row in [*copied, *streamed]} == {"public.t"}
    expected = source_rows(database, "select * from t order by id, k")
    assert folded([*copied, *streamed], ["id", "k"]) == expected


def test_partitions_are_tables_of_their_own_when_the_publication_says_so(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int primary key) partition by range (id)",
        "create table t1 partition of t for values from (0) to (10)",
        "insert into t values (1)",
    )
    follower = follow(database, publish_via_partition_root=False)
    _, copied = follower.copy()
    database.execute("insert into t values (2)")
    assert [row["table"] for row in [*copied, *follower.rows()]] == ["public.t1", "public.t1"]


@pytest.mark.parametrize("statement", ["alter table t alter n type bigint", "vacuum full t", "truncate t"])
def test_a_table_that_was_rewritten_before_its_lock_is_not_read_as_empty(
    database: Database, follow: FollowerFactory, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    database.execute(
        "create table t (id int primary key, n int)",
        "insert into t select g, g from generate_series(1, 500) g",
    )
    follower = follow(database)
    lock, once = views._lock, [statement]

    def rewrite_and_lock(table: TableId) -> Any:
        while once:
            database.execute(once.pop())
        return lock(table)

    monkeypatch.setattr(views, "_lock", rewrite_and_lock)
    snapshot, copied = follower.copy()
    state = folded([*copied, *beyond(follower.rows(), position_of(snapshot))], ["id"])
    assert state == source_rows(database)


def test_a_snapshot_whose_holder_died_is_unavailable_and_no_chunk_ends_whole(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)", "insert into t select generate_series(1, 5000)")
    follower = follow(database)
    snapshot = follower.source.snapshot(follower.source.discover(), {})
    database.execute(
        """select pg_terminate_backend(pid) from pg_stat_activity
            where state = 'idle in transaction' and datname = current_database()"""
    )
    with pytest.raises(SourceUnavailable):
        read_chunks(snapshot, snapshot.chunks)
    snapshot.close()
    assert len(follower.copy()[1]) == 5000


def test_a_snapshot_keeps_no_slot_and_no_connection(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)", "insert into t values (1)")
    follower = follow(database)
    snapshot = follower.source.snapshot(follower.source.discover(), {})
    # The server notices a closed connection a moment later.
    slots = "select count(*) from pg_replication_slots where database = current_database()"
    wait_until(lambda: database.value(slots) == 1, "the temporary slot to go")
    chunk = next(iter(snapshot.chunks))
    reading = snapshot.read(chunk)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    snapshot.close()
    with pytest.raises(SourceUnavailable):
        read_chunks(snapshot, [chunk])
    in_transactions = (
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    )
    wait_until(lambda: database.value(in_transactions) == 0, "the transactions to end")


def test_row_security_is_an_error_and_never_a_silent_filter(
    database: Database, follow: FollowerFactory
) -> None:
    role = f"reader_{database.name}"
    database.execute(
        "create table t (id int primary key)",
        "insert into t values (1)",
        "alter table t enable row level security",
        f"create role {role} login replication",
        f"grant select on t to {role}",
    )
    try:
        follow(database).close()
        reader = PostgresFollower(database, url=database.dsn(role), publication="cdc_shop")
        with pytest.raises(SourceRefused, match="row-level security"):
            reader.copy()
        reader.close()
    finally:
        database.execute(f"drop owned by {role}", f"drop role {role}")


def test_a_value_that_can_not_be_represented_stops_the_copy_without_showing_it(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, d date)", "insert into t values (1, 'infinity')")
    with pytest.raises(UnrepresentableValue, match=r"public\.t"):
        follow(database).copy()


def test_an_empty_table_has_a_chunk_without_rows(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)")
    snapshot, rows = follow(database).copy()
    assert [chunk.table for chunk in snapshot.chunks] == [T]
    assert rows == []
