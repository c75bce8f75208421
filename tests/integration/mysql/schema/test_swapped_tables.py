"""Tables that take the name of a followed one, as online schema change tools have them, read much later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.server import MysqlDatabase

CREATE = "create table t (id int primary key, a int, twice int as (a * 2) stored)"
# gh-ost makes its table like the other, pt-online-schema-change by its whole definition.
TOOLS = {
    "gh-ost": ("create table _t_new like t", "alter table _t_new add column b binary(16)"),
    "pt-osc": (f"{CREATE.replace(' t ', ' _t_new ')}", "alter table _t_new add column b binary(16)"),
}


@pytest.fixture(params=["full", "default"])
def database(request: pytest.FixtureRequest, mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    """On a server whose TABLE_MAP events tell names, or as little as by default."""
    default = "minimal" if mysql_database.server.flavour == "mysql" else "no_log"
    wanted = "full" if request.param == "full" else default
    mysql_database.server.execute(f"set global binlog_row_metadata = {wanted}")
    yield mysql_database
    mysql_database.server.execute("set global binlog_row_metadata = full")


@pytest.mark.halved
@pytest.mark.parametrize("tool", TOOLS)
def test_a_swapped_in_table_that_is_altered_again_is_read_late(
    database: MysqlDatabase, follow: FollowerFactory, tool: str
) -> None:
    database.execute(CREATE)
    follower = follow(database, tables=(f"{database.name}.t",))
    database.execute(*TOOLS[tool], "insert into _t_new (id, a) values (1, 1)")
    follower.catch_up()
    follower.restart()
    database.execute(
        "rename table t to _t_old, _t_new to t",
        "insert into t (id, a, b) values (2, 2, 'x')",
        "drop table _t_old",
        "alter table t add column c int first",
        "insert into t (c, id, a) values (3, 3, 3)",
        "alter table t drop column a, drop column twice",
        "insert into t (c, id) values (4, 4)",
    )
    rows = follower.rows()
    assert [(row["id"], row.get("a"), row.get("c")) for row in rows] == [
        (2, 2, None),
        (3, 3, 3),
        (4, None, 4),
    ]
    assert rows[0]["b"] == b"x".ljust(16, b"\0")
    assert {stale.table.name for stale in follower.stale} == {"t"}


@pytest.mark.every_server
def test_a_table_that_is_swapped_back_is_known(database: MysqlDatabase, follow: FollowerFactory) -> None:
    database.execute(CREATE, "create table _t_new (id int primary key)")
    follower = follow(database, tables=(f"{database.name}.t",))
    database.execute(
        "rename table t to _t_old, _t_new to t",
        "rename table t to _t_new, _t_old to t",
        "insert into t (id, a) values (1, 1)",
        "alter table t add column c int",
    )
    assert [(row["id"], row["a"]) for row in follower.rows()] == [(1, 1)]
