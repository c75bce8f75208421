from __future__ import annotations

import pytest

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


@pytest.fixture(params=[15, 18], ids=["pg15", "pg18"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_check_of_a_ready_server_finds_no_error(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key, v text)")
    findings = check(database.url)
    assert findings.errors == []
    assert findings.warnings == ["wal-retention"]
    assert findings.of("wal-level") == Finding(OK, "wal-level", "wal_level is 'logical'")
    assert findings.of("tables").message == "1 table will be followed: public.t"
    assert findings.of("slot").message == "the replication slot 'cdc_shop' does not exist and will be created"


def test_check_changes_nothing(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key)")
    check(database.url)
    assert database.value("select count(*) from pg_publication") == 0
    assert (
        database.value("select count(*) from pg_replication_slots where database = current_database()") == 0
    )


def test_check_asks_for_logical_wal_and_room(
    check: Check, postgres_factory: PostgresFactory, version: int
) -> None:
    server = postgres_factory(
        {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1"}, version=version
    )
    findings = check(server.dsn())
    assert findings.of("wal-level") == Finding(
        ERROR,
        "wal-level",
        "wal_level is 'replica', expected 'logical'",
        "Run: alter system set wal_level = 'logical'; then restart the server (Amazon RDS and Aurora: set"
        " rds.logical_replication = 1 in the parameter group and reboot; Google Cloud SQL: set the flag"
        " cloudsql.logical_decoding = on; Azure: set the server parameter wal_level and restart).",
    )
    assert findings.of("replication-slots") == Finding(
        ERROR,
        "replication-slots",
        "0 of 1 replication slots are in use, and 2 more slots are needed (the stream's, and a"
        " temporary one while"
        " tables are copied)",
        "Drop unused slots (select slot_name, active from pg_replication_slots;), or run:"
        " alter system"
        " set max_replication_slots = 10; then restart the server.",
    )
    assert findings.of("wal-senders") == Finding(
        ERROR,
        "wal-senders",
        "0 of 1 wal senders are in use, and 2 more are needed (the stream, and one while tables are copied)",
        "Run: alter system set max_wal_senders = 10; then restart the server.",
    )


def test_check_speaks_the_providers_words(check: Check, postgres_factory: PostgresFactory) -> None:
    server = postgres_factory({"wal_level": "replica"})
    with server.connect() as admin:
        admin.execute("create role rds_superuser")
        admin.execute("create role rds_replication")
        admin.execute("create role app login")
    findings = check(server.dsn(user="app"))
    assert findings.of("wal-level").fix == (
        "Set rds.logical_replication = 1 in the parameter group of the instance (Aurora: of the"
        " cluster) and reboot."
    )
    assert findings.of("replication-privilege").fix == "grant rds_replication to app;"
    with server.connect() as admin:
        admin.execute("grant rds_replication to app")
    assert check(server.dsn(user="app")).of("replication-privilege").severity is OK


def test_check_warns_of_settings_that_bite_later(
    check: Check, postgres_factory: PostgresFactory, version: int
) -> None:
    newer = {"idle_replication_slot_timeout": "1d"} if version >= 18 else {}
    server = postgres_factory(
        {"synchronous_standby_names": "FIRST 1 (s1, cdc_shop)", **newer}, version=version
    )
    findings = check(server.dsn())
    assert findings.of("synchronous-standby") == Finding(
        WARNING,
        "synchronous-standby",
        "synchronous_standby_names is 'FIRST 1 (s1, cdc_shop)', which counts the daemon"
        " ('cdc_shop') as a standby:"
        " commits then wait for it",
        "List the standbys by name: alter system set synchronous_standby_names = '<standby>, ...';"
        " select pg_reload_conf();",
    )
    assert findings.of("wal-retention") == Finding(
        WARNING,
        "wal-retention",
        "max_slot_wal_keep_size is -1: while the daemon is stopped, the slot keeps WAL until the"
        " disk is full",
        "Set it to the disk space that you can spare: alter system set max_slot_wal_keep_size = '50GB';"
        " select pg_reload_conf();",
    )
    if version >= 18:
        assert findings.of("idle-slot-timeout") == Finding(
            WARNING,
            "idle-slot-timeout",
            "idle_replication_slot_timeout is 86400 s: a daemon stopped for longer loses its slot",
            "alter system set idle_replication_slot_timeout = '0'; select pg_reload_conf();",
        )


def test_check_takes_a_limit_on_kept_wal_as_fine(check: Check, postgres_factory: PostgresFactory) -> None:
    server = postgres_factory({"max_slot_wal_keep_size": "10GB"})
    finding = check(server.dsn()).of("wal-retention")
    assert (finding.severity, finding.message) == (
        OK,
        "max_slot_wal_keep_size is 10240 MB: a slot never keeps more WAL than that",
    )


def test_check_warns_of_a_database_without_encoding(check: Check, database15: Database) -> None:
    name = f"{database15.name}_ascii"
    with database15.server.connect() as admin:
        admin.execute(f"create database {name} template template0 encoding 'SQL_ASCII' locale 'C'".encode())
        finding = check(database15.server.dsn(name)).of("encoding")
        admin.execute(f"drop database {name} with (force)".encode())
    assert finding == Finding(
        WARNING,
        "encoding",
        "the database's encoding is SQL_ASCII: text that is not valid UTF-8 stops the source",
        "Copy the data into a database created with encoding 'UTF8', or exclude such columns with `columns`,"
        " or their tables in `tables`.",
    )


def test_check_refuses_failover_before_postgres_17(check: Check, database15: Database) -> None:
    assert check(database15.url, failover=True).of("failover") == Finding(
        ERROR,
        "failover",
        "failover is true, and Postgres 15 has no failover slots (17 and newer have)",
        "Set failover: false.",
    )


def test_check_warns_of_failover_without_synchronized_standbys(check: Check, database18: Database) -> None:
    with database18.connect() as admin:
        admin.execute("select pg_create_logical_replication_slot('cdc_shop', 'pgoutput')")
        findings = check(database18.url, failover=True)
        admin.execute("select pg_drop_replication_slot('cdc_shop')")
    finding = findings.of("failover")
    assert finding.severity is WARNING
    assert finding.message == (
        "failover is true, and synchronized_standby_slots is empty: sinks can get changes that a"
        " promoted standby"
        " never received"
    )
    assert findings.of("slot-failover") == Finding(
        WARNING,
        "slot-failover",
        "failover is true, and the slot 'cdc_shop' was created without it",
        f'psql "dbname={database18.name} replication=database" -c "ALTER_REPLICATION_SLOT cdc_shop'
        ' (failover true);"',
    )


def test_check_ends_with_one_finding_when_names_are_too_long(database15: Database) -> None:
    from cdc_source_postgres.checks.preflight import run_checks
    from cdc_source_postgres.options import PostgresOptions

    (finding,) = run_checks(PostgresOptions.model_validate({"url": database15.url}), "s" * 70)
    assert (finding.severity, finding.code) == (ERROR, "name")
