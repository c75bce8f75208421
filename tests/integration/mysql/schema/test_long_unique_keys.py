"""MariaDB keeps long unique keys by a hash in a hidden column, which events have and the catalog hides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_MARIADB
from tests.support.mysql.server import MysqlDatabase

SHAPES = {
    "a_text": "id int primary key, t text, unique(t)",
    "long_text": "id int primary key, t varchar(4000), unique(t)",
    "two": "id int primary key, t text, b blob, unique(t), unique(b, t)",
    "no_key": "id int, t text not null, unique(t)",
    "by_hash": "id int primary key, t varchar(30), unique(t) using hash",
    "name_taken": "id int primary key, t text, DB_ROW_HASH_1 bigint, unique(t)",
    "versioned": "id int primary key, t text, unique(t)) with system versioning",
}
CHANGES = (
    "insert into {t} (id, t) values (1, 'a'), (2, 'b')",
    "update {t} set t = 'c' where id = 1",
    "delete from {t} where id = 2",
)


@pytest.fixture(params=["full", "no_log"])
def database(request: pytest.FixtureRequest, mysql_database: MysqlDatabase) -> Iterator[MysqlDatabase]:
    mysql_database.server.execute(f"set global binlog_row_metadata = {request.param}")
    yield mysql_database
    mysql_database.server.execute("set global binlog_row_metadata = full")


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["_cdc_op"], row["id"], row["t"]) for row in rows if row["_cdc_op"] != "d"]


@EVERY_MARIADB
def test_long_unique_keys_are_followed_without_their_hidden_columns(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    database.execute(*[create(name, shape) for name, shape in SHAPES.items()])
    follower = follow(database)
    for name in SHAPES:
        database.execute(*[change.format(t=name) for change in CHANGES])
    rows = follower.rows()
    for name in SHAPES:
        found = [row for row in rows if row["table"] == f"{database.name}.{name}"]
        assert told(found) == [("c", 1, "a"), ("c", 2, "b"), ("u", 1, "c")], name
        assert sum(row["_cdc_op"] == "d" for row in found) == 1
        assert not any(key.startswith("DB_ROW_HASH") for row in found for key in row if name != "name_taken")
    assert follower.stale == []
    _, copied = follower.copy()
    assert sorted(row["table"] for row in copied) == sorted(f"{database.name}.{name}" for name in SHAPES)


@EVERY_MARIADB
def test_a_long_unique_key_that_comes_and_goes_stops_nothing(
    database: MysqlDatabase, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, t text)", "insert into t values (1, 'z')")
    follower = follow(database)
    database.execute("alter table t add unique u (t)", "update t set t = 'y'")
    assert told(follower.rows()) == [("u", 1, "y")]
    database.execute("alter table t add n int default 5", "update t set t = 'x'")
    assert [(row["t"], row["n"]) for row in follower.rows()] == [("x", 5)]
    database.execute("alter table t drop index u", "update t set t = 'w', n = 6")
    assert [(row["t"], row["n"]) for row in follower.rows()] == [("w", 6)]


def create(name: str, shape: str) -> str:
    columns, _, options = shape.partition(") with")
    return f"create table {name} ({columns}){f' with{options}' if options else ''}"
