"""The snapshot's promises: positions, resumption, refusals, and what it does when tables change under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from pymysql.connections import Connection
from pymysql.err import OperationalError

from cdc.errors import SourceRefused, SourceUnavailable
from cdc.spi import EarlierSnapshot
from cdc_source_mysql.binlog.positions import parse
from cdc_source_mysql.binlog.stream import Captured
from cdc_source_mysql.options import Limits
from cdc_source_mysql.snapshot.snapshot import open_snapshot
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase
from tests.support.mysql.snapshots import SnapshotBench, at, refusing_to_wait, rows_of

ROWS = 50


SMALL_CHUNKS = Limits(min_chunk_rows=10, max_chunk_rows=10)


def bench_of(database: MysqlDatabase, **arguments: Any) -> SnapshotBench:
    return SnapshotBench(database, **{"limits": SMALL_CHUNKS, **arguments})


@pytest.fixture
def shop(mysql_database: MysqlDatabase) -> MysqlDatabase:
    values = ",".join(f"({i}, 'v{i}')" for i in range(ROWS))
    mysql_database.execute(
        "create table keyed (id int primary key, v varchar(20))",
        "create table keyless (id int, v varchar(20))",
        f"insert into keyed values {values}",
        f"insert into keyless values {values}",
    )
    return mysql_database


@pytest.fixture
def writer(shop: MysqlDatabase) -> Iterator[Connection[Any]]:
    """A session with a transaction that stays open."""
    connection = shop.connect(autocommit=False)
    yield connection
    connection.close()


def test_a_keyed_table_is_at_the_captured_position_and_may_be_newer(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    shop.execute("insert into keyed values (1000, 'later')")
    with bench.opened("keyed") as snapshot:
        shop.execute("insert into keyed values (1001, 'latest')")
        ids = [row["id"] for row in rows_of(snapshot, "keyed")]
        assert at(snapshot, "keyed") == bench.captured.position
    assert sorted(ids) == [*range(ROWS), 1000, 1001]


def test_a_keyless_table_is_exact_to_its_position(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    shop.execute("insert into keyless values (1000, 'before the view')")
    with bench.opened() as snapshot:
        place = shop.server.position()
        shop.execute("insert into keyless values (1001, 'after')", "delete from keyless where id < 10")
        rows = rows_of(snapshot, "keyless")
    position = parse(at(snapshot, "keyless").text)
    assert sorted(row["id"] for row in rows) == [*range(ROWS), 1000]
    assert (position.file, position.offset) == place
    assert position.gtids is not None


def test_rows_carry_the_envelope_of_a_snapshot(shop: MysqlDatabase) -> None:
    with bench_of(shop).opened("keyed") as snapshot:
        batch = next(iter(snapshot.read(snapshot.chunks[0])))
        row = next(batch.rows())
    assert (row["_cdc_op"], row["_cdc_tx"], row["_cdc_seq"]) == ("r", "snapshot", 0)
    assert row["_cdc_position"] == at(snapshot, "keyed").text.partition(" ")[0]


def test_a_snapshot_goes_on_from_finished_chunks(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    with bench.opened("keyed") as first:
        finished = [chunk.id for chunk in first.chunks[:3]]
        before = [row for chunk in finished for row in rows_of(first, "keyed", chunk)]
        token = first.tokens[bench.table("keyed")]
    bench.look()
    earlier = EarlierSnapshot(token, at(first, "keyed"), frozenset(finished))
    with bench.opened("keyed", earlier={"keyed": earlier}) as second:
        after = rows_of(second, "keyed")
        assert second.resumed == {bench.table("keyed")}
        assert second.tokens[bench.table("keyed")] == token
        assert len(second.chunks) == len(first.chunks) - 3
    assert sorted(row["id"] for row in before + after) == list(range(ROWS))


def test_an_altered_table_starts_again(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    with bench.opened("keyed") as first:
        earlier = EarlierSnapshot(first.tokens[bench.table("keyed")], at(first, "keyed"), frozenset("012"))
    shop.execute("alter table keyed add w int")
    bench.look()
    with bench.opened("keyed", earlier={"keyed": earlier}) as second:
        assert second.resumed == frozenset()
        assert len(rows_of(second, "keyed")) == ROWS


def test_a_keyless_table_always_starts_again(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    with bench.opened("keyless") as first:
        earlier = EarlierSnapshot(first.tokens[bench.table("keyless")], at(first, "keyless"), frozenset("0"))
    with bench.opened("keyless", earlier={"keyless": earlier}) as second:
        assert second.resumed == frozenset()
        assert len(rows_of(second, "keyless")) == ROWS


def test_a_stream_that_is_behind_an_alter_is_waited_for(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    shop.execute("alter table keyed add w int")
    with bench.opened("keyed", "keyless") as snapshot:
        assert set(snapshot.positions) == set(snapshot.tokens) == {bench.table("keyless")}
        assert {chunk.table for chunk in snapshot.chunks} == {bench.table("keyless")}


def test_a_table_that_the_stream_is_not_sure_of_is_copied_when_it_stands_at_the_end(
    shop: MysqlDatabase,
) -> None:
    bench = bench_of(shop)
    schemas = bench.schemas("keyed")
    bench.captured = Captured(bench.captured.position, {})
    with closing(open_snapshot(bench.source, schemas, {})) as snapshot:
        assert len(rows_of(snapshot, "keyed")) == ROWS


def test_a_table_that_the_stream_is_not_sure_of_waits_for_a_stream_that_is_behind(
    shop: MysqlDatabase,
) -> None:
    bench = bench_of(shop, limits=replace(SMALL_CHUNKS, settled_seconds=0.2))
    schemas = bench.schemas("keyed", "keyless")
    (keyless,) = (schema.table for schema in schemas if schema.table.name == "keyless")
    known = {keyless: bench.captured.definitions[keyless]}
    bench.captured = Captured(bench.captured.position, known)
    shop.execute("insert into keyed values (1000, 'later')")
    # It holds up no other table.
    with closing(open_snapshot(bench.source, schemas, {})) as snapshot:
        assert {table.name: error.message for table, error in snapshot.waiting.items()} == {
            "keyed": "the stream has not reached it yet"
        }
        assert snapshot.positions.keys() == {keyless}


@pytest.mark.parametrize("table", ["keyed", "keyless"])
def test_a_table_altered_while_it_is_copied_fails_before_any_row(shop: MysqlDatabase, table: str) -> None:
    bench = bench_of(shop)
    with bench.opened(table) as snapshot:
        shop.execute(f"alter table {table} add w int")
        with pytest.raises(SourceUnavailable, match=r"altered while it was copied|definition|changed"):
            rows_of(snapshot, table)


@pytest.mark.parametrize("table", ["keyed", "keyless"])
def test_nobody_alters_a_table_in_the_middle_of_a_chunk(shop: MysqlDatabase, table: str) -> None:
    shop.execute(
        f"alter table {table} add wide longtext", f"update {table} set wide = repeat('x', 2000000) limit 9"
    )
    bench = bench_of(shop)
    with bench.opened(table) as snapshot:
        batches = snapshot.read(snapshot.chunks[0])
        next(batches)
        with shop.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set session lock_wait_timeout = 1")
            with pytest.raises(OperationalError, match="Lock wait timeout"):
                cursor.execute(f"alter table {table} add w int")
        list(batches)


def test_names_are_quoted_wherever_they_stand(mysql_database: MysqlDatabase) -> None:
    mysql_database.execute(
        "create table `we``ird %s` (`se``lect %d` varchar(9), `key` int, primary key (`se``lect %d`, `key`))",
        "insert into `we``ird %s` values ('a', 1), ('b', 2)",
    )
    bench = bench_of(mysql_database)
    with bench.opened() as snapshot:
        rows = rows_of(snapshot, "we`ird %s")
    assert rows == [{"se`lect %d": "a", "key": 1}, {"se`lect %d": "b", "key": 2}]


def test_rows_of_history_are_left_out_of_versioned_tables(mariadb10_database: MysqlDatabase) -> None:
    mariadb10_database.execute(
        "create table t (id int primary key, v int) with system versioning",
        "insert into t values (1, 1), (2, 1)",
        "update t set v = 2",
        "delete from t where id = 2",
    )
    with bench_of(mariadb10_database).opened() as snapshot:
        assert [(row["id"], row["v"]) for row in rows_of(snapshot, "t")] == [(1, 2)]


def test_an_alter_waits_for_a_chunk_and_no_longer(shop: MysqlDatabase) -> None:
    bench = bench_of(shop)
    with bench.opened("keyed") as snapshot:
        rows_of(snapshot, "keyed", "0")
        shop.execute("set session lock_wait_timeout = 60", "alter table keyed add w int")


def test_an_open_writer_refuses_the_lock_of_a_keyless_table_on_mysql(
    mysql9_database: MysqlDatabase,
) -> None:
    mysql9_database.execute("create table keyless (id int)")
    bench = bench_of(mysql9_database)
    with mysql9_database.connect(autocommit=False) as writer:
        writer.query("insert into keyless values (1)")
        with refusing_to_wait(bench), pytest.raises(SourceUnavailable, match="does not end"):
            bench.open("keyless")
    with bench.opened("keyless") as snapshot:
        assert rows_of(snapshot, "keyless") == []


@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_an_open_writer_does_not_hold_up_keyed_tables(mysql_server_factory: MysqlFactory, name: str) -> None:
    # A server of its own: where there was an XA COMMIT, MariaDB's tables are locked.
    database = mysql_server_factory(None, name).create_database()
    database.execute("create table keyed (id int primary key)", "insert into keyed values (1)")
    with database.connect(autocommit=False) as writer:
        writer.query("insert into keyed values (2)")
        with bench_of(database).opened("keyed") as snapshot:
            assert rows_of(snapshot, "keyed") == [{"id": 1}]


def test_mariadb_tables_wait_for_their_writers_where_there_was_an_xa_commit(
    mysql_server_factory: MysqlFactory,
) -> None:
    # GIVEN a server whose XA COMMIT stands in the binlog before its rows are seen
    database = mysql_server_factory(None, "mariadb10").create_database()
    database.execute("create table keyed (id int primary key)", "create table keyless (id int)")
    with database.connect() as writer:
        for step in ("xa start 'a'", "insert into keyed values (1)", "xa end 'a'", "xa prepare 'a'"):
            writer.query(step)
        writer.query("xa commit 'a'")
        for step in ("xa start 'b'", "delete from keyed", "insert into keyless values (2)", "xa end 'b'"):
            writer.query(step)
        writer.query("xa prepare 'b'")
        # WHEN tables are read while one is prepared, THEN its outcome is waited for
        for table in ("keyed", "keyless"):
            bench = bench_of(database)
            with refusing_to_wait(bench), pytest.raises(SourceUnavailable, match="does not end"):
                bench.open(table)
        writer.query("xa commit 'b'")
    with bench_of(database).opened() as snapshot:
        assert rows_of(snapshot, "keyed") == []
        assert rows_of(snapshot, "keyless") == [{"id": 2}]
        position = parse(at(snapshot, "keyless").text)
    assert (position.file, position.offset) == database.server.position()
    assert position.gtids is not None


def test_keyed_tables_without_gtids_wait_for_their_writers(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory({"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"})
    database = server.create_database()
    database.execute("create table t (id int primary key)", "insert into t values (1)")
    bench = bench_of(database)
    with database.connect(autocommit=False) as writer:
        writer.query("insert into t values (2)")
        with refusing_to_wait(bench), pytest.raises(SourceUnavailable, match="does not end"):
            bench.open("t")
    with bench.opened("t") as snapshot:
        assert " " not in at(snapshot, "t").text
        assert rows_of(snapshot, "t") == [{"id": 1}]


def test_a_missing_select_privilege_names_its_grant(shop: MysqlDatabase) -> None:
    user = f"reader_{shop.name[-6:]}"
    shop.execute(f"create user '{user}'@'%'", f"grant select on {shop.name}.keyless to '{user}'@'%'")
    bench = bench_of(shop, user=user)
    with pytest.raises(SourceRefused) as refused:
        bench.open("keyed")
    assert refused.value.remedy == f"Run: grant select on {shop.name}.keyed to '{user}'@'%';"
    assert refused.value.where.endswith(f"{shop.name}.keyed")


def test_a_missing_lock_privilege_names_its_grant(mysql9_database: MysqlDatabase) -> None:
    database = mysql9_database
    user = f"reader_{database.name[-6:]}"
    database.execute(
        "create table keyless (id int)",
        f"create user '{user}'@'%'",
        f"grant select on {database.name}.* to '{user}'@'%'",
    )
    with pytest.raises(SourceRefused) as refused:
        bench_of(database, user=user).open("keyless")
    expected = f"grant select, lock tables on `{database.name}`.* to '{user}'@'%';"
    assert refused.value.remedy == f"Run: {expected}"


def test_engines_without_views_are_read_under_a_lock_when_they_have_no_key(shop: MysqlDatabase) -> None:
    shop.execute(
        "create table plain (id int) engine = MyISAM",
        "insert into plain values (1), (2)",
        "create table plain_keyed (id int primary key) engine = MyISAM",
        "insert into plain_keyed values (1), (2)",
    )
    bench = bench_of(shop)
    with bench.opened() as snapshot:
        with shop.connect() as connection, connection.cursor() as cursor:
            cursor.execute("set session lock_wait_timeout = 1")
            with pytest.raises(Exception, match="Lock wait timeout"):
                cursor.execute("insert into plain values (3)")
            cursor.execute("insert into plain_keyed values (3)")
        assert len(rows_of(snapshot, "plain")) == 2
        assert len(rows_of(snapshot, "plain_keyed")) == 3
        assert len(rows_of(snapshot, "keyless")) == ROWS
    assert bench.lines == ["tables are locked until they are copied"]
    shop.execute("insert into plain values (3)")


def test_rows_come_over_tls_in_records_of_its_own(mysql9_database: MysqlDatabase) -> None:
    mysql9_database.execute(
        "create table t (id int primary key, v longtext)",
        "insert into t values (1, repeat('x', 3000000)), (2, 'y')",
    )
    url = mysql9_database.server.url(mysql9_database.name, **{"ssl-mode": "required"})
    with bench_of(mysql9_database, url=url).opened() as snapshot:
        assert [len(row["v"]) for row in rows_of(snapshot, "t")] == [3_000_000, 1]


def test_a_killed_connection_is_an_outage(shop: MysqlDatabase) -> None:
    shop.execute(
        "create table wide (id int primary key, v longtext)",
        "insert into wide select id, repeat('x', 4000000) from keyed where id < 9",
    )
    bench = bench_of(shop)
    with bench.opened("wide") as snapshot:
        batches = snapshot.read(snapshot.chunks[0])
        next(batches)
        for (session,) in shop.server.query(
            "select id from information_schema.processlist"
            " where command = 'Execute' or info like 'select `id`%'"
        ):
            shop.server.kill_session(session)
        with pytest.raises(SourceUnavailable):
            list(batches)


def test_partial_row_images_make_one_chunk_of_a_table(shop: MysqlDatabase) -> None:
    shop.server.execute("set global binlog_row_image = MINIMAL")
    try:
        with bench_of(shop).opened("keyed") as snapshot:
            assert len(snapshot.chunks) == 1
            assert len(rows_of(snapshot, "keyed")) == ROWS
    finally:
        shop.server.execute("set global binlog_row_image = FULL")


def test_a_closed_snapshot_reads_no_more(shop: MysqlDatabase) -> None:
    snapshot = bench_of(shop).open()
    snapshot.close()
    snapshot.close()
    for table in ("keyed", "keyless"):
        with pytest.raises(SourceUnavailable):
            rows_of(snapshot, table)
