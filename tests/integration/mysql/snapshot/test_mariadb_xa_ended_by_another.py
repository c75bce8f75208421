"""Copies on MariaDB while another connection commits an XA transaction: it holds no lock, and its rows are
seen some time after its XA COMMIT stands in the binlog.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cdc.errors import SourceUnavailable
from cdc_source_mysql.binlog.positions import parse
from cdc_source_mysql.binlog.transactions import Xid
from tests.support.mysql.branches import wait_until_let_go
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase
from tests.support.mysql.snapshots import SnapshotBench, at, refusing_to_wait, rows_of
from tests.support.waiting import wait_until

# A commit waits so long for a replica that is not there: behind the binlog, before its rows are seen.
SEEN_LATER_MS = 2000
TABLES = ("keyed", "keyless")


@pytest.fixture
def database(mysql_server_factory: MysqlFactory) -> MysqlDatabase:
    settings = {
        "rpl-semi-sync-master-wait-point": "AFTER_SYNC",
        "rpl-semi-sync-master-timeout": str(SEEN_LATER_MS),
    }
    database = mysql_server_factory(settings, "mariadb10").create_database()
    database.execute("create table keyed (id int primary key)", "create table keyless (id int)")
    # Copies look for XA transactions only where one was committed.
    leave_prepared(database, "first", 0)
    database.execute("xa commit 'first'")
    return database


def leave_prepared(database: MysqlDatabase, xid: str, number: int) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"xa start '{xid}'")
        for table in TABLES:
            cursor.execute(f"insert into {table} values ({number})")
        cursor.execute(f"xa end '{xid}'")
        cursor.execute(f"xa prepare '{xid}'")
    wait_until_let_go(database.server, connection)


@contextmanager
def committing(database: MysqlDatabase, xid: str) -> Iterator[None]:
    """Inside the block the binlog has the commit, and nobody sees its rows yet."""
    server = database.server
    server.execute("set global rpl_semi_sync_master_enabled = on")
    end = server.position()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(database.execute, f"xa commit '{xid}'")
        wait_until(lambda: server.position() != end, "the binlog to have the commit", poll_seconds=0.001)
        yield
        done.result()
    server.execute("set global rpl_semi_sync_master_enabled = off")


@pytest.mark.parametrize("table", TABLES)
def test_a_copy_has_the_rows_of_an_xa_commit_that_the_binlog_has(database: MysqlDatabase, table: str) -> None:
    leave_prepared(database, "second", 1)
    with committing(database, "second"), SnapshotBench(database).opened(table) as snapshot:
        assert rows_of(snapshot, table) == [{"id": 0}, {"id": 1}]
        place = parse(at(snapshot, table).text)
    assert (place.file, place.offset) == database.server.position()


def test_a_keyed_table_waits_for_no_branch_that_the_stream_knows(database: MysqlDatabase) -> None:
    leave_prepared(database, "second", 1)
    bench = SnapshotBench(database)
    with (
        refusing_to_wait(bench),
        pytest.raises(SourceUnavailable, match="a prepared XA transaction does not end"),
    ):
        bench.open("keyed")
    bench.captured = replace(bench.captured, prepared=frozenset({Xid(1, b"second", b"").key}))
    with bench.opened("keyed") as snapshot:
        assert rows_of(snapshot, "keyed") == [{"id": 0}]
    # Whether its rows belong to an exact copy nobody can say.
    with (
        refusing_to_wait(bench),
        pytest.raises(SourceUnavailable, match="a prepared XA transaction does not end"),
    ):
        bench.open("keyless")
    database.execute("xa rollback 'second'")
    with bench.opened("keyless") as snapshot:
        assert rows_of(snapshot, "keyless") == [{"id": 0}]


def test_a_copy_needs_no_privilege_to_look_for_branches(database: MysqlDatabase) -> None:
    name = database.name
    grants = (f"select, lock tables on {name}.*", "replication slave, binlog monitor on *.*")
    database.execute("create user cdc@'%'", *(f"grant {grant} to cdc@'%'" for grant in grants))
    with SnapshotBench(database, user="cdc").opened("keyless") as snapshot:
        assert rows_of(snapshot, "keyless") == [{"id": 0}]
