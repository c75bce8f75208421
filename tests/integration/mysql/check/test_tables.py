from __future__ import annotations

import pytest

from cdc.spi.finding import Severity
from tests.integration.mysql.conftest import apply_fix, create_account
from tests.support.findings import Check
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR
CHILD = (
    "create table parent (id int primary key)",
    "create table child (id int primary key, p int,"
    " constraint belongs foreign key (p) references parent (id) on delete cascade on update set null)",
)


def test_check_shows_entries_that_match_nothing(check: Check, mysql_database: MysqlDatabase) -> None:
    name = mysql_database.name
    mysql_database.execute("create table orders (id int primary key)")
    findings = check(mysql_database.url, tables=[f"{name}.ordesr", f"{name}.*"])
    assert findings.said("tables-unmatched") == (
        WARNING,
        f"tables: {name}.ordesr matches nothing on this server",
        f"Did you mean {name}.orders?",
    )
    (unmatched, empty) = (
        check(mysql_database.url, tables=["nowhere.*"]).said(c) for c in ("tables-unmatched", "tables-empty")
    )
    assert unmatched[2] == (
        "Correct it, or keep it for tables that are created later; a table on which root@127.0.0.1 has no"
        " privilege does not show."
    )
    assert empty == (
        ERROR,
        "tables selects no table that can be followed",
        "Write patterns of database.table, such as shop.*; cdc init lists what is there.",
    )


def test_check_refuses_a_view(check: Check, mysql_database: MysqlDatabase) -> None:
    name = mysql_database.name
    mysql_database.execute("create table t (id int primary key)", "create view seen as select * from t")
    findings = check(mysql_database.url, tables=[f"{name}.t", f"{name}.seen"])
    assert findings.said("table-kind") == (
        ERROR,
        f"{name}.seen is a view: the binlog contains no changes of it",
        "Name the tables that it is made of, or remove it from tables.",
    )
    assert findings.all_of("tables-unmatched") == []


def test_check_warns_of_tables_without_key(check: Check, mysql_database: MysqlDatabase) -> None:
    name = mysql_database.name
    mysql_database.execute(
        "create table lines_read (line text)",
        "create table by_index (code int not null, unique (code))",
        "create table half (code int, unique (code))",
    )
    assert check(mysql_database.url).said("no-key") == (
        WARNING,
        f"without primary key or unique index of NOT NULL columns: {name}.half, {name}.lines_read;"
        " a mirror identifies"
        " rows by all their values, and counts equal rows",
        f"If their rows have a unique key, declare it: alter table {name}.half add primary key (...);"
        f" alter table {name}.lines_read add primary key (...);",
    )


