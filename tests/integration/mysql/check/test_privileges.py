from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cdc.spi.finding import Severity
from cdc_source_mysql.binlog.transactions import may_have_xa
from tests.integration.mysql.conftest import apply_fix, create_account
from tests.support.findings import Check
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR
PASSWORD = "secret-word"


@pytest.fixture
def shop(mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    mysql_database.execute("create table t (id int primary key, v text)", "create table keyless (v text)")
    yield mysql_database
    mysql_database.server.execute("drop user if exists 'app'@'%'")


def url(database: MysqlDatabase, password: str = PASSWORD) -> str:
    return database.server.url(database.name, "app", password)


def monitor(server: MysqlServer) -> str:
    return "replication client" if server.flavour == "mysql" else "binlog monitor"


def to_lock(shop: MysqlDatabase) -> list[str]:
    """Tables of which a copy needs a lock; other tests may have used XA on the same server."""
    if shop.server.flavour == "mysql":
        return [f"{shop.name}.keyless"]
    with shop.server.connect() as connection, connection.cursor() as cursor:
        return [f"{shop.name}.keyless", f"{shop.name}.t"] if may_have_xa(cursor) else []


@pytest.mark.every_server
def test_check_names_each_missing_privilege_with_its_grant(check: Check, shop: MysqlDatabase) -> None:
    create_account(shop.server, "app", f"insert on {shop.name}.*")
    findings = check(url(shop))
    assert findings.said("replication-privilege") == (
        ERROR,
        "app@% may not read the binlog (REPLICATION SLAVE)",
        "grant replication slave on *.* to 'app'@'%';",
    )
    privilege = monitor(shop.server)
    assert findings.said("status-privilege") == (
        ERROR,
        f"app@% may not read the binlog's position ({privilege.upper()})",
        f"grant {privilege} on *.* to 'app'@'%';",
    )
    assert findings.said("select-privilege") == (
        ERROR,
        f"app@% may not read 2 tables, which the first copy needs: {shop.name}.keyless, {shop.name}.t",
        f"grant select on {shop.name}.keyless to 'app'@'%'; grant select on {shop.name}.t to 'app'@'%';",
    )
    lacking = ["replication-privilege", "status-privilege", "select-privilege"]
    locked = to_lock(shop)
    if locked:
        assert findings.said("lock-privilege") == (
            ERROR,
            f"app@% may not lock {', '.join(locked)}, which is done for an instant to find the"
            " exact position of a"
            " copy (LOCK TABLES)",
            f"grant lock tables on `{shop.name}`.* to 'app'@'%';",
        )
        lacking.insert(2, "lock-privilege")
    assert findings.errors == lacking
    for code in lacking:
        apply_fix(shop.server, findings.of(code))
    assert check(url(shop)).errors == []


@pytest.mark.every_server
def test_check_counts_what_a_role_brings(check: Check, shop: MysqlDatabase) -> None:
    server = shop.server
    create_account(server, "app")
    server.execute("drop role if exists reader", "create role reader")
    on = "default role reader to" if server.flavour == "mysql" else "default role reader for"
    escaped = shop.name.replace("_", r"\_")
    server.execute(
        f"grant replication slave, {monitor(server)} on *.* to reader",
        f"grant select, lock tables on `{escaped}`.* to reader",
        "grant reader to 'app'@'%'",
        f"set {on} 'app'@'%'",
    )
    findings = check(url(shop))
    server.execute("drop role reader")
    assert findings.errors == []


@pytest.mark.every_server
def test_check_is_not_content_with_some_columns(check: Check, shop: MysqlDatabase) -> None:
    create_account(
        shop.server,
        "app",
        f"replication slave, {monitor(shop.server)} on *.*",
        f"select (id) on {shop.name}.t",
        f"select on {shop.name}.keyless",
        f"lock tables on {shop.name}.*",
    )
    finding = check(url(shop)).of("select-privilege")
    assert finding.message == f"app@% may not read 1 table, which the first copy needs: {shop.name}.t"


@pytest.mark.every_server
def test_check_says_what_it_was_not_shown(check: Check, shop: MysqlDatabase) -> None:
    create_account(shop.server, "app", "replication slave on *.*", f"select on {shop.name}.*")
    findings = check(url(shop))
    privilege = "replication client" if shop.server.flavour == "mysql" else "slave monitor"
    assert findings.said("replica") == (
        OK,
        "whether the server is itself a replica is not visible to this account",
        f"To let the daemon check it: grant {privilege} on *.* to 'app'@'%';",
    )
    if shop.server.flavour == "mysql":
        assert findings.said("xa") == (
            OK,
            "prepared XA transactions are not visible to this account: the rows of one prepared before the"
            " first run are searched in the binlogs at its XA COMMIT",
            "To let the daemon check them: grant xa_recover_admin on *.* to 'app'@'%';",
        )


def test_check_explains_a_failed_login_without_the_password(check: Check, shop: MysqlDatabase) -> None:
    create_account(shop.server, "app")
    (finding,) = check(url(shop, "never-shown"))
    assert (finding.severity, finding.code) == (ERROR, "login")
    assert "Access denied for user 'app'@'127.0.0.1'" in finding.message
    assert finding.fix == (
        "Correct user and password in url; to set a new one: alter user 'app'@'%' identified by '...';"
    )
    assert "never-shown" not in f"{finding}"


def test_check_explains_missing_and_closed_databases(check: Check, shop: MysqlDatabase) -> None:
    missing, *others = check(shop.server.url("nowhere"))
    assert others, "what else is wrong is said too"
    assert missing.code == "database"
    assert "Unknown database 'nowhere'" in missing.message
    assert missing.fix == "Correct the database in url; show databases lists the existing ones."
    create_account(shop.server, "app")
    closed, *others = check(url(shop))
    assert closed.code == "database"
    assert closed.fix == f"Correct the database in url, or run: grant select on {shop.name}.* to 'app'@'%';"
    assert "may not read the binlog" in "".join(finding.message for finding in others)


def test_check_says_that_nothing_listens(check: Check) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        (finding,) = check(f"mysql://app:pw@127.0.0.1:{port}/shop")
    assert (finding.severity, finding.code) == (ERROR, "connection")
    assert finding.fix == (
        "Start the server, or correct host and port in url (inside a container, localhost is the container)."
    )


@pytest.mark.halved
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_check_explains_a_server_without_tls(
    check: Check, mysql_server_factory: MysqlFactory, name: str
) -> None:
    settings = {"skip-ssl": "ON"} if name == "mariadb10" else {"tls-version": ""}
    server = mysql_server_factory(settings, name)
    (finding,) = check(server.url("", **{"ssl-mode": "required"}))
    assert finding.code == "tls"
    assert finding.fix == "Set ssl-mode and ssl-ca in url to what the server offers."


def test_check_tells_a_file_of_certificates_that_is_none_from_a_server_that_is_away(
    check: Check, mysql9: MysqlServer
) -> None:
    (finding,) = check(mysql9.url("", **{"ssl-mode": "verify_ca", "ssl-ca": __file__}))
    assert (finding.severity, finding.code) == (ERROR, "tls")
    assert "ssl-ca" in finding.message
    assert finding.fix == "Expected readable PEM files with certificates of authorities."


def test_check_asks_for_locks_on_mariadb_once_xa_is_used_or_may_have_been(
    check: Check, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({}, "mariadb10")
    database = server.create_database()
    database.execute("create table t (id int primary key)")
    create_account(server, "app", "replication slave, binlog monitor on *.*", f"select on {database.name}.*")
    assert check(url(database)).errors == []
    database.execute(
        "xa start 'a'", "insert into t values (1)", "xa end 'a'", "xa prepare 'a'", "xa commit 'a'"
    )
    wanted = f"grant lock tables on `{database.name}`.* to 'app'@'%';"
    assert check(url(database)).of("lock-privilege").fix == wanted
    begun = int(server.value("select unix_timestamp()"))
    wait_until(lambda: int(server.value("select unix_timestamp()")) > begun, "the next second")
    server.execute("flush status")
    finding = check(url(database)).of("lock-privilege")
    assert (finding.severity, finding.fix) == (ERROR, wanted)
    apply_fix(server, finding)
    assert check(url(database)).errors == []
