from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.binaries import account
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import PostgresServer
from tests.support.waiting import wait_until

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


def standby_of(primary: PostgresServer, factory: PostgresFactory) -> PostgresServer:
    """A streaming standby with the primary's tables, without feedback and without a slot."""
    standby = factory(version=primary.major, start=False)
    shutil.rmtree(standby.data)
    program, folder = str(primary.bindir / "pg_basebackup"), str(standby.data)
    command = [program, "-D", folder, "-R", "-X", "stream", "-c", "fast"]
    subprocess.run([*command, "-d", primary.dsn()], check=True, capture_output=True)
    standby.configure({"unix_socket_directories": str(standby.folder)})
    for path in [standby.data, *standby.data.rglob("*")]:
        os.chown(path, account().uid, account().gid)
    return standby.start()


@pytest.fixture(params=[15, 18], ids=["pg15", "pg18"])
def primary(request: pytest.FixtureRequest, postgres_factory: PostgresFactory) -> PostgresServer:
    server = postgres_factory(version=int(request.param))
    with server.connect() as admin:
        admin.execute("create table t (id int primary key)")
    return server


def test_check_of_a_standby(check: Check, primary: PostgresServer, postgres_factory: PostgresFactory) -> None:
    standby = standby_of(primary, postgres_factory)
    findings = check(standby.dsn())
    assert findings.of("publication") == Finding(
        ERROR,
        "publication",
        "the publication 'cdc_shop' does not exist, and a standby cannot create it",
        "On the primary, run: create publication cdc_shop for table public.t"
        " with (publish_via_partition_root = true);",
    )
    if primary.major < 16:
        assert findings.of("standby") == Finding(
            ERROR,
            "standby",
            "the server is a standby, and Postgres 15 cannot decode changes there (16 and newer can)",
            "Give the primary's address in url.",
        )
        return
    assert findings.of("standby-feedback") == Finding(
        ERROR,
        "standby-feedback",
        "the server is a standby without hot_standby_feedback: its primary's vacuum invalidates the slot",
        "On the standby, run: alter system set hot_standby_feedback = 'on'; select pg_reload_conf();",
    )
    assert findings.of("standby-slot").severity is WARNING
    assert findings.of("standby").fix == "On the primary, run: select pg_log_standby_snapshot();"

    with primary.connect() as admin:
        admin.execute(findings.of("publication").fix.partition(": ")[2].encode())
        admin.execute("select pg_create_physical_replication_slot('copy')")
    standby.configure({"hot_standby_feedback": "on", "primary_slot_name": "copy"})
    standby.restart()
    with standby.connect() as reader:
        wait_until(
            lambda: reader.execute("select 1 from pg_publication").fetchone(),
            "the publication on the standby",
        )
    ready = check(standby.dsn())
    assert ready.errors == []
    assert ready.of("standby").severity is OK
    assert check(standby.dsn(), failover=True).of("failover").message == (
        "failover is true, and a slot on a standby cannot follow a failover"
    )
