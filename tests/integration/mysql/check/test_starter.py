from __future__ import annotations

import pytest
import yaml

from cdc.errors import ConfigError, SourceRefused, SourceUnavailable
from cdc_source_mysql.starter import describe
from tests.integration.mysql.conftest import create_account
from tests.support.findings import Check
from tests.support.mysql.server import MysqlDatabase


@pytest.mark.every_server
def test_starter_lists_what_is_in_the_database(check: Check, mysql_database: MysqlDatabase) -> None:
    server, name = mysql_database.server, mysql_database.name
    create_account(server, "app", "select on *.*")
    mysql_database.execute("create table orders (id int primary key)", "create table readings (at timestamp)")
    text = describe(server.url(name, "app", "secret-word"))
    source = yaml.safe_load(text)["sources"][name]
    assert source == {"type": "mysql", "url": f"${{{name.upper()}_URL}}", "tables": [f"{name}.*"]}
    assert f"# {name}.readings has no key: mirrors identify its rows by all their values." in text
    assert (
        f"{name.upper()}_URL holds the URL: {server.flavour}://app:...@127.0.0.1:{server.port}/{name}\n"
        in text
    )
    assert f"from the database {name} ({'MySQL' if server.flavour == 'mysql' else 'MariaDB'} " in text
    assert "secret-word" not in text
    assert check(mysql_database.url, tables=source["tables"]).errors == []


def test_starter_of_a_whole_server_lists_its_databases(mysql_database: MysqlDatabase) -> None:
    mysql_database.execute("create table orders (id int primary key)")
    source = yaml.safe_load(describe(mysql_database.server.url()))["sources"]["source_127_0_0_1"]
    assert f"{mysql_database.name}.*" in source["tables"]
    assert "mysql.*" not in source["tables"]


def test_starter_counts_no_rows_only_where_there_are_none(mysql_database: MysqlDatabase) -> None:
    mysql_database.execute(
        "create table nothing (id int primary key) stats_auto_recalc=0",
        "create table something (id int primary key) stats_auto_recalc=0",
        "insert into something values (1), (2)",
    )
    text = describe(mysql_database.url)
    assert (
        "# 2 tables, 1 without rows, row count of 1 unknown (no statistics)\n" in text
        or "about 2 rows\n" in text
    )


def test_starter_of_an_empty_database_follows_it(mysql_database: MysqlDatabase) -> None:
    text = describe(mysql_database.url)
    assert yaml.safe_load(text)["sources"][mysql_database.name]["tables"] == [f"{mysql_database.name}.*"]
    assert "# this account cannot read any table yet" in text


def test_starter_is_written_for_an_account_without_privileges(mysql_database: MysqlDatabase) -> None:
    server = mysql_database.server
    create_account(server, "newcomer")
    text = describe(server.url(mysql_database.name, "newcomer", "secret-word"))
    assert yaml.safe_load(text)["sources"][mysql_database.name]["tables"] == [f"{mysql_database.name}.*"]


def test_starter_connects_its_sinks_to_the_source(mysql9_database: MysqlDatabase) -> None:
    config = yaml.safe_load(describe(mysql9_database.url))
    assert {name: sink["from"] for name, sink in config["sinks"].items()} == {
        "warehouse": [mysql9_database.name],
        "lake": [mysql9_database.name],
    }


def test_starter_of_mysql_refuses_a_broken_url() -> None:
    with pytest.raises(ConfigError) as caught:
        describe("mysql//cdc:hidden@db/shop")
    assert "hidden" not in str(caught.value)


def test_starter_of_mysql_passes_on_why_it_can_not_connect(mysql9_database: MysqlDatabase) -> None:
    with pytest.raises((SourceRefused, SourceUnavailable), match="Unknown database 'nowhere'"):
        describe(mysql9_database.server.url("nowhere"))
