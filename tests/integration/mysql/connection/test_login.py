from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdc.errors import SourceRefused, SourceUnavailable
from cdc_source_mysql.connection import Connector, one
from cdc_source_mysql.options import MysqlOptions
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer
from tests.support.waiting import wait_until

PASSWORD = "p@ss:w/örd %'"


def connector_to(url: str) -> Connector:
    return Connector(MysqlOptions.model_validate({"url": url}), "shop")


def log_in(url: str) -> str:
    """The account that the server took us for."""
    connector = connector_to(url)
    with connector.connect("for the test") as connection, connection.cursor() as cursor:
        cursor.execute("select current_user()")
        return str(one(cursor))


@pytest.fixture
def account(mysql: MysqlServer) -> Iterator[str]:
    """A login with a password, of the server's default kind."""
    mysql.execute(f"create user reader@'%' identified by {mysql_literal(PASSWORD)}")
    yield "reader"
    mysql.execute("drop user reader@'%'")


def mysql_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("ssl_mode", ["disabled", "preferred"])
def test_password_logs_in_with_and_without_tls(mysql: MysqlServer, account: str, ssl_mode: str) -> None:
    url = mysql.url(user=account, password=PASSWORD, **{"ssl-mode": ssl_mode})
    # The first login of caching_sha2_password sends the password whole, the second one a proof of it.
    assert log_in(url) == "reader@%"
    assert log_in(url) == "reader@%"


def test_socket_logs_in(mysql: MysqlServer) -> None:
    assert log_in(mysql.url(socket=str(mysql.socket))) == "root@localhost"


def test_account_without_password_logs_in(mysql: MysqlServer) -> None:
    assert log_in(mysql.url()) == "root@127.0.0.1"


def test_wrong_password_is_refused_without_a_word_of_it(mysql: MysqlServer, account: str) -> None:
    with pytest.raises(
        SourceRefused, match=r"Access denied for user 'reader'.*Check user and password"
    ) as raised:
        log_in(mysql.url(user=account, password="not-the-secret"))
    assert "not-the-secret" not in str(raised.value)
    assert mysql.url().rpartition("@")[2].strip("/") in str(raised.value)


def test_account_that_must_not_come_from_here_is_refused(mysql: MysqlServer) -> None:
    mysql.execute("create user far@'192.0.2.1' identified by ''")
    with pytest.raises(SourceRefused, match="Access denied"):
        log_in(mysql.url(user="far"))
    mysql.execute("drop user far@'192.0.2.1'")


def test_locked_account_is_refused_with_the_statement(mysql: MysqlServer) -> None:
    mysql.execute("create user locked@'%' identified by '' account lock")
    with pytest.raises(SourceRefused, match="account unlock"):
        log_in(mysql.url(user="locked"))
    mysql.execute("drop user locked@'%'")


def test_full_server_is_waited_for(mysql: MysqlServer) -> None:
    mysql.execute("create user busy@'%' identified by '' with max_user_connections 1")
    connector = connector_to(mysql.url(user="busy"))
    with connector.connect("for the test"), pytest.raises(SourceUnavailable, match="max_user_connections"):
        connector.connect("for the test")
    mysql.execute("drop user busy@'%'")


def test_server_that_is_down_is_waited_for(mysql_server_factory: MysqlFactory) -> None:
    server = mysql_server_factory(name="mariadb10")
    connector = connector_to(server.url())
    connection = connector.connect("for the test")
    server.kill9()
    with pytest.raises(SourceUnavailable), connector.translated("reading"), connection.cursor() as cursor:
        cursor.execute("select 1")
    with pytest.raises(SourceUnavailable, match="connection refused"):
        connector.connect("for the test")


def test_killed_session_is_made_again(mysql: MysqlServer) -> None:
    connector = connector_to(mysql.url())
    connection = connector.connect("for the test")
    with connection.cursor() as cursor:
        cursor.execute("select connection_id()")
        session = one(cursor)
    mysql.execute(f"kill {session}")
    ask = "select count(*) from information_schema.processlist where id = %s"
    wait_until(lambda: mysql.value(ask, [session]) == 0, "the session to end")
    with pytest.raises(SourceUnavailable), connector.translated("reading"), connection.cursor() as cursor:
        cursor.execute("select 1")


@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_session_does_not_take_over_the_servers_habits(mysql_server_factory: MysqlFactory, name: str) -> None:
    habits = {
        "default-time-zone": "+05:00",
        "sql-mode": "ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES"
        if name == "mariadb10"
        else "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
        "autocommit": "OFF",
        "transaction-isolation": "READ-COMMITTED",
        "wait-timeout": "5",
        "character-set-server": "latin1",
    }
    server = mysql_server_factory(habits, name)
    connector = connector_to(server.url())
    isolation = "tx_isolation" if name == "mariadb10" else "transaction_isolation"
    with connector.connect("for the test") as connection, connection.cursor() as cursor:
        cursor.execute(
            f"select @@time_zone, @@sql_mode, @@autocommit, @@{isolation}, @@wait_timeout,"
            " @@character_set_results, @@character_set_client"
        )
        found = cursor.fetchone()
    assert found == ("+00:00", "ALLOW_INVALID_DATES", 1, "REPEATABLE-READ", 86400, "utf8mb4", "utf8mb4")


@pytest.mark.every_server
def test_facts_name_the_server(mysql: MysqlServer) -> None:
    connector = connector_to(mysql.url())
    with connector.connect("for the test") as connection:
        facts = connector.facts(connection)
    assert facts.flavour == mysql.flavour
    assert facts.version_text == mysql.value("select version()")
    assert facts.version[0] == int(facts.version_text.partition(".")[0])
    assert facts.server_id == mysql.value("select @@server_id")
    assert facts.has_gtids
    assert facts.log_bin
    assert facts.lower_case_table_names == 0
    assert len(facts.server_uuid) == (36 if mysql.flavour == "mysql" else 0)