def test_check_warns_of_engines_without_transactions(check: Check, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table notes (id int primary key) engine = MyISAM")
    finding = check(mysql_database.url).of("engine")
    assert (finding.severity, finding.message, finding.fix) == (
        WARNING,
        f"{mysql_database.name}.notes is stored by MyISAM, which has no transactions: what a"
        " failed statement did"
        " there stays, and a copy sees changes that other tables do not show yet",
        f"alter table {mysql_database.name}.notes engine = InnoDB;",
    )
    apply_fix(mysql_database.server, finding)
    assert check(mysql_database.url).all_of("engine") == []


def test_check_warns_of_engines_that_keep_no_rows(check: Check, mysql9_database: MysqlDatabase) -> None:
    name = mysql9_database.name
    mysql9_database.execute("create table hole (id int primary key) engine = blackhole")
    (finding,) = check(mysql9_database.url).all_of("engine")
    assert finding.message == (
        f"{name}.hole is stored by BLACKHOLE, which keeps no rows: append and history sinks get the rows that"
        " are written, and mirrors stay empty"
    )
    assert finding.fix == f'alter table {name}.hole engine = InnoDB; or exclude the table: "!{name}.hole"'


def test_check_warns_of_cascades_that_are_not_logged(check: Check, mariadb10_database: MysqlDatabase) -> None:
    mariadb10_database.execute(*CHILD)
    name = mariadb10_database.name
    assert check(mariadb10_database.url).said("cascade") == (
        WARNING,
        f"{name}.child changes with parent through its foreign key belongs (on delete cascade, on"
        " update set null), and"
        " the binlog does not contain these changes: it is copied again after them, at growing intervals",
        f"Let the application change the children: alter table {name}.child drop foreign key"
        " belongs, add foreign"
        " key ... on delete restrict on update restrict;",
    )
    assert check(mariadb10_database.url, tables=[f"{name}.parent"]).all_of("cascade") == []


def test_check_sees_cascades_with_the_privileges_that_it_asks_for(
    check: Check, mariadb10_database: MysqlDatabase
) -> None:
    name, server = mariadb10_database.name, mariadb10_database.server
    comment = "constraint `a` foreign key (`a`) references `b` (`c`) on delete cascade"
    mariadb10_database.execute(*CHILD, f"create table other (a int primary key comment '{comment}')")
    create_account(server, "app", f"select on {name}.*")
    findings = check(server.url(name, "app", "secret-word"))
    assert [finding.message.split()[0] for finding in findings.all_of("cascade")] == [f"{name}.child"]


def test_check_names_a_parent_whose_own_foreign_keys_may_not_be_seen(
    check: Check, mariadb10_database: MysqlDatabase
) -> None:
    name, server = mariadb10_database.name, mariadb10_database.server
    mariadb10_database.execute(*CHILD)
    create_account(server, "app", f"select on {name}.child")
    found = check(server.url(name, "app", "secret-word")).all_of("cascade")
    assert [finding.message.split(",")[0] for finding in found] == [
        f"{name}.child changes with parent through its foreign key belongs (on delete cascade",
        f"app@% may not see the foreign keys of {name}.parent",
    ]
    assert found[1].fix == f"grant select on {name}.parent to 'app'@'%';"


def test_check_knows_when_cascades_are_logged(
    check: Check, mysql_server_factory: MysqlFactory, mysql9_database: MysqlDatabase
) -> None:
    mysql9_database.execute(*CHILD)
    assert check(mysql9_database.url).all_of("cascade") == []
    server = mysql_server_factory({"innodb-native-foreign-keys": "ON"})
    server.execute("create database shop", "use shop", *CHILD)
    assert check(server.url("shop")).of("cascade").fix == (
        "Start the server with innodb_native_foreign_keys = OFF: it then logs what foreign keys do."
    )


def test_check_refuses_reserved_names(check: Check, mysql_database: MysqlDatabase) -> None:
    name = mysql_database.name
    mysql_database.execute("create table t (id int primary key, _cdc_op int)")
    assert check(mysql_database.url).said("reserved-column") == (
        ERROR,
        f"{name}.t has a column _cdc_op; names that begin with _cdc_ are reserved",
        f'alter table {name}.t rename column _cdc_op to ...; or exclude the table: "!{name}.t"',
    )


def test_check_refuses_temporal_columns_of_the_old_format(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"mysql56-temporal-format": "OFF"}, "mariadb10")
    server.execute("create database shop", "create table shop.t (id int primary key, at datetime(3))")
    server.execute("set global mysql56_temporal_format = ON")
    finding = check(server.url("shop")).of("old-temporal")
    assert (finding.severity, finding.message, finding.fix) == (
        ERROR,
        "shop.t stores at in the format of MariaDB 5.3 or MySQL 5.5, whose values the binlog does"
        " not contain exactly",
        "alter table shop.t force;",
    )
    apply_fix(server, finding)
    assert check(server.url("shop")).errors == []


def test_check_tells_of_system_versioned_tables(check: Check, mariadb10_database: MysqlDatabase) -> None:
    mariadb10_database.execute("create table t (id int primary key) with system versioning")
    assert check(mariadb10_database.url).of("system-versioning").message == (
        "system-versioned tables are delivered as their current rows, without the history:"
        f" {mariadb10_database.name}.t"
    )


def test_check_names_types_that_are_not_understood(check: Check, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key, v json, e enum('a'), g geometry)")
    assert check(mysql_database.url).said("column-types") == (OK, "every column's type is supported", "")


@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_check_asks_to_lock_every_table_only_where_there_are_no_gtids(
    check: Check, mysql_server_factory: MysqlFactory, name: str
) -> None:
    settings = {"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"} if name == "mysql9" else None
    server = mysql_server_factory(settings, name)
    server.execute(
        "create database shop",
        "create table shop.t (id int primary key)",
        "create user app@'%' identified by 'x'",
        "grant replication slave, replication client, select on *.* to app@'%'",
    )
    findings = check(server.url("shop", "app", "x"))
    wanted = ["grant lock tables on `shop`.* to 'app'@'%';"] if name == "mysql9" else []
    assert [finding.fix for finding in findings.all_of("lock-privilege")] == wanted
