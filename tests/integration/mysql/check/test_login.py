"""Error numbers identify what is wrong with an account, whatever language the server speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cdc.errors import SourceRefused, SourceUnavailable
from cdc.spi.finding import Severity
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from tests.integration.mysql.conftest import create_account
from tests.support.findings import Check
from tests.support.mysql.server import MysqlServer

PASSWORD = "secret-word"


@pytest.fixture
def server(mysql: MysqlServer) -> Iterator[MysqlServer]:
    """A server that speaks German, with an account."""
    create_account(mysql, "app", "select, replication slave, replication client on *.*")
    mysql.execute("set global lc_messages = 'de_DE'")
    yield mysql
    mysql.execute("set global lc_messages = 'en_US'", "drop user if exists 'app'@'%'")


def connect(server: MysqlServer, password: str = PASSWORD) -> None:
    options = MysqlOptions.model_validate({"url": server.url("", "app", password)})
    connection = Connector(options, "shop").connect("to look")
    with connection, connection.cursor() as cursor:
        cursor.execute("select 1")


def test_a_german_server_is_understood(server: MysqlServer, check: Check) -> None:
    (finding,) = check(server.url("", "app", "wrong"))
    assert finding.code == "login"
    assert "Benutzer" in finding.message
    with pytest.raises(SourceRefused, match="error 1045"):
        connect(server, "wrong")
    missing, *_ = check(server.url("nowhere"))
    assert missing.code == "database"


def test_locked_and_expired_accounts_are_told_with_their_statement(server: MysqlServer, check: Check) -> None:
    url = server.url("", "app", PASSWORD)
    server.execute("alter user 'app'@'%' account lock")
    (finding,) = check(url)
    assert (finding.code, finding.fix) == ("login", "alter user 'app'@'%' account unlock;")
    with pytest.raises(SourceRefused):
        connect(server)
    server.execute("alter user 'app'@'%' account unlock", "alter user 'app'@'%' password expire")
    (finding,) = check(url)
    assert (finding.code, finding.fix) == ("login", "alter user 'app'@'%' identified by '...';")
    with pytest.raises(SourceRefused, match="expired"):
        connect(server)


def test_the_limit_of_an_account_is_told_with_its_statement(server: MysqlServer, check: Check) -> None:
    server.execute("alter user 'app'@'%' with max_user_connections 1")
    with ExitStack() as stack:
        stack.enter_context(server.connect(user="app", password=PASSWORD))
        (finding,) = check(server.url("", "app", PASSWORD))
        assert finding.code == "connections"
        assert finding.fix.startswith("alter user 'app'@'%' with max_user_connections 0")
        with pytest.raises(SourceUnavailable, match="max_user_connections 0"):
            connect(server)


def test_a_limit_below_what_the_daemon_opens_is_told_before_it_is_met(
    server: MysqlServer, check: Check
) -> None:
    url = server.url("", "app", PASSWORD)
    for limit, severity in ((2, Severity.ERROR), (4, Severity.WARNING)):
        server.execute(f"alter user 'app'@'%' with max_user_connections {limit}")
        finding = check(url).of("account-connections")
        assert finding.severity is severity
        assert finding.message.startswith(f"app@% is limited to {limit} connections")
        server.execute(finding.fix)
        assert check(url).all_of("account-connections") == []
    server.execute("alter user 'app'@'%' with max_user_connections 0")
    if server.flavour == "mysql":
        # MariaDB takes the server's limit only if it was started with one.
        server.execute("set global max_user_connections = 4")
        finding = check(url).of("account-connections")
        assert finding.fix == "set global max_user_connections = 5;"
        server.execute("set global max_user_connections = 0")


def test_roles_that_are_not_active_by_default_are_named(server: MysqlServer, check: Check) -> None:
    server.execute(
        "drop role if exists reader",
        "create role reader",
        "grant select on *.* to reader",
        "grant reader to 'app'@'%'",
        "revoke select on *.* from 'app'@'%'",
    )
    finding = check(server.url("", "app", PASSWORD)).of("default-role")
    server.execute(finding.fix.rstrip(";"))
    assert all(each.code != "default-role" for each in check(server.url("", "app", PASSWORD)))
    server.execute("drop role reader")
