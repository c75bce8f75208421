"""The words of managed services, told on a real server that is taken for one of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cdc.spi.finding import Severity
from cdc_source_mysql.checks.report import MysqlReport, Server, describe_server
from cdc_source_mysql.checks.server import check_retention, check_server
from cdc_source_mysql.connection import version_of
from cdc_source_mysql.options import MysqlOptions
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer

WARNING, ERROR = Severity.WARNING, Severity.ERROR
RDS_FIX = "call mysql.rds_set_configuration('binlog retention hours', 168);"


@contextmanager
def described(server: MysqlServer, **changes: Any) -> Iterator[Server]:
    """The server as the check sees it, with some of that changed."""
    with server.connect() as connection:
        options = MysqlOptions.model_validate({"url": server.url()})
        yield replace(describe_server(connection, options, "shop"), **changes)


def test_check_reads_the_retention_of_rds(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory()
    found = []
    for provider in ("rds", "aurora"):
        with described(server, provider=provider) as seen:
            report = MysqlReport()
            check_retention(seen, report)
            found += report.findings
    assert {(f.severity, f.code) for f in found} == {(WARNING, "binlog-retention")}
    server.execute(
        "create table mysql.rds_configuration (name varchar(100), value varchar(100))",
        "insert into mysql.rds_configuration values ('binlog retention hours', null)",
    )
    with described(server, provider="rds") as seen:
        report = MysqlReport()
        check_retention(seen, report)
        server.execute("update mysql.rds_configuration set value = '12'")
        check_retention(seen, report)
        server.execute("update mysql.rds_configuration set value = '72'")
        check_retention(seen, report)
    never, short, fine = report.findings
    assert (never.severity, never.message, never.fix) == (
        ERROR,
        "Amazon RDS has no 'binlog retention hours': it purges the binlog as soon as it can, even if "
        "a reader still"
        " needs it",
        RDS_FIX,
    )
    assert (short.severity, short.fix) == (WARNING, RDS_FIX)
    assert short.message.startswith("Amazon RDS keeps its binlog for 12 hours:")
    assert fine.message == "Amazon RDS keeps its binlog for 3 days"


@pytest.mark.parametrize(
    ("provider", "fix"),
    [
        ("rds", "Set binlog_row_metadata = FULL in the parameter group of the instance."),
        ("aurora", "Set binlog_row_metadata = FULL in the parameter group of the cluster."),
        ("cloudsql", "Set the database flag binlog_row_metadata = FULL of the instance."),
        ("azure", "Set the server parameter binlog_row_metadata to FULL."),
    ],
)
def test_check_speaks_the_words_of_managed_services(mysql9: MysqlServer, provider: Any, fix: str) -> None:
    with described(mysql9) as seen:
        report = MysqlReport()
        changed = {**seen.variables, "binlog_row_metadata": "MINIMAL"}
        check_server(replace(seen, provider=provider, variables=changed), report)
    (finding,) = [f for f in report.findings if f.code == "row-metadata"]
    assert finding.fix == fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (
            "8.0.30-Vitess",
            "Vitess gateways send no binlog: give the address of a MySQL server of the shard in url.",
        ),
        ("5.7.25-TiDB-v6.5.0", "Give the address of a MySQL or MariaDB server in url."),
    ],
)
def test_check_refuses_what_only_speaks_the_protocol(mysql9: MysqlServer, text: str, fix: str) -> None:
    with described(mysql9, text=text, version=version_of(text)) as seen:
        report = MysqlReport()
        assert not check_server(seen, report)
    (finding,) = report.findings
    assert (finding.severity, finding.code, finding.fix) == (ERROR, "server-product", fix)


@pytest.mark.parametrize(("flavour", "version"), [("mysql", (5, 6, 51)), ("mariadb", (10, 4, 33))])
def test_check_refuses_servers_that_are_too_old(
    mysql9: MysqlServer, flavour: str, version: tuple[int, int, int]
) -> None:
    with described(mysql9, flavour=flavour, version=version) as seen:
        report = MysqlReport()
        assert not check_server(seen, report)
    assert [(f.severity, f.code) for f in report.findings] == [(ERROR, "server-version")]


def test_version_is_read_through_what_is_put_around_it() -> None:
    assert version_of("8.0.36-google") == (8, 0, 36)
    assert version_of("5.5.5-10.11.6-MariaDB-log") == (10, 11, 6)
    assert version_of("11.8.3-MariaDB") == (11, 8, 3)
