from __future__ import annotations

import pytest

from cdc.spi.finding import Severity
from tests.integration.mysql.conftest import apply_fix
from tests.support.findings import Check
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


def test_check_of_a_ready_server_finds_no_error(check: Check, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key, v text)")
    findings = check(mysql_database.url)
    assert findings.errors == []
    # The test servers trade durability for speed.
    assert findings.warnings == ["durability"]
    assert findings.said("log-bin") == (OK, "the binlog is on", "")
    assert findings.said("binlog-format") == (OK, "binlog_format is ROW", "")
    assert findings.said("row-image") == (OK, "binlog_row_image is FULL", "")
    assert findings.of("row-metadata").message == (
        "binlog_row_metadata is FULL: each change contains its schema"
    )
    assert findings.of("gtid").severity is OK
    assert findings.of("tables").message == f"1 table will be followed: {mysql_database.name}.t"
    assert findings.of("connection").message.endswith(" as root@127.0.0.1")


def test_check_changes_nothing(check: Check, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key)")
    before = mysql_database.server.position()
    check(mysql_database.url)
    assert mysql_database.server.position() == before


@pytest.mark.every_server
def test_check_asks_for_a_binlog(check: Check, mysql_server_factory: MysqlFactory, mysql_name: str) -> None:
    settings = {"skip-log-bin": "ON", "gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"}
    if mysql_name == "mariadb10":
        settings = {"skip-log-bin": "ON"}
    server = mysql_server_factory(settings, mysql_name)
    findings = check(server.url())
    group = "mysqld" if mysql_name == "mysql9" else "mariadb"
    number = server.value("select @@server_id")
    assert findings.said("log-bin") == (
        ERROR,
        "log_bin is OFF: the server keeps no binlog of its changes",
        f"Write into the server's option file, under [{group}]: log_bin = mysql-bin, server_id = {number};"
        " then restart the server.",
    )
    assert findings.errors == ["log-bin"]


def test_check_asks_for_rows_and_whole_images_on_mysql(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory(
        {"binlog-format": "MIXED", "binlog-row-image": "MINIMAL", "binlog-row-metadata": "MINIMAL"}
    )
    findings = check(server.url())
    assert findings.said("binlog-format") == (
        ERROR,
        "binlog_format is MIXED, expected ROW: the server logs statements, which contain no rows",
        "set persist binlog_format = 'ROW';",
    )
    assert findings.said("row-image") == (
        WARNING,
        "binlog_row_image is MINIMAL, expected FULL: updates omit unchanged values,"
        " and a table is copied again, at growing intervals, after an insert without a column whose default"
        " is not known exactly (virtual ones on MariaDB, some of FLOAT, BINARY and TIMESTAMP)",
        "set persist binlog_row_image = 'FULL';",
    )
    assert findings.said("row-metadata") == (
        WARNING,
        "binlog_row_metadata is MINIMAL: the daemon derives schemas from the DDL in the binlog, and copies a"
        " table again after DDL that it cannot parse",
        "set persist binlog_row_metadata = 'FULL';",
    )
    for code in ("binlog-format", "row-image", "row-metadata"):
        apply_fix(server, findings.of(code))
        assert check(server.url()).of(code).severity is OK


def test_check_asks_for_rows_and_whole_images_on_mariadb(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory(
        {"binlog-format": "MIXED", "binlog-row-image": "NOBLOB", "binlog-row-metadata": "NO_LOG"}, "mariadb10"
    )
    findings = check(server.url())
    assert findings.of("binlog-format").fix == (
        "set global binlog_format = 'ROW'; and in the server's option file, under [mariadb]:"
        " binlog_format = ROW"
    )
    assert findings.of("row-image").message.startswith("binlog_row_image is NOBLOB, expected FULL:")
    assert findings.of("row-metadata").message.startswith("binlog_row_metadata is NO_LOG:")


def test_check_takes_partial_json_only_with_whole_images(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"binlog-row-value-options": "PARTIAL_JSON"})
    assert check(server.url()).said("row-value-options") == (
        OK,
        "binlog_row_value_options is PARTIAL_JSON: changed parts of JSON are applied to the old value",
        "",
    )
    server.execute("set global binlog_row_image = 'MINIMAL'")
    finding = check(server.url()).of("row-value-options")
    assert (finding.severity, finding.fix) == (ERROR, "set persist binlog_row_image = 'FULL';")


def test_check_knows_compressed_binlogs(
    check: Check, mysql_server_factory: MysqlFactory, mysql_name: str
) -> None:
    setting = "binlog-transaction-compression" if mysql_name == "mysql9" else "log-bin-compress"
    server = mysql_server_factory({setting: "ON"}, mysql_name)
    assert check(server.url()).said("compression") == (
        OK,
        f"{setting.replace('-', '_')} is ON: compressed changes are read",
        "",
    )


def test_check_warns_of_lax_durability_and_commit_order(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"sync-binlog": "1", "binlog-order-commits": "OFF"})
    findings = check(server.url())
    assert findings.said("durability") == (
        WARNING,
        "innodb_flush_log_at_trx_commit is 2: after a crash of its machine the server can hold"
        " changes that its"
        " binlog has lost, or the other way round",
        "set persist innodb_flush_log_at_trx_commit = 1;",
    )
    assert findings.said("commit-order") == (
        WARNING,
        "binlog_order_commits is OFF: changes become visible in another order than the binlog's",
        "set persist binlog_order_commits = ON;",
    )
    for code in ("durability", "commit-order"):
        apply_fix(server, findings.of(code))
    assert check(server.url()).of("durability").severity is OK


def test_check_tells_that_names_are_compared_without_case(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"lower-case-table-names": "1"}, "mariadb10")
    assert check(server.url()).of("table-names").message == (
        "lower_case_table_names is 1: the server treats names that differ only in case as equal,"
        " and stores them in lower case"
    )
