"""Servers that ignore the case of names (lower_case_table_names): the patterns of `tables` do as they do."""

from __future__ import annotations

import pytest

from cdc.spi.finding import Severity
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase

TABLES = ("App.Orders", "APP.Line*", "!app.LineDrafts")


@pytest.fixture
def database(mysql_server_factory: MysqlFactory, mysql_name: str) -> MysqlDatabase:
    server = mysql_server_factory({"lower-case-table-names": "1"}, mysql_name)
    server.execute(
        "create database App",
        "create table App.Orders (Id int primary key)",
        "create table App.LineItems (Id int primary key)",
        "create table App.LineDrafts (Id int primary key)",
        "insert into App.Orders values (1)",
    )
    return MysqlDatabase(server, "App")


def test_changes_and_copies_are_those_of_the_tables_that_the_server_takes_for_the_named_ones(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database, tables=TABLES)
    assert [str(schema.table) for schema in follower.source.discover()] == ["app.lineitems", "app.orders"]
    database.execute(
        "insert into ORDERS values (2)",
        "insert into aPp.lineItems values (3)",
        "insert into LineDrafts values (4)",
    )
    assert [(row["table"], row["Id"]) for row in follower.rows()] == [("app.orders", 2), ("app.lineitems", 3)]
    assert [(row["table"], row["Id"]) for row in follower.copy()[1]] == [
        ("app.lineitems", 3), ("app.orders", 1), ("app.orders", 2)
    ]  # fmt: skip


def test_statements_in_any_case_are_followed(database: MysqlDatabase, follow: FollowerFactory) -> None:
    follower = follow(database, tables=TABLES)
    database.server.execute(
        "set global binlog_row_metadata = " + ("minimal" if database.server.flavour == "mysql" else "no_log")
    )
    database.execute(
        "alter table APP.oRDERS add Note varchar(9)", "insert into orders values (2, 'a')",
        "create table `LINES` (Id int primary key)", "insert into `Lines` values (5)",
        "rename table `Lines` to LineS2, App.lineitems to LineDrafts2",
        "truncate table ORDERS", "drop table LineS2",
    )  # fmt: skip
    rows = follower.rows()
    assert [(row["table"], row["_cdc_op"], row.get("Id"), row.get("Note")) for row in rows] == [
        ("app.orders", "c", 2, "a"), ("app.lines", "c", 5, None), ("app.orders", "t", None, None)
    ]  # fmt: skip
    # `lines` twice: nobody can say any more which engine it had.
    stale = dict.fromkeys(str(request.table) for request in follower.stale)
    assert list(stale) == ["app.lines", "app.lines2", "app.linedrafts2"]


def test_the_check_finds_what_is_named_in_another_case(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(database, tables=TABLES)
    findings = {finding.code: finding for finding in follower.source.check()}
    assert "tables-unmatched" not in findings
    assert findings["tables"].severity is Severity.OK
    assert "app.lineitems, app.orders" in findings["tables"].message


def test_a_server_that_minds_the_case_is_asked_for_names_as_they_are_written(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute(
        "create table Orders (id int primary key)", "create table orders (id int primary key)"
    )
    follower = follow(mysql_database, tables=[f"{mysql_database.name}.Orders"])
    mysql_database.execute("insert into orders values (1)", "insert into Orders values (2)")
    assert [row["id"] for row in follower.rows()] == [2]
