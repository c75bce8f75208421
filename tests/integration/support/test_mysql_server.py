"""The MySQL and MariaDB servers that the other tests run on do what those tests rely on."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pymysql
import pytest

from tests.support.mysql.binaries import mysql_binaries
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until


def test_server_is_set_for_row_replication(mysql: MysqlServer) -> None:
    names = ("log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata")
    found = [str(mysql.value(f"select @@global.{name}")) for name in names]
    assert found == ["1", "ROW", "FULL", "FULL"]
    assert mysql.name[-1] in mysql.value("select version()")


def test_commits_survive_a_kill(mysql_database: MysqlDatabase) -> None:
    server = mysql_database.server
    mysql_database.execute("create table t (i int primary key)", "insert into t values (1)")
    before = server.executed()
    server.kill9()
    assert not server.is_running
    server.start()
    assert mysql_database.query("select * from t") == [(1,)]
    assert server.executed() == before


def test_a_server_that_died_by_itself_is_started_again_in_its_folder(mysql_database: MysqlDatabase) -> None:
    server = mysql_database.server
    mysql_database.execute("create table t (i int primary key)", "insert into t values (1)")
    psutil.Process(server.pid).kill()
    wait_until(lambda: not server.is_running, "the server to be dead")
    server.start()
    gc.collect()  # What watched over the dead process must not clean up after it any more.
    mysql_database.execute("insert into t values (2)", "create table u (i int primary key)")
    assert (server.folder / "my.cnf").exists()
    assert len(mysql_database.query("select * from t")) == 2


def test_servers_have_temporary_files_of_their_own(mysql: MysqlServer) -> None:
    """A MariaDB that starts removes all files that look like temporary tables from where it makes its own."""
    assert Path(str(mysql.value("select @@tmpdir"))).parent == mysql.folder


def test_database_drops_with_its_sessions_and_prepared_transactions(mysql: MysqlServer) -> None:
    database = mysql.create_database()
    with database.connect() as session, session.cursor() as cursor:
        cursor.execute("create table t (i int primary key)")
        cursor.execute("begin")
        cursor.execute("select * from t")
        database.execute("xa start 'left'", "insert into t values (1)", "xa end 'left'", "xa prepare 'left'")
        database.drop()
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute("select 1")
    assert mysql.query("show databases like %s", [database.name]) == []
    assert mysql.query("xa recover") == []


def test_server_with_settings_of_its_own_is_another_one(
    mysql9: MysqlServer, mysql_server_factory: MysqlFactory
) -> None:
    server = mysql_server_factory({"gtid-mode": "OFF", "enforce-gtid-consistency": "OFF"})
    assert server.value("select @@gtid_mode") == "OFF"
    assert server.value("select @@server_uuid") != mysql9.value("select @@server_uuid")
    assert server.value("select @@server_id") != mysql9.value("select @@server_id")


def test_missing_server_names_the_command_that_installs_it() -> None:
    with pytest.raises(RuntimeError, match=r"mysql1 is not installed; `make setup`"):
        mysql_binaries("mysql1")
