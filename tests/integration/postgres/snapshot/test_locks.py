"""No statement of an application waits for a copy: what a copy locks, for how long, and how it gives way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import psycopg
import pytest
from psycopg import sql

from cdc.model import TableId
from cdc.spi.source import Snapshot
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.snapshot import planning
from cdc_source_postgres.snapshot.planning import Turns, Waiter
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database
from tests.support.postgres.snapshots import CHANGES, Copying, T, expected, filled
from tests.support.waiting import wait_until

# Statements that wait for a reader of the table, each with what it leaves of a copy's finished chunks.
STATEMENTS = {
    "alter table t add x int default 4": True,
    "create index concurrently on t (n)": True,
    "lock table t in access exclusive mode": True,
    "drop index t_n_idx": True,
    "reindex table t": True,
    "alter table t drop x": True,
    "cluster t using t_pkey": False,
    "vacuum full t": False,
    "alter table t alter n type bigint": False,
    "truncate t": False,
}


@pytest.fixture
def limits() -> Limits:
    """Small chunks."""
    return Limits(chunk_bytes=2 * 8192, min_chunk_pages=2)


def covered(snapshot: Snapshot) -> list[str]:
    return sorted(str(table) for table in snapshot.positions)


def test_a_copy_gives_way_to_every_statement_that_waits_for_it_and_stays_exact(
    database: Database, follow: FollowerFactory
) -> None:
    filled(database, 2000)
    copying = Copying(follow(database))
    application = database.connect()
    application.execute("set lock_timeout = '60s'")
    for number, (statement, goes_on) in enumerate(STATEMENTS.items()):
        opened = copying.open()
        first, second, *_ = (c for c in opened.chunks if c.id not in copying.finished)
        assert copying.read(opened, first)
        transaction = f"begin; {statement}; commit" if statement.startswith("lock") else statement
        wait = partial(application.execute, transaction.encode())
        assert not copying.read(opened, second, wait), statement
        opened.close()
        application.execute(
            "insert into t (id, long) select %s + g, repeat('y', 500) from generate_series(1, 40) g",
            [10_000 * (number + 1)],
        )
        copying.open().close()
        assert copying.resumed[-1] is goes_on, statement
    application.close()
    assert copying.attempt(1).state() == expected(database)


def test_a_reader_that_waits_for_us_does_not_hold_up_a_statement(
    database: Database, follow: FollowerFactory, limits: Limits
) -> None:
    database.execute(
        "create table t (id int primary key, long text)",
        "insert into t select g, repeat('x', 400) from generate_series(1, 60000) g",
    )
    copying = Copying(follow(database, limits=replace(limits, chunk_bytes=1 << 30)))
    opened = copying.open()
    reading = opened.read(opened.chunks[0])
    next(reading)
    # More rows than sockets take are still to come, and nobody reads them.
    with database.connect() as application:
        application.execute("set lock_timeout = '60s'")
        application.execute("alter table t add x int")
    opened.close()
    assert copying.attempt(1).state() == expected(database, "id, long, x")


def test_tables_outside_the_snapshot_are_not_locked(
    database: Database, follow: FollowerFactory, limits: Limits
) -> None:
    database.execute(
        "create table small (id int primary key)",
        "create table t (id int primary key, n int)",
        "insert into t select g, g from generate_series(1, 2000) g",
        "analyze",
    )
    follower = follow(database, limits=replace(limits, group_tables=1))
    opened = follower.source.snapshot(follower.source.discover(), {})
    assert covered(opened) == ["public.small"]
    assert opened.rows_left == 2000
    with database.connect() as application:
        # Nothing to wait for: not even for a moment.
        application.execute("set lock_timeout = '1ms'")
        application.execute("lock table t in access exclusive mode nowait; alter table t add x int")
        application.execute("insert into t values (0, 0, 0)")
    assert [row["id"] for row in Copying(follower).rows] == []
    assert all(list(opened.read(chunk)) == [] for chunk in opened.chunks)
    opened.close()


def test_a_prepared_transaction_that_has_a_table_locked_is_named_with_its_end(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    gid = f"it's {database.name}"
    with database.connect() as connection:
        connection.execute("begin")
        connection.execute("lock table t in access exclusive mode")
        connection.execute(sql.SQL("prepare transaction {}").format(gid))
        try:
            opened = follower.source.snapshot(follower.source.discover(), {})
        finally:
            connection.execute(sql.SQL("rollback prepared {}").format(gid))
    quoted = gid.replace("'", "''")
    assert f"the prepared transaction '{quoted}'" in opened.waiting[T].message
    assert f"rollback prepared '{quoted}';" in opened.waiting[T].remedy
    assert opened.chunks == ()
    assert covered(follower.source.snapshot(follower.source.discover(), {})) == ["public.t"]


def test_a_large_table_is_copied_in_several_short_snapshots_and_stays_exact(
    database: Database, follow: FollowerFactory, limits: Limits
) -> None:
    filled(database, 2500)
    copying = Copying(follow(database, limits=replace(limits, snapshot_seconds=0.0)))
    changes = [statement for change in CHANGES.values() for statement in change]
    count = 0
    while True:
        opened = copying.open()
        count += 1
        for chunk in opened.chunks:
            assert copying.read(opened, chunk)
            if opened.is_ending:
                break
        else:
            opened.close()
            break
        opened.close()
        database.execute(*(changes.pop(0) for _ in range(bool(changes))))
    assert changes == []
    assert count > len(CHANGES)
    assert copying.resumed == [False] + [True] * (count - 1)
    assert copying.state() == expected(database)


def test_a_table_without_key_is_read_in_one_snapshot(
    database: Database, follow: FollowerFactory, limits: Limits
) -> None:
    database.execute(
        "create table t (id int)",
        "alter table t replica identity full",
        "insert into t select generate_series(1, 5000)",
    )
    follower = follow(database, limits=replace(limits, snapshot_seconds=0.0))
    opened = follower.source.snapshot(follower.source.discover(), {})
    found = 0
    for chunk in opened.chunks:
        found += sum(batch.row_count for batch in opened.read(chunk))
        assert not opened.is_ending
    opened.close()
    assert found == 5000


def test_small_tables_share_a_snapshot_and_a_large_one_has_its_own(
    database: Database, follow: FollowerFactory, limits: Limits
) -> None:
    database.execute(*(f"create table s{i} (id int primary key)" for i in range(5)))
    filled(database)
    follower = follow(database, limits=replace(limits, group_bytes=8 * 8192))
    schemas = list(follower.source.discover())
    sizes, seen = [], set[TableId]()
    while len(seen) < len(schemas):
        opened = follower.source.snapshot([s for s in schemas if s.table not in seen], {})
        sizes.append(len(opened.positions))
        seen |= set(opened.positions)
        opened.close()
    assert sizes == [5, 1]


def test_a_copy_that_meets_statements_all_the_time_waits_and_says_so() -> None:
    class Table:
        relid, table = 7, T

    def reason() -> str:
        found = kept.delays([Table], "sources.shop")  # type: ignore[list-item]
        return f"{found[T].message} {found[T].remedy}" if found else ""

    kept, by = Turns(Limits()), Waiter(42, "AccessExclusiveLock", "public.t")
    for _ in range(planning.FREE_SETBACKS):
        kept.interrupted([7], by)
        kept.started_again(7)
        assert reason() == ""
    kept.interrupted([7], by)
    assert "interrupted 4 times" in reason()
    assert "pid = 42" in reason()
    kept.progressed(7)
    kept.started_again(7)
    assert "restarted 4 times from the beginning" in reason()
    kept.finished(7)
    assert reason() == ""


def test_a_snapshot_holds_no_lock_once_it_is_closed(database: Database, follow: FollowerFactory) -> None:
    filled(database)
    opened = Copying(follow(database)).open()
    list(opened.read(opened.chunks[0]))
    locks = "select count(*) from pg_locks where relation = 't'::regclass and granted"
    assert database.value(locks) == 1  # The reader's own went with its chunk.
    opened.close()
    wait_until(lambda: database.value(locks) == 0, "the locks to go")


def test_a_role_without_select_is_told_of_that_table_alone(
    database: Database, follow: FollowerFactory, make_follower: FollowerFactory
) -> None:
    role = f"reader_{database.name}"
    database.execute(
        "create table a (id int primary key)",
        "create table t (id int primary key)",
        f"create role {role} login replication",
        f"grant select on a to {role}",
    )
    try:
        follow(database).close()
        reader = make_follower(database, url=database.dsn(role), publication="cdc_shop")
        opened = reader.source.snapshot(reader.source.discover(), {})
        assert covered(opened) == ["public.a"]
        assert "permission denied" in opened.waiting[T].message
        opened.close()
        reader.close()
    finally:
        database.execute(f"drop owned by {role}", f"drop role {role}")


def test_the_snapshot_is_not_taken_for_ended_when_its_own_connection_breaks(
    database: Database, follow: FollowerFactory
) -> None:
    filled(database)
    copying = Copying(follow(database))
    opened = copying.open()
    database.execute(
        """select pg_terminate_backend(pid) from pg_stat_activity
            where state = 'idle in transaction' and datname = current_database()"""
    )
    with pytest.raises(Exception, match=r"snapshot|connection") as raised:
        copying.read(opened, opened.chunks[0])
    assert not isinstance(raised.value, psycopg.Error)
    opened.close()
