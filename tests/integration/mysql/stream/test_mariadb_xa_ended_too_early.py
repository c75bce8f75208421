"""MariaDB's binlog says XA COMMIT of what InnoDB never commits, where another connection ends a branch while
the one that prepared it is closed: no reader of the binlog can tell, the check can.
"""

from __future__ import annotations

import pytest

from cdc.spi.finding import Severity
from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.options import MysqlOptions
from tests.support.mysql.branches import ATTEMPTS, end_too_early
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer
from tests.support.waiting import wait_until

LOST = "1 prepared XA transaction cannot be ended"


@pytest.fixture
def server(mysql_server_factory: MysqlFactory) -> MysqlServer:
    server = mysql_server_factory(None, "mariadb10")
    server.execute("create database app", "create table app.t (id int primary key, note varchar(20))")
    return server


def lose(server: MysqlServer, outcome: str) -> int:
    """The id of the row whose branch was lost."""
    for number in range(1, ATTEMPTS + 1):
        change = f"insert into app.t values ({number}, '{outcome}')"
        if end_too_early(server, f"'branch','{number}'", change, outcome):
            return number
    pytest.skip("this MariaDB ends branches only when InnoDB has let go of them, or was too quick")


def rows(server: MysqlServer) -> list[int]:
    return [row[0] for row in server.query("select id from app.t order by id")]


def unended(server: MysqlServer) -> list[tuple[Severity, str]]:
    findings = run_checks(MysqlOptions.model_validate({"url": server.url("app")}), "shop")
    return [(f.severity, f.message) for f in findings if f.code == "xa-lost"]


def test_mariadb_differs_from_its_own_replica_when_a_branch_is_committed_too_early(
    server: MysqlServer, mysql_server_factory: MysqlFactory
) -> None:
    lost = lose(server, "commit")
    replica = mysql_server_factory(None, "mariadb10")
    master = f"master_host = '127.0.0.1', master_port = {server.port}, master_user = 'root'"
    replica.execute(f"change master to {master}, master_use_gtid = slave_pos", "start slave")
    wait_until(lambda: replica.value("select @@gtid_slave_pos") == server.executed(), "the replica")
    assert lost in rows(replica)
    assert lost not in rows(server)
    assert server.query("xa recover") == []
    # The remedy in the operations guide.
    server.restart()
    assert [row[3] for row in server.query("xa recover")] == [f"branch{lost}".encode()]
    end = server.executed()
    server.execute("set session sql_log_bin = 0", f"xa commit 'branch','{lost}'")
    assert rows(server) == rows(replica)
    assert server.executed() == end


@pytest.mark.parametrize("outcome", ["commit", "rollback"])
def test_check_warns_of_branches_that_only_the_binlog_ended(server: MysqlServer, outcome: str) -> None:
    assert unended(server) == []
    lose(server, outcome)
    [(severity, message)] = unended(server)
    assert severity is Severity.WARNING
    assert message.startswith(LOST)


def test_check_takes_no_branch_for_lost_that_can_be_ended(server: MysqlServer) -> None:
    prepare = ("xa start 'one'", "insert into app.t values (1, 'x')", "xa end 'one'", "xa prepare 'one'")
    # The check looks only where one was ended since the server's start.
    server.execute(*prepare, "xa rollback 'one'")
    with server.connect() as attached, attached.cursor() as cursor:
        for statement in prepare:
            cursor.execute(statement)
        assert unended(server) == []
    wait_until(lambda: "recovered trx" in server.query("show engine innodb status")[0][2], "it to be left")
    assert unended(server) == []
    server.execute("xa commit 'one'")
    assert rows(server) == [1]
    assert unended(server) == []


@pytest.mark.parametrize("is_flushed", [False, True])
def test_check_asks_for_the_privilege_to_see_lost_branches(server: MysqlServer, is_flushed: bool) -> None:
    server.execute("create user cdc identified by 'secret'", "grant select on app.* to cdc")
    server.execute(
        "xa start 'one'",
        "insert into app.t values (1, 'x')",
        "xa end 'one'",
        "xa prepare 'one'",
        "xa commit 'one'",
    )
    if is_flushed:
        # The counters of XA start again then, and so does one of the two times.
        uptime = "select variable_value from information_schema.global_status where variable_name = 'uptime'"
        wait_until(lambda: int(server.value(uptime)) > 0, "a second of uptime")
        server.execute("flush status")
    url = server.url("app", user="cdc", password="secret")
    [finding] = [
        f for f in run_checks(MysqlOptions.model_validate({"url": url}), "shop") if f.code == "xa-lost"
    ]
    assert finding.severity is Severity.OK
    assert "grant process on *.*" in finding.fix.lower()
