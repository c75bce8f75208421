"""MEMORY tables are empty after a start of their server, which logs that when it first opens them."""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import MysqlFactory


@pytest.mark.halved(other=True)
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_a_memory_table_is_emptied_as_its_server_starts_again(
    mysql_server_factory: MysqlFactory, follow: FollowerFactory, name: str
) -> None:
    server = mysql_server_factory(None, name)
    database = server.create_database()
    database.execute(
        "create table m (id int primary key) engine=memory", "create table t (id int primary key)"
    )
    follower = follow(database)
    database.execute("insert into m values (1), (2)")
    assert follower.ops() == ["c", "c"]
    server.stop()
    server.start()
    database.execute("insert into m values (3)", "insert into t values (1)")
    follower.restart()
    assert [row["_cdc_op"] for row in follower.rows(f"{database.name}.m")] == ["t", "c"]
    database.execute("set session binlog_format = statement", "delete from m")
    assert follower.ops(f"{database.name}.m") == ["t"]
