"""What the stream says of rows: order, values, old images, and what it leaves out."""

from __future__ import annotations

import pytest

from cdc_source_postgres.limits import Limits
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.postgres.server import Database

# Too long for one page, and not compressible to less: it is stored out of line.
LONG = "(select string_agg(md5(g::text), '') from generate_series(1, 400) g)"


def test_transactions_come_in_commit_order_not_in_order_of_their_changes(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    with database.connect(autocommit=False) as early, database.connect(autocommit=False) as late:
        early.execute("insert into t values (1)")
        late.execute("insert into t values (2)")
        early.execute("insert into t values (3)")
        late.commit()
        early.commit()
    assert [row["id"] for row in follower.rows()] == [2, 1, 3]


def test_rows_of_several_tables_keep_their_order_within_a_transaction(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table a (id int primary key)", "create table b (id int primary key)")
    follower = follow(database)
    with database.connect(autocommit=False) as connection:
        for number in range(3):
            connection.execute("insert into a values (%s)", [number])
            connection.execute("insert into b values (%s)", [number])
    rows = follower.rows()
    assert [row["table"] for row in rows] == ["public.a", "public.b"] * 3
    assert len({row["_cdc_tx"] for row in rows}) == 1
    assert len({row["_cdc_position"] for row in rows}) == 1


def test_a_rolled_back_savepoint_leaves_no_trace(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    with database.connect(autocommit=False) as connection:
        connection.execute("insert into t values (1)")
        connection.execute("savepoint s")
        connection.execute("insert into t values (2)")
        connection.execute("rollback to s")
        connection.execute("insert into t values (3)")
    assert [row["id"] for row in follower.rows()] == [1, 3]


def test_a_prepared_transaction_comes_when_it_is_committed(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key)")
    follower = follow(database)
    with database.connect() as connection:
        for number in (1, 2):
            connection.execute("begin")
            connection.execute("insert into t values (%s)", [number])
            connection.execute(f"prepare transaction '{database.name}_{number}'".encode())
        assert follower.rows() == []
        connection.execute(f"rollback prepared '{database.name}_1'".encode())
        connection.execute(f"commit prepared '{database.name}_2'".encode())
    assert [row["id"] for row in follower.rows()] == [2]


def test_a_toasted_value_that_an_update_leaves_alone_is_named_unchanged(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int primary key, n int, long text)", f"insert into t values (1, 1, {LONG})"
    )
    follower = follow(database)
    database.execute("update t set n = 2")
    (row,) = follower.rows()
    assert (row["n"], row["long"], row["_cdc_unchanged"]) == (2, None, ["long"])


def test_under_full_identity_a_toasted_value_is_filled_from_the_old_image(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int primary key, n int, long text)",
        f"insert into t values (1, 1, {LONG})",
        "alter table t replica identity full",
    )
    follower = follow(database)
    database.execute("update t set n = 2")
    (row,) = follower.rows()
    assert row["n"] == 2
    assert row["long"] == row["_cdc_before"]["long"] == database.value("select long from t")
    assert not row.get("_cdc_unchanged")


def test_a_changed_key_comes_with_the_old_one(database: Database, follow: FollowerFactory) -> None:
    database.execute("create table t (id int primary key, n int)", "insert into t values (1, 7)")
    follower = follow(database)
    database.execute("update t set id = 2", "update t set n = 8")
    moved, changed = follower.rows()
    assert (moved["id"], moved["_cdc_before"]["id"]) == (2, 1)
    assert (changed["n"], changed.get("_cdc_before")) == (8, None)


@pytest.mark.parametrize(
    ("identity", "key", "kept"),
    [
        ("default", ("id",), {"id"}),
        ("using index other", ("b",), {"b"}),
        ("full", ("id",), {"id", "a", "b"}),
    ],
)
def test_a_delete_holds_what_the_replica_identity_sends(
    database: Database, follow: FollowerFactory, identity: str, key: tuple[str, ...], kept: set[str]
) -> None:
    database.execute(
        "create table t (id int primary key, a int, b int not null)",
        "create unique index other on t (b)",
        f"alter table t replica identity {identity}",
        "insert into t values (1, 2, 3)",
    )
    follower = follow(database)
    database.execute("delete from t")
    (row,) = follower.rows()
    assert follower.schema("public.t").key == key
    assert {name for name in ("id", "a", "b") if row[name] is not None} == kept
    assert set(row.get("_cdc_unchanged") or ()) == {"id", "a", "b"} - kept


def test_a_truncate_names_every_table_that_it_empties(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table parent (id int primary key)",
        "create table child (id int primary key references parent)",
        "create table other (id int primary key)",
    )
    follower = follow(database)
    database.execute(
        "insert into parent values (1)", "truncate parent, other cascade", "insert into other values (1)"
    )
    rows = follower.rows()
    assert [row["_cdc_op"] for row in rows] == ["c", "t", "t", "t", "c"]
    assert {row["table"] for row in rows[1:4]} == {"public.parent", "public.child", "public.other"}
    assert len({row["_cdc_tx"] for row in rows[1:4]}) == 1


def test_a_transaction_larger_than_the_limit_comes_in_parts_and_ends_with_its_position(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute("create table t (id int primary key, note text)")
    follower = follow(database, limits=Limits(set_bytes=50_000, part_bytes=100_000))
    database.execute("insert into t select g, repeat('x', 100) from generate_series(1, 10000) g")
    follower.catch_up()
    parts = [changes for changes in follower.sets if changes.row_count]
    assert len(parts) > 5
    assert [changes.position is None for changes in parts] == [True] * (len(parts) - 1) + [False]
    assert [row["id"] for row in follower.taken()] == list(range(1, 10001))


def test_tables_that_the_config_does_not_select_are_left_out(
    database: Database, follow: FollowerFactory
) -> None:
    database.execute(
        "create table t (id int primary key)",
        "create table audit (id int primary key)",
        f'create publication "{database.name}" for all tables',
    )
    follower = follow(database, tables=("public.*", "!public.audit"), publication=database.name)
    database.execute(
        "insert into audit select generate_series(1, 100)", "insert into t values (1)", "truncate audit"
    )
    assert [row["table"] for row in follower.rows()] == ["public.t"]


def test_names_with_quotes_dots_and_capitals_are_kept(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        'create schema "Od.d"',
        'create table "Od.d"."we""ird \\ ta.ble" ("Ke""y" int primary key, "Größe %s" text,'
        ' "a" int, "A" int)',
        """insert into "Od.d"."we""ird \\ ta.ble" values (1, 'x', 1, 2)""",
    )
    follower = follow(database, tables=('"Od.d".*',), publication='pub "x" Ä')
    _, (copied,) = follower.copy()
    database.execute("""update "Od.d"."we""ird \\ ta.ble" set "Größe %s" = 'y'""")
    (changed,) = follower.rows()
    assert copied["table"] == changed["table"] == '"Od.d"."we""ird \\ ta.ble"'
    assert [copied[name] for name in ('Ke"y', "Größe %s", "a", "A")] == [1, "x", 1, 2]
    assert changed["Größe %s"] == "y"


def test_a_table_without_columns_is_copied_and_followed(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create table t ()", "alter table t replica identity full", "insert into t default values"
    )
    follower = follow(database)
    _, copied = follower.copy()
    database.execute("insert into t default values")
    assert len(copied) == 1
    assert follower.ops() == ["c"]


def test_types_of_the_user_arrive_as_text(database: Database, follow: FollowerFactory) -> None:
    database.execute(
        "create type mood as enum ('sad', 'ok')",
        "create domain positive as int check (value > 0)",
        "create type pair as (a int, b text)",
        "create table t (id int primary key, m mood, ms mood[], p positive, c pair)",
    )
    follower = follow(database)
    database.execute(
        """insert into t values (1, 'ok', '{sad,ok}', 7, (1, 'x'))""",
        "alter type mood add value 'glad'",
        """insert into t values (2, 'glad', null, null, null)""",
    )
    first, second = follower.rows()
    assert (first["m"], first["ms"], first["p"], first["c"]) == ("ok", ["sad", "ok"], 7, "(1,x)")
    assert second["m"] == "glad"
