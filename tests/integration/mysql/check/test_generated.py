"""Tables whose updates MariaDB 11 does not tell whole."""

from __future__ import annotations

from cdc.spi.finding import Severity
from tests.support.findings import Check
from tests.support.mysql.fixtures import EVERY_SERVER
from tests.support.mysql.server import MysqlDatabase


@EVERY_SERVER
def test_check_warns_of_generated_columns_where_updates_leave_them_out(
    check: Check, mysql_database: MysqlDatabase
) -> None:
    mysql_database.execute(
        "create table t (id int primary key, n int, a int generated always as (n * 2) virtual,"
        " b int generated always as (n + 1) stored)",
        "create table plain (id int primary key, n int default 7)",
    )
    findings = check(mysql_database.url).all_of("generated")
    if mysql_database.server.name != "mariadb11":
        assert findings == []
        return
    (finding,) = findings
    table = f"{mysql_database.name}.t"
    assert finding.severity is Severity.WARNING
    assert finding.message.endswith(f"so the copy of {table} lacks a, b")
    mysql_database.execute("alter table t drop column a, drop column b")
    assert check(mysql_database.url).all_of("generated") == []
