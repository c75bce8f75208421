"""Generated columns: delivered where the server's binlog has them, no part of the table on MariaDB 11, whose
updates leave them out.
"""

from __future__ import annotations

import pytest

from cdc.model import TableId
from cdc_source_mysql.schema import type_plan
from tests.integration.mysql.conftest import FollowerFactory
from tests.support.mysql.fixtures import EVERY_SERVER, MysqlFactory
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase

NEWEST = pytest.mark.parametrize("mysql", ["mariadb11"], indirect=True)
KEYS = pytest.mark.parametrize("key", [" primary key", ""], ids=["keyed", "keyless"])
COLUMNS = (
    "v int generated always as (n * 2) virtual, n int, s int generated always as (n + 1) stored, note text"
)
WARNING = "generated columns are not copied: the updates in the binary log omit them"


def _columns(follower: MysqlFollower, table: str) -> list[str]:
    return [column.name for column in follower.schema(table).columns]


def _told(follower: MysqlFollower) -> list[str]:
    return [fields["columns"] for event, fields in follower.events if event == WARNING]


@EVERY_SERVER
@KEYS
def test_generated_columns_are_in_copy_and_stream_or_in_neither(
    mysql_database: MysqlDatabase, follow: FollowerFactory, key: str
) -> None:
    is_sent = mysql_database.server.name != "mariadb11"
    table = f"{mysql_database.name}.t"
    mysql_database.execute(f"create table t (id int{key}, {COLUMNS})", "insert into t (id, n) values (1, 1)")
    follower = follow(mysql_database)
    names = ["id", "v", "n", "s", "note"] if is_sent else ["id", "n", "note"]
    assert _columns(follower, table) == names
    mysql_database.execute(
        "insert into t (id, n, note) values (2, 5, 'a'), (3, null, null)",
        "update t set n = 7, note = 'b' where id = 2",
        "update t set id = 9 where id = 2",
        "delete from t where id = 3",
    )
    _, copied = follower.copy()
    follower.catch_up()
    streamed = [batch for change in follower.sets for batch in change.batches]
    assert all([c.name for c in batch.schema.columns] == names for batch in streamed)
    rows = follower.taken()
    assert [row["_cdc_op"] for row in rows] == ["c", "c", "u", "u", "d"]

    def shown(id_: int, n: int | None, note: str | None) -> dict[str, object]:
        twice, more = (None, None) if n is None else (n * 2, n + 1)
        whole = {"id": id_, "v": twice, "n": n, "s": more, "note": note}
        return {name: whole[name] for name in names}

    images = [{name: row[name] for name in row if name in {"id", "v", "n", "s", "note"}} for row in rows]
    assert images == [
        shown(2, 5, "a"),
        shown(3, None, None),
        shown(2, 7, "b"),
        shown(9, 7, "b"),
        shown(3, None, None),
    ]
    assert [row.get("_cdc_before") for row in rows] == [None, None, shown(2, 5, "a"), shown(2, 7, "b"), None]
    assert not any(row.get("_cdc_unchanged") for row in rows)
    now = [{name: row[name] for name in names} for row in sorted(copied, key=lambda row: row["id"])]
    assert now == [shown(1, 1, None), shown(9, 7, "b")]
    assert _told(follower) == ([] if is_sent else ["v, s"])


