"""A copy taken while others write, and the changes from its position on, are the table."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from cdc.errors import SourceUnavailable
from cdc.model import Envelope, TableId
from cdc.spi import EarlierSnapshot, Snapshot, SnapshotChunk
from cdc.testing.fold import fold
from cdc_source_mysql.binlog.positions import BinlogPosition, parse, parse_gtids
from cdc_source_mysql.options import Limits
from tests.support.follower import Follower, read_chunks
from tests.support.mysql.fixtures import EVERY_SERVER
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.mysql.snapshots import SnapshotBench, refusing_to_wait, rows_of
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

WRITERS = 3
ROWS = 400
# Changes that the stream must have seen before the copy, and that writers must make after it.
BEFORE, AFTER = 60, 30
_STALL = {
    # A transaction is in the binlog, and sent to readers of it, this long before others see its rows.
    "mysql": ("set global sync_binlog = 2", "set global binlog_group_commit_sync_delay = 20000"),
    "mariadb": ("set global binlog_commit_wait_count = 3", "set global binlog_commit_wait_usec = 20000"),
}
_NO_STALL = {
    "mysql": ("set global sync_binlog = 0", "set global binlog_group_commit_sync_delay = 0"),
    "mariadb": ("set global binlog_commit_wait_count = 0", "set global binlog_commit_wait_usec = 100000"),
}
# Every second commit waits a second between the two.
_SECOND_STALLS = ("set global sync_binlog = 2", "set global binlog_group_commit_sync_delay = 1000000")
_CONFLICTS = (1020, 1062, 1205, 1213)


SMALL_CHUNKS = Limits(min_chunk_rows=20, max_chunk_rows=20)


@pytest.fixture
def shop(mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    flavour = mysql_database.server.flavour
    keyed = ",".join(f"({i % 5}, {i}, 'k{i}')" for i in range(ROWS))
    plain = ",".join(f"({i % 7}, 'p{i % 11}')" for i in range(ROWS))
    mysql_database.execute(
        "create table keyed (a int, b int, v varchar(20), primary key (a, b))",
        "create table plain (a int, v varchar(20))",
        f"insert into keyed values {keyed}",
        f"insert into plain values {plain}",
    )
    mysql_database.server.execute(*_STALL[flavour])
    yield mysql_database
    mysql_database.server.execute(*_NO_STALL[flavour])


class Writers:
    """Sessions that insert, update, move keys and delete until they are stopped."""

    def __init__(self, database: MysqlDatabase) -> None:
        self._database = database
        self._stop = threading.Event()
        self._made = threading.Semaphore(0)

    @contextmanager
    def running(self) -> Iterator[Writers]:
        with ThreadPoolExecutor(WRITERS) as pool:
            work = [pool.submit(self._write, random.Random(number)) for number in range(WRITERS)]
            try:
                yield self
            finally:
                self._stop.set()
        for future in work:
            future.result()

    def wait(self, transactions: int) -> None:
        for _ in range(transactions):
            assert self._made.acquire(timeout=DEFAULT_TIMEOUT_SECONDS)

    def _write(self, chance: random.Random) -> None:
        with self._database.connect(autocommit=False) as connection:
            while not self._stop.is_set():
                try:
                    for _ in range(chance.randint(1, 3)):
                        connection.query(self._statement(chance))
                    connection.commit()
                except pymysql.err.MySQLError as error:
                    if error.args[0] not in _CONFLICTS:
                        raise
                    connection.rollback()
                self._made.release()

    def _statement(self, chance: random.Random) -> str:
        a, b, v = chance.randint(0, 6), chance.randint(0, ROWS), chance.randint(0, 99)
        return chance.choice(
            [
                f"insert into keyed values ({a}, {b}, 'n{v}')",
                f"update keyed set v = 'u{v}' where a = {a % 5} and b = {b}",
                f"update keyed set a = {a}, v = 'm{v}' where a = {a % 5} and b = {b}",
                f"replace into keyed values ({a}, {b}, 'r{v}')",
                f"delete from keyed where a = {a % 5} and b = {b}",
                f"insert into plain values ({a}, 'i{v}')",
                f"update plain set v = 'u{v}' where a = {a} limit 2",
                f"delete from plain where a = {a} limit 1",
            ]
        )


@EVERY_SERVER
def test_rows_read_while_others_write_and_all_later_changes_are_the_table(shop: MysqlDatabase) -> None:
    follower = MysqlFollower(shop, limits=SMALL_CHUNKS).open()
    try:
        with Writers(shop).running() as writers:
            _stream_some(follower)
            snapshot, rows = follower.copy()
            writers.wait(AFTER)
        assert _chunks(snapshot, "keyed") > 5
        changes = follower.rows()
    finally:
        follower.close()
    for table, key in (("keyed", ("a", "b")), ("plain", ())):
        _require_equal(shop, table, key, [_of(rows, table), *_after(changes, snapshot, table)])


@pytest.mark.every_server
def test_a_copy_that_went_on_and_all_later_changes_are_the_table(shop: MysqlDatabase) -> None:
    table = TableId(shop.name, "keyed")
    follower = MysqlFollower(shop, limits=SMALL_CHUNKS).open()
    try:
        with Writers(shop).running() as writers:
            _stream_some(follower)
            first = follower.source.snapshot([follower.schema(str(table))], {})
            half = list(first.chunks)[::2]
            finished = _read_with_workers(first, half)
            # One that was cut: its rows are in the log, but it isn't finished.
            torn = read_chunks(first, list(first.chunks)[1:2])[:5]
            first.close()
            writers.wait(AFTER)
            _stream_some(follower)
            earlier = EarlierSnapshot(
                first.tokens[table], first.positions[table], frozenset(chunk.id for chunk in half)
            )
            second, rest = follower.copy(str(table), earlier={table: earlier})
            writers.wait(AFTER)
        assert second.resumed == {table}
        changes = follower.rows()
    finally:
        follower.close()
    start, middle = first.positions[table].order, second.positions[table].order
    between = [row for row in _of(changes, "keyed") if start <= _order(row) < middle]
    history = [finished, torn, between, rest, *_after(changes, second, "keyed")]
    _require_equal(shop, "keyed", ("a", "b"), history)


def test_a_change_that_the_stream_has_before_others_see_it_is_in_the_copy(
    mysql9_database: MysqlDatabase,
) -> None:
    database = mysql9_database
    database.execute("create table t (id int primary key)")
    bench = SnapshotBench(database, limits=SMALL_CHUNKS)
    follower = MysqlFollower(database, limits=SMALL_CHUNKS).open()
    database.server.execute(*_SECOND_STALLS)
    try:
        with ThreadPoolExecutor(1) as pool:
            # On a loaded machine we may look too late; a commit in two is slow.
            for number in range(1, 100):
                written = pool.submit(database.execute, f"insert into t values ({number})")
                while not (changes := follower.step()) or not changes.row_count:
                    pass
                if not database.query("select * from t where id = %s", (number,)):
                    break
                written.result()
            else:
                pytest.fail("no commit was slow")
            assert changes.position is not None
            bench.captured = replace(bench.captured, position=changes.position)
            with bench.opened() as snapshot:
                assert number in [row["id"] for row in rows_of(snapshot, "t")]
            written.result()
    finally:
        database.server.execute(*_NO_STALL["mysql"])
        follower.close()


@pytest.mark.every_server
def test_a_position_that_the_server_does_not_come_to_is_an_outage(mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key)")
    bench = SnapshotBench(mysql_database, limits=SMALL_CHUNKS)
    here = parse(bench.captured.position.text)
    assert here.gtids is not None
    ahead = {
        "mysql": f"{str(here.gtids).partition(':')[0]}:1-9999999",
        "mariadb": "0-1-9999999",
    }[mysql_database.server.flavour]
    there = BinlogPosition("binlog.999999", 4, 0, parse_gtids(ahead)).to_position()
    bench.captured = replace(bench.captured, position=there)
    with refusing_to_wait(bench), pytest.raises(SourceUnavailable, match="has not made visible"):
        bench.open()


def _stream_some(follower: Follower) -> None:
    """Let the stream run beside the writers until it has seen some changes, so that its place is hot."""
    seen = 0
    while seen < BEFORE:
        changes = follower.step()
        seen += changes.row_count if changes else 0


def _read_with_workers(snapshot: Snapshot, chunks: Sequence[SnapshotChunk]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(2) as pool:
        return [row for rows in pool.map(lambda c: read_chunks(snapshot, [c]), chunks) for row in rows]


def _chunks(snapshot: Snapshot, table: str) -> int:
    return sum(chunk.table.name == table for chunk in snapshot.chunks)


def _of(rows: Sequence[dict[str, Any]], table: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["table"].endswith(f".{table}")]


def _after(rows: Sequence[dict[str, Any]], snapshot: Snapshot, table: str) -> list[list[dict[str, Any]]]:
    position = next(p for t, p in snapshot.positions.items() if t.name == table)
    return [[row for row in _of(rows, table) if _order(row) >= position.order]]


def _order(row: dict[str, Any]) -> int:
    return parse(row[Envelope.POSITION]).order


def _require_equal(
    shop: MysqlDatabase, table: str, key: Sequence[str], history: Sequence[list[dict[str, Any]]]
) -> None:
    rows = [row for part in history for row in part]
    ordered = [{**row, Envelope.SEQ: seq} for seq, row in enumerate(rows)]
    for row in ordered:
        del row["table"]
    expected = Counter(shop.query(f"select * from {table}"))
    assert Counter(tuple(row.values()) for row in fold(ordered, key)) == expected
