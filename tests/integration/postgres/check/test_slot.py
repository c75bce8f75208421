from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from psycopg import pq

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    """A database whose slot `cdc_shop` is gone afterwards, wherever it was made."""
    database.execute("create table t (id int primary key)", "create publication cdc_shop for table t")
    yield database
    with database.server.connect() as admin:
        admin.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name ="
            " 'cdc_shop'"
        )


@contextlib.contextmanager
def reader(database: Database, application: str) -> Iterator[int]:
    """A connection that streams from the slot `cdc_shop`: its process."""
    url = database.dsn(replication="database", application_name=application)
    connection = pq.PGconn.connect(url.encode())
    try:
        result = connection.exec_(
            b"START_REPLICATION SLOT cdc_shop LOGICAL 0/0 (proto_version '1', publication_names 'cdc_shop')"
        )
        assert result.status == pq.ExecStatus.COPY_BOTH, result.get_error_message()
        yield connection.backend_pid
    finally:
        connection.finish()


def create(database: Database, plugin: str = "pgoutput") -> None:
    database.query("select pg_create_logical_replication_slot('cdc_shop', %s)", [plugin])


def test_check_takes_a_free_slot(check: Check, shop: Database) -> None:
    create(shop)
    assert check(shop.url).of("slot") == Finding(
        OK, "slot", "the replication slot 'cdc_shop' exists and is free"
    )


def test_check_refuses_a_slot_of_another_plugin(check: Check, shop: Database) -> None:
    create(shop, "test_decoding")
    finding = check(shop.url).of("slot")
    assert finding == Finding(
        ERROR,
        "slot",
        "the replication slot 'cdc_shop' uses the plugin test_decoding, expected pgoutput",
        "Set slot: to another name, or, if it is no longer needed: select "
        "pg_drop_replication_slot('cdc_shop');",
    )
    shop.execute(finding.fix.partition(": ")[2].partition(": ")[2])
    assert check(shop.url).of("slot").severity is OK


def test_check_refuses_a_physical_slot(check: Check, shop: Database) -> None:
    shop.query("select pg_create_physical_replication_slot('cdc_shop')")
    assert check(shop.url).of("slot").message == (
        "the replication slot 'cdc_shop' is a physical slot, expected a logical one"
    )


def test_check_refuses_a_slot_of_another_database(check: Check, shop: Database) -> None:
    create(shop)
    other = shop.server.create_database()
    other.execute("create table t (id int primary key)")
    finding = check(other.url).of("slot")
    other.drop()
    assert finding.message == (
        f"the replication slot 'cdc_shop' belongs to the database '{shop.name}', not to '{other.name}'"
    )


def test_check_names_who_reads_the_slot(check: Check, shop: Database) -> None:
    create(shop)
    with reader(shop, "pg_recvlogical") as pid:
        assert check(shop.url).of("slot-taken") == Finding(
            ERROR,
            "slot-taken",
            f"the replication slot 'cdc_shop' is in use by process {pid} (pg_recvlogical)",
            f"Stop it, or set slot: to another name; on the server: select pg_terminate_backend({pid});",
        )
    wait_until(lambda: check(shop.url).of("slot").severity is OK, "the slot to be free")


def test_check_knows_its_own_daemon(check: Check, shop: Database) -> None:
    create(shop)
    with reader(shop, "cdc_shop") as pid:
        finding = check(shop.url).of("slot")
        assert finding == Finding(
            OK,
            "slot",
            f"the replication slot 'cdc_shop' is in use by a running daemon (process {pid})",
        )


@pytest.mark.halved
@pytest.mark.parametrize("version", [15, 18])
def test_check_finds_a_slot_whose_wal_is_gone(
    check: Check, postgres_factory: PostgresFactory, version: int
) -> None:
    server = postgres_factory(
        {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}, version=version
    )
    with server.connect() as admin:
        admin.execute("create table t (id int primary key)")
        admin.execute("select pg_create_logical_replication_slot('cdc_shop', 'pgoutput')")
        warned = check(server.dsn()).of("slot-reserve")
        assert warned.severity is WARNING
        assert warned.message.startswith("the replication slot 'cdc_shop' is lost after ")
        for _ in range(3):
            admin.execute("select pg_logical_emit_message(false, 'x', 'y')")
            admin.execute("select pg_switch_wal()")
        admin.execute("checkpoint")
    findings = check(server.dsn())
    reason = "wal_removed" if version >= 17 else "wal_status lost"
    assert findings.of("slot-lost") == Finding(
        ERROR,
        "slot-lost",
        f"the replication slot 'cdc_shop' is invalidated ({reason}): changes are lost",
        "Copy all tables again (cdc snapshot). To prevent this, raise max_slot_wal_keep_size.",
    )


def test_check_counts_the_slots_of_others(check: Check, postgres_factory: PostgresFactory) -> None:
    server = postgres_factory({"max_replication_slots": "2"})
    with server.connect() as admin:
        admin.execute("create table t (id int primary key)")
        admin.execute("select pg_create_physical_replication_slot('somebody')")
        finding = check(server.dsn()).of("replication-slots")
        assert finding.severity is ERROR
        assert finding.message.startswith("1 of 2 replication slots are in use, and 2 more slots are needed")
        admin.execute("select pg_create_logical_replication_slot('cdc_shop', 'pgoutput')")
        finding = check(server.dsn()).of("replication-slots")
        assert finding.severity is WARNING
        assert finding.message.startswith("2 of 2 replication slots are in use, and 1 more slot is needed")
