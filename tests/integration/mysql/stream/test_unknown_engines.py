"""A rollback in the binlog keeps the rows of engines without transactions, also where no statement names the
engine.
"""

from __future__ import annotations

import pytest

from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import NO_ENGINE_SUBSTITUTION
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlDatabase

# Leaves a ROLLBACK in MariaDB's binlog.
ROLLED_BACK = (
    "begin", "create temporary table x (a int) engine = innodb", "insert into t values (1)",
    "insert into m values (2)", "rollback",
)  # fmt: skip


def test_a_table_made_without_a_word_of_its_engine_is_copied_again_after_a_rollback(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory
) -> None:
    server = mysql_server_factory({"default-storage-engine": "MyISAM"}, "mariadb10")
    database = server.create_database()
    follower = follow(database)
    database.execute("create table m (id int primary key)", "create table t (id int primary key)")
    database.execute("alter table t engine = innodb")
    follower.rows()
    follower.stale.clear()
    database.execute(*ROLLED_BACK)
    assert [row["table"] for row in follower.rows()] == [f"{database.name}.m"]
    assert database.query("select id from m") == [(2,)]
    assert {request.table.name for request in follower.stale} == {"m"}


def test_a_table_of_the_default_engine_is_not_copied_after_a_rollback(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(mariadb10_database)
    mariadb10_database.execute("create table m (id int primary key)", "create table t (id int primary key)")
    follower.rows()
    follower.stale.clear()
    mariadb10_database.execute(*ROLLED_BACK)
    assert follower.rows() == []
    assert follower.stale == []


def test_an_engine_that_changes_later_is_not_taken_for_the_one_before(
    mariadb10_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    follower = follow(mariadb10_database)
    mariadb10_database.execute(
        "set default_storage_engine = myisam",
        "create table m (id int primary key)",
        "create table u (id int primary key)",
        "create table t (id int primary key) engine = innodb",
        *ROLLED_BACK,
        "alter table m engine = innodb",
        "alter table u engine = innodb, add column a int",
    )
    follower.catch_up()
    rolled_back = [r.table.name for r in follower.stale if "rolled back" in r.reason]
    assert sorted(rolled_back) == ["m", "u"]


@pytest.mark.parametrize("sql", ["create table t (a int) engine=rocksdb", "alter table t engine=rocksdb"])
def test_an_engine_that_the_server_may_replace_is_not_sure(sql: str) -> None:
    sure = repr(classify(sql, "db", NO_ENGINE_SUBSTITUTION))
    assert "engine='rocksdb'" in sure
    assert repr(classify(sql, "db", 0)) == sure.replace("engine='rocksdb'", "engine=''")