@NEWEST
def test_generated_columns_that_come_and_go_leave_the_schema_as_it_is(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute("create table t (id int primary key, n int)", "insert into t values (1, 1)")
    follower = follow(mysql_database)
    mysql_database.execute(
        "alter table t add v int generated always as (n * 2) virtual after id",
        "update t set n = 2",
        "insert into t (id, n) values (2, 2)",
        "alter table t drop v",
        "update t set n = 3",
    )
    follower.catch_up()
    streamed = [batch for change in follower.sets for batch in change.batches]
    assert all([c.name for c in batch.schema.columns] == ["id", "n"] for batch in streamed)
    rows = follower.taken()
    assert [(row["_cdc_op"], row["id"], row["n"]) for row in rows] == [
        ("u", 1, 2),
        ("c", 2, 2),
        ("u", 1, 3),
        ("u", 2, 3),
    ]


@NEWEST
def test_a_column_that_becomes_generated_leaves_and_comes_back_with_a_copy(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    table = TableId(mysql_database.name, "t")
    mysql_database.execute(
        "create table t (id int primary key, n int, v int)", "insert into t values (1, 1, 2)"
    )
    follower = follow(mysql_database)
    mysql_database.execute(
        "alter table t modify v int generated always as (n * 3) stored", "update t set n = 2"
    )
    (row,) = follower.rows()
    assert "v" not in row
    assert [stale.table for stale in follower.stale] == [table]
    mysql_database.execute("alter table t modify v int", "update t set n = 5")
    (row,) = follower.rows()
    assert (row["n"], row["v"]) == (5, 6)
    assert [stale.table for stale in follower.stale] == [table, table]


@NEWEST
def test_truncates_and_minimal_images_of_such_tables_come_through(
    mysql_database: MysqlDatabase, follow: FollowerFactory
) -> None:
    mysql_database.execute(f"create table t (id int primary key, {COLUMNS})")
    follower = follow(mysql_database)
    mysql_database.execute(
        "set binlog_row_image = minimal",
        "insert into t (id, n) values (1, 1)",
        "update t set n = 2",
        "delete from t",
        "truncate t",
    )
    rows = follower.rows()
    assert [row["_cdc_op"] for row in rows] == ["c", "u", "d", "t"]
    assert [row.get("_cdc_unchanged") for row in rows] == [None, ["note"], ["n", "note"], None]


@pytest.mark.parametrize("name", ["mariadb10", "mariadb11"])
def test_a_table_that_only_events_tell_of_is_looked_up_for_generated_columns(
    mysql_server_factory: MysqlFactory, make_follower: FollowerFactory, name: str
) -> None:
    """Events with full metadata tell everything but that."""
    server = mysql_server_factory({"binlog-row-metadata": "FULL"}, name)
    database = server.create_database()
    database.execute("create table other (id int primary key)")
    database.execute(f"create table t (id int primary key, {COLUMNS})", "insert into t (id, n) values (1, 1)")
    follower = make_follower(database, tables=(f"{database.name}.other",)).open()
    follower.given["tables"] = (f"{database.name}.*",)
    follower.restart()
    database.execute("update t set n = 2")
    (row,) = follower.rows()
    assert row["n"] == 2
    assert row.get("v") == (4 if name == "mariadb10" else None)
    assert ("v" in row) == (name == "mariadb10")
    assert not row.get("_cdc_unchanged")


@pytest.mark.parametrize("mysql", ["mariadb10"], indirect=True)
def test_a_server_that_is_upgraded_loses_the_columns_and_one_that_goes_back_copies_again(
    mysql_database: MysqlDatabase, follow: FollowerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = f"{mysql_database.name}.t"
    mysql_database.execute(f"create table t (id int primary key, {COLUMNS})")
    follower = follow(mysql_database)
    mysql_database.execute("insert into t (id, n) values (1, 1)")
    (row,) = follower.rows()
    assert (row["v"], row["s"]) == (2, 2)
    with monkeypatch.context() as upgraded:
        upgraded.setattr(type_plan, "WITHOUT_GENERATED_SINCE", (10,))
        mysql_database.execute("update t set n = 2")
        follower.restart()
        assert _columns(follower, table) == ["id", "n", "note"]
        (row,) = follower.rows()
        assert "v" not in row
        assert row["_cdc_before"] == {"id": 1, "n": 1, "note": None}
        assert follower.stale == []
    follower.restart()
    mysql_database.execute("update t set n = 3")
    (row,) = follower.rows()
    assert (row["v"], row["s"]) == (6, 4)
    assert [str(stale.table) for stale in follower.stale] == [table]
    follower.restart()
    mysql_database.execute("update t set n = 4")
    assert len(follower.rows()) == 1
    assert len(follower.stale) == 1
