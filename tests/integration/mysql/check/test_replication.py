from __future__ import annotations

import pytest

from cdc.spi.finding import Severity
from cdc_source_mysql.options import MysqlOptions
from tests.support.findings import Check
from tests.support.mysql.branches import prepare
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


def follow(replica: MysqlServer, source: MysqlServer) -> None:
    """Make a server the replica of another, and wait until it follows."""
    login = f"master_host='127.0.0.1', master_port={source.port}, master_user='root'"
    if replica.flavour == "mysql":
        login = login.replace("master_", "source_")
        replica.execute(f"change replication source to {login}, source_auto_position=1", "start replica")
    else:
        replica.execute(f"change master to {login}, master_use_gtid=slave_pos", "start slave")
    wait_until(lambda: follows(replica, source), "the replica to follow")


def follows(replica: MysqlServer, source: MysqlServer) -> bool:
    return replica.executed() == source.executed() or bool(
        source.query("select 1 from information_schema.processlist where command like 'Binlog Dump%'")
    )


def test_check_warns_without_gtids(check: Check, mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory({"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"})
    finding = check(server.url()).of("gtid")
    assert (finding.severity, finding.message) == (
        WARNING,
        "gtid_mode is OFF, expected ON: positions are files and offsets of this one server, so a"
        " failover to a"
        " replica needs a new copy of all tables",
    )
    for step in finding.fix.partition(": ")[2].split("; ")[:5]:
        server.execute(step)
    assert check(server.url()).said("gtid") == (
        OK,
        "gtid_mode is ON: after a failover the source continues on a replica",
        "",
    )


@pytest.mark.every_server
def test_check_warns_of_short_retention(
    check: Check, mysql_server_factory: MysqlFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({"binlog-expire-logs-seconds": "7200"}, mysql_name)
    findings = check(server.url())
    fix = "set persist binlog_expire_logs_seconds = 604800;"
    if mysql_name == "mariadb10":
        fix = (
            "set global binlog_expire_logs_seconds = 604800; and in the server's option file,"
            " under [mariadb]:"
            " binlog_expire_logs_seconds = 604800"
        )
    assert findings.said("binlog-retention") == (
        WARNING,
        "the server keeps its binlog for 2 hours: a daemon stopped for longer has to copy all tables again",
        fix,
    )
    server.execute(findings.of("binlog-retention").fix.split(";")[0])
    assert check(server.url()).of("binlog-retention").message == "the server keeps its binlog for 7 days"


def test_check_tells_when_nothing_is_purged(check: Check, mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory({"binlog-expire-logs-auto-purge": "OFF"})
    assert check(server.url()).said("binlog-retention") == (
        OK,
        "the server keeps its binlog until a statement purges it",
        "",
    )


def test_check_finds_databases_that_the_binlog_leaves_out(
    check: Check, mysql_server_factory: MysqlFactory, mysql_name: str
) -> None:
    server = mysql_server_factory({"binlog-ignore-db": "shop"}, mysql_name)
    server.execute("create database shop", "create table shop.t (id int primary key)")
    server.execute("create database other", "create table other.t (id int primary key)")
    assert check(server.url("shop")).said("binlog-filter") == (
        ERROR,
        "the binlog omits the changes of shop (binlog-ignore-db)",
        "Remove binlog-ignore-db from the server's option file; then restart the server.",
    )
    assert check(server.url("other")).said("binlog-filter") == (
        OK,
        "the binlog omits databases, none of them selected (binlog-do-db, binlog-ignore-db)",
        "",
    )


def test_check_finds_databases_that_the_binlog_is_not_limited_to(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"binlog-do-db": "other"})
    server.execute("create database shop", "create table shop.t (id int primary key)")
    assert check(server.url("shop")).of("binlog-filter").message == (
        "the binlog omits the changes of shop (binlog-do-db)"
    )


def test_check_refuses_the_servers_own_number(check: Check, mysql_database: MysqlDatabase) -> None:
    number = mysql_database.value("select @@server_id")
    assert check(mysql_database.url, server_id=number).said("server-id") == (
        ERROR,
        f"the server has our own server_id {number}",
        "Set another server_id: for this source in the config, one that no server of the replication has.",
    )


@pytest.mark.every_server
def test_check_sees_replicas_and_their_numbers(
    check: Check, mysql_server_factory: MysqlFactory, mysql_name: str
) -> None:
    source = mysql_server_factory(None, mysql_name)
    # A replica without the changes that it replicates in its own binlog.
    replica = mysql_server_factory({"log-slave-updates": "OFF"}, mysql_name)
    if mysql_name == "mysql9":
        source.execute("create user app@'%' identified by 'x'")
    follow(replica, source)
    number = replica.value("select @@server_id")
    if mysql_name == "mysql9":
        message = f"another replica or daemon has our server_id {number}: the two disconnect each other"
        assert check(source.url(), server_id=number).of("server-id").message == message
    updates = "log_replica_updates" if mysql_name == "mysql9" else "log_slave_updates"
    group = "mysqld" if mysql_name == "mysql9" else "mariadb"
    assert check(replica.url()).said("replica") == (
        ERROR,
        f"the server is a replica and {updates} is OFF: its binlog lacks the changes that it replicates",
        f"Write into the server's option file, under [{group}]: {updates} = ON; then restart the server.",
    )
    replica.configure({"log-slave-updates": "ON"})
    replica.restart()
    assert check(replica.url()).of("replica").severity is OK


def test_check_takes_an_earlier_start_of_ours_for_us(check: Check, mysql_database: MysqlDatabase) -> None:
    ours = MysqlOptions.model_validate({"url": mysql_database.url}).replica_id("shop")
    assert check(mysql_database.url).said("server-id") == (
        OK,
        f"our server_id {ours} is unique among the replicas",
        "",
    )


def test_check_warns_of_prepared_transactions(check: Check, mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table t (id int primary key)")
    assert check(mysql_database.url).of("xa").message == "no XA transaction is prepared"
    # A name is any bytes, of which not all are text.
    xid = "X'ff00',X'c3'"
    prepare(mysql_database, xid, "insert into t values (1)")
    finding = check(mysql_database.url).of("xa")
    mysql_database.execute(f"xa rollback {xid}")
    assert (finding.severity, finding.message) == (
        WARNING,
        "1 XA transaction is prepared: the rows are read from the binlog again at XA COMMIT, and must"
        " not be purged until then",
    )


def test_check_offers_a_retention_for_a_binlog_limited_by_size(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"max-binlog-total-size": "1G"}, "mariadb11")
    finding = check(server.url()).of("binlog-size")
    assert finding.severity is WARNING
    statement, _, told = finding.fix.partition("; ")
    assert "option file" in told
    server.execute(statement)
    assert check(server.url()).all_of("binlog-size") == []
