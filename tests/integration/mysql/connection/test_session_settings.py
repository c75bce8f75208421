"""No global setting of a server reaches what our sessions read."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from pymysql.err import MySQLError

from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.connection import (
    CHARACTER_VARIABLES,
    OPTIONAL_SETTINGS,
    PATIENCE_VARIABLES,
    SETTINGS,
    TRANSACTION_VARIABLES,
    Connector,
)
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.starter import describe
from tests.support.mysql.fixtures import EVERY_SERVER, MysqlFactory
from tests.support.mysql.server import MysqlServer
from tests.support.mysql.session_variables import HARMLESS
from tests.support.mysql.snapshots import SnapshotBench, rows_of

OURS = {
    *SETTINGS,
    *PATIENCE_VARIABLES,
    *OPTIONAL_SETTINGS,
    *TRANSACTION_VARIABLES,
    *CHARACTER_VARIABLES,
}
_LISTED = {
    "mysql": "select variable_name from performance_schema.variables_info",
    "mariadb": "select variable_name from information_schema.system_variables"
    " where variable_scope in ('SESSION', 'SESSION ONLY')",
}
# What an administrator may set for all sessions, each far from what we need.
GLOBALS = {
    "sql_select_limit": "1",
    "max_join_size": "1",
    "sql_safe_updates": "1",
    "sql_auto_is_null": "1",
    "sql_buffer_result": "1",
    "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'",
    "time_zone": "'+05:00'",
    "autocommit": "0",
    "completion_type": "'RELEASE'",
    "group_concat_max_len": "4",
    "div_precision_increment": "0",
    "default_week_format": "3",
    "lc_time_names": "'de_DE'",
    "lc_messages": "'de_DE'",
    "max_sort_length": "64",
    "sql_quote_show_create": "0",
    "lock_wait_timeout": "1",
    "innodb_lock_wait_timeout": "1",
    "net_write_timeout": "1",
    "net_read_timeout": "1",
    "wait_timeout": "1",
    "max_execution_time": "20000",
    "max_statement_time": "20",
    "idle_transaction_timeout": "1",
    "idle_readonly_transaction_timeout": "1",
    "idle_write_transaction_timeout": "1",
    "system_versioning_asof": "'2001-01-01 00:00:00'",
    "old_mode": "'ZERO_DATE_TIME_CAST'",
    "default_regex_flags": "'EXTENDED'",
    "character_set_collations": "'utf8mb4=utf8mb4_bin'",
    "wsrep_dirty_reads": "1",
    "show_gipk_in_create_table_and_information_schema": "0",
    "character_set_client": "latin1",
    "character_set_connection": "latin1",
    "character_set_results": "latin1",
    "collation_connection": "latin1_german1_ci",
    "init_connect": "'set sql_select_limit = 2, time_zone = ''-03:00'''",
}
GLOBAL_ONLY = 1238
# Of a component, as `mysqlx`.
UNKNOWN_VARIABLE = 1193
ACCOUNT = "cdc"


def spoil(server: MysqlServer) -> None:
    """Set every global of GLOBALS that the server has."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("show global variables")
        present = {str(name).lower() for name, _ in cursor.fetchall()}
        for name, value in GLOBALS.items():
            if name in present:
                cursor.execute(f"set global {name} = {value}")
        cursor.execute("set global transaction isolation level serializable, read only")


def session_values(server: MysqlServer) -> dict[str, Any]:
    """The variables of a connection as the source makes it, by name, as the server tells them."""
    connector = Connector(MysqlOptions.model_validate({"url": server.url(user=ACCOUNT)}), "shop")
    with closing(connector.connect("to look")) as connection, connection.cursor() as cursor:
        cursor.execute("show session variables")
        return {str(name).lower(): value for name, value in cursor.fetchall()}


def names_of_a_session(server: MysqlServer) -> set[str]:
    """Every variable that a session has a value of its own of, by the server's list of variables."""
    names = {str(name).lower() for (name,) in server.query(_LISTED[server.flavour])}
    if server.flavour == "mariadb":
        return names
    with server.connect() as connection, connection.cursor() as cursor:
        return {name for name in names if _has_session_value(cursor, name)}


def _has_session_value(cursor: Any, name: str) -> bool:
    try:
        cursor.execute(f"select @@session.{name}")
    except MySQLError as error:
        if error.args[0] not in (GLOBAL_ONLY, UNKNOWN_VARIABLE):
            raise
        return False
    return True


@pytest.fixture
def server(mysql: MysqlServer, mysql_server_factory: MysqlFactory) -> MysqlServer:
    """A server of its own, with an account that may only follow it."""
    server = mysql_server_factory({}, mysql.name)
    server.execute(
        f"create user {ACCOUNT}@'%'",
        f"grant select, lock tables, replication slave, replication client on *.* to {ACCOUNT}@'%'",
    )
    return server


@EVERY_SERVER
def test_every_session_variable_is_set_by_us_or_known_to_be_harmless(mysql: MysqlServer) -> None:
    assert not OURS & HARMLESS.keys()
    assert sorted(names_of_a_session(mysql) - OURS - HARMLESS.keys()) == []


def test_global_settings_change_neither_sessions_nor_check_nor_init_nor_copies(server: MysqlServer) -> None:
    database = server.create_database()
    database.execute(
        "create table t (id int primary key, c char(5), at timestamp(6) null, d date)",
        "create table keyless (v varchar(10))",
        "insert into t values (1, 'a', '2020-01-01 00:00:00', null), (2, 'b', null, '2020-02-02')",
        "insert into t select id + 2, c, at, d from t",
        "insert into keyless values ('a'), ('a'), ('b')",
    )
    url = server.url(database.name, user=ACCOUNT)
    options = MysqlOptions.model_validate({"url": url})
    bench = SnapshotBench(database, user=ACCOUNT)
    copies, before = copied(bench), session_values(server)
    findings, config = run_checks(options, "shop"), describe(url)
    spoil(server)
    after = session_values(server)
    assert before["sql_select_limit"] == "18446744073709551615"
    assert {name: after[name] for name in OURS & after.keys()} == {
        name: before[name] for name in OURS & before.keys()
    }
    assert len(copies[0]) == 4
    assert copied(bench) == copies
    assert run_checks(options, "shop") == findings
    assert describe(url) == config


def copied(bench: SnapshotBench) -> tuple[list[dict[str, Any]], ...]:
    with bench.opened() as snapshot:
        return rows_of(snapshot, "t"), rows_of(snapshot, "keyless")
