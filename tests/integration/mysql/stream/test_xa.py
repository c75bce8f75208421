"""XA transactions: their rows take effect at XA COMMIT, in doubt across restarts too."""

from __future__ import annotations

import pytest

from cdc.errors import SourceGap, SourceUnavailable
from cdc_source_mysql.binlog import opening, replay
from cdc_source_mysql.binlog.positions import BinlogPosition
from cdc_source_mysql.options import Limits
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.branches import prepare
from tests.support.mysql.fixtures import EVERY_SERVER, MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.waiting import wait_until


@pytest.fixture
def database(mysql_database: MysqlDatabase) -> MysqlDatabase:
    mysql_database.execute("create table t (id int primary key, note varchar(100))")
    return mysql_database


# A source that begins hardly waits for transactions that are prepared.
IMPATIENT = Limits(xa_patience_seconds=0.2)


def xid_of(database: MysqlDatabase, part: str = "x") -> str:
    """Prepared transactions are the whole server's: every test has its own names."""
    return f"'{database.name}','{part}'"


def seen(follower: MysqlFollower) -> list[int]:
    return [row["id"] for row in follower.rows()]


@EVERY_SERVER
def test_rows_of_a_prepared_transaction_come_at_its_commit(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    prepare(database, xid_of(database), "insert into t values (1, 'a')", "insert into t values (2, 'b')")
    database.execute("insert into t values (3, 'c')")
    assert seen(follower) == [3]
    database.execute(
        "insert into t values (4, 'd')", f"xa commit {xid_of(database)}", "insert into t values (5, 'e')"
    )
    rows = follower.rows()
    assert [row["id"] for row in rows] == [4, 1, 2, 5]
    assert len({row["_cdc_tx"] for row in rows}) == 3
    assert [row["note"] for row in rows] == ["d", "a", "b", "e"]
    orders = [follower.source.position(row["_cdc_position"]).order for row in rows]
    assert orders == sorted(orders)
    assert not [key for key in follower.facts if key.startswith("xa:")]


def test_rows_of_a_transaction_that_is_rolled_back_never_come(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    prepare(database, xid_of(database), "insert into t values (1, 'a')")
    database.execute("insert into t values (2, 'b')")
    assert seen(follower) == [2]
    database.execute(f"xa rollback {xid_of(database)}", "insert into t values (3, 'c')")
    assert seen(follower) == [3]
    assert not [key for key in follower.facts if key.startswith("xa:")]


def test_a_transaction_committed_in_one_phase_is_like_any_other(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    xid = xid_of(database)
    database.execute(
        f"xa start {xid}", "insert into t values (1, 'a')", f"xa end {xid}", f"xa commit {xid} one phase"
    )
    database.execute("insert into t values (2, 'b')")
    assert seen(follower) == [1, 2]


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_a_transaction_in_doubt_survives_a_restart(
    database: MysqlDatabase, follow: FollowerFactory, outcome: str
) -> None:
    follower = follow(database)
    prepare(database, xid_of(database), "insert into t values (1, 'a')")
    prepare(database, xid_of(database, "other"), "insert into t values (9, 'x')")
    follower.catch_up()
    database.execute("insert into t values (2, 'b')")
    follower.restart()
    assert seen(follower) == [2]
    database.server.execute("flush binary logs")
    database.execute(f"xa {outcome} {xid_of(database)}")
    follower.restart()
    assert seen(follower) == ([1] if outcome == "commit" else [])
    database.execute(f"xa commit {xid_of(database, 'other')}")
    assert seen(follower) == [9]


def test_a_large_prepared_transaction_comes_in_parts(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    database.execute("create table seed (n int)", "insert into seed values (0),(1),(2),(3),(4),(5),(6),(7)")
    follower = follow(database, limits=Limits(part_bytes=32 * 1024, set_bytes=32 * 1024))
    number = "a.n * 512 + b.n * 64 + c.n * 8 + d.n"
    rows = f"select {number}, repeat('x', 50) from seed a, seed b, seed c, seed d"
    prepare(database, xid_of(database), f"insert into t {rows}")
    database.execute(f"xa commit {xid_of(database)}")
    follower.catch_up()
    assert [s.position is None for s in follower.sets if s.row_count].count(True) > 3
    taken = follower.taken()
    assert sorted(row["id"] for row in taken) == list(range(8**4))
    assert len({row["_cdc_tx"] for row in taken}) == 1


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_a_source_begins_behind_a_prepared_transaction_and_has_its_rows_at_its_commit(
    database: MysqlDatabase, make_follower: FollowerFactory, outcome: str
) -> None:
    prepare(database, xid_of(database), "insert into t values (1, 'a')")
    database.execute("insert into t values (2, 'b')")
    database.server.execute("flush binary logs")
    follower = make_follower(database, limits=IMPATIENT).open()
    assert [key for key in follower.facts if key.startswith("xa:")]
    follower.restart()
    database.execute("insert into t values (3, 'c')", f"xa {outcome} {xid_of(database)}")
    assert seen(follower) == ([3, 1] if outcome == "commit" else [3])
    assert not [key for key in follower.facts if key.startswith("xa:")]


def test_the_name_of_a_prepared_transaction_may_be_any_bytes(
    database: MysqlDatabase, make_follower: FollowerFactory
) -> None:
    xid = f"X'ff00{database.name.encode().hex()}',X'c3',7"
    prepare(database, xid, "insert into t values (1, 'a')")
    follower = make_follower(database, limits=IMPATIENT).open()
    assert [key for key in follower.facts if key.startswith("xa:7.ff00")]
    database.execute(f"xa commit {xid}")
    assert seen(follower) == [1]


def test_a_source_does_not_begin_while_the_rows_of_a_prepared_transaction_are_purged(
    mysql_server_factory: MysqlFactory,
    mysql_name: str,
    make_follower: FollowerFactory,
) -> None:
    database = mysql_server_factory({}, mysql_name).create_database()
    database.execute("create table t (id int primary key, note varchar(100))")
    prepare(database, xid_of(database), "insert into t values (1, 'a')")
    purge(database)
    follower = make_follower(database, limits=IMPATIENT)
    with pytest.raises(SourceUnavailable, match="no longer in any binary log"):
        follower.open()
    database.execute(f"xa commit {xid_of(database)}")
    follower.open()
    database.execute("insert into t values (2, 'b')")
    assert seen(follower) == [2]


def purge(database: MysqlDatabase) -> None:
    """All files but the newest one."""
    server = database.server
    server.execute("flush binary logs")

    def is_purged() -> bool:
        server.execute(f"purge binary logs to '{server.position()[0]}'")
        return len(server.query("show binary logs")) == 1

    wait_until(is_purged, "the binlog to be purged")


def test_a_transaction_prepared_in_the_moment_of_the_beginning_is_seen(
    database: MysqlDatabase, make_follower: FollowerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = opening.Opening._end

    def prepared_before(self: opening.Opening, reader: replay.BinlogReader) -> BinlogPosition:
        prepare(database, xid_of(database), "insert into t values (1, 'a')")
        return end(self, reader)

    monkeypatch.setattr(opening.Opening, "_end", prepared_before)
    follower = make_follower(database, limits=IMPATIENT).open()
    database.execute(f"xa commit {xid_of(database)}")
    assert seen(follower) == [1]


def forget(follower: MysqlFollower) -> None:
    """As when prepared transactions could not be seen at the beginning."""
    follower.facts = {key: text for key, text in follower.facts.items() if not key.startswith("xa:")}
    follower.restart()


def test_an_unknown_transaction_that_is_committed_is_looked_up_in_older_binlogs(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database)
    xid = xid_of(database)
    # One of the same name has ended before.
    prepare(database, xid, "insert into t values (7, 'other')")
    database.execute(f"xa commit {xid}")
    database.server.execute("flush binary logs")
    prepare(database, xid, "insert into t values (1, 'a')", "insert into t values (2, 'b')")
    database.execute("insert into t values (3, 'c')")
    database.server.execute("flush binary logs")
    follower.catch_up()
    follower.taken()
    forget(follower)
    database.execute("insert into t values (4, 'd')", f"xa commit {xid}", "insert into t values (5, 'e')")
    assert seen(follower) == [4, 1, 2, 5]


def test_an_unknown_transaction_without_followed_tables_is_passed(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    database.execute("create table other (id int primary key)")
    follower = follow(database, tables=[f"{database.name}.t"])
    prepare(database, xid_of(database), "insert into other values (1)")
    follower.catch_up()
    forget(follower)
    database.execute(f"xa commit {xid_of(database)}", "insert into t values (2, 'b')")
    assert seen(follower) == [2]


def test_the_commit_of_an_unknown_transaction_whose_rows_are_purged_is_a_gap(
    mysql_server_factory: MysqlFactory, mysql_name: str, follow: FollowerFactory
) -> None:
    database = mysql_server_factory({}, mysql_name).create_database()
    database.execute("create table t (id int primary key, note varchar(100))")
    follower = follow(database)
    prepare(database, xid_of(database), "insert into t values (1, 'a')")
    database.server.execute("flush binary logs")
    database.execute("insert into t values (2, 'b')")
    follower.catch_up()
    purge(database)
    forget(follower)
    database.execute(f"xa commit {xid_of(database)}")
    with pytest.raises(SourceGap, match="XA PREPARE"):
        follower.rows()
