"""Savepoints inside of XA transactions, whose rows are read again at XA COMMIT."""

from __future__ import annotations

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.branches import prepare
from tests.support.mysql.server import MysqlDatabase

# With it MariaDB writes rows into the binlog that a savepoint undoes; MySQL forbids it there.
KEEPS_ROWS = "create temporary table x (a int)"


def rows_of_binlog(database: MysqlDatabase) -> int:
    """How many events with rows are in the newest file."""
    file, _ = database.server.position()
    events = database.server.query(f"show binlog events in '{file}'")
    return sum(event[2].lower().startswith("write_rows") for event in events)


@pytest.mark.every_server
def test_rows_that_a_savepoint_takes_back_do_not_come_at_xa_commit(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    is_mariadb = mysql_database.server.flavour == "mariadb"
    mysql_database.server.execute("flush binary logs")
    # The lock of a row ends at the next one, so that others can write behind it.
    mysql_database.execute("create table t (id int primary key)", "insert into t values (5)")
    follower = follow(mysql_database)
    xid = f"'{mysql_database.name}'"
    prepare(
        mysql_database, xid,
        "insert into t values (1)", *([KEEPS_ROWS] if is_mariadb else []), "savepoint s",
        "insert into t values (2)", "savepoint u", "insert into t values (3)", "rollback to s",
        "insert into t values (4)", "release savepoint s",
    )  # fmt: skip
    assert rows_of_binlog(mysql_database) == (5 if is_mariadb else 3)
    mysql_database.execute("insert into t values (9)")
    assert [row["id"] for row in follower.rows()] == [9]
    follower.restart()
    mysql_database.execute(f"xa commit {xid}", "insert into t values (10)")
    assert [row["id"] for row in follower.rows()] == [1, 4, 10]
    assert mysql_database.query("select id from t order by id") == [(1,), (4,), (5,), (9,), (10,)]
