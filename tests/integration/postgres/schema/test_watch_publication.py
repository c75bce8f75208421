"""A publication that sent less for a while, or sends more now, and tables that were unlogged: learned from
looks at the catalog (`ddl: watch`) or reported by event triggers, copied again, equal in mirror and lake.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.support.postgres.server import Database
from tests.support.postgres.silent_ddl import Watched

GENERATED_SINCE = 180000
EVERYTHING = "publish = 'insert, update, delete, truncate'"
# What differs from the others only by how the publication lists its tables.
RUNNING_IS_SLOW = pytest.mark.parametrize(
    "running", [pytest.param(True, marks=pytest.mark.slow), False], ids=["running", "stopped"]
)
# Event triggers leave publications to a look that they ask for: one way with them is enough for every run.
WAYS = pytest.mark.parametrize(
    ("ddl", "running"),
    [
        pytest.param("watch", True, id="watch-running"),
        pytest.param("watch", False, id="watch-stopped"),
        pytest.param("trigger", True, id="trigger-running", marks=pytest.mark.slow),
        pytest.param("trigger", False, id="trigger-stopped"),
    ],
)
TABLES = ("a", "b", "g", "root")
EVERY = [f"app.{table}" for table in TABLES]
SETUP = (
    "create schema app",
    "create table app.a (id int primary key, v text)",
    "create table app.b (id int primary key, v text)",
    "create table app.g (id int primary key, v text, twice int generated always as (id * 2) stored)",
    "create table app.root (id int primary key, v text) partition by range (id)",
    "create table app.root_1 partition of app.root for values from (0) to (10)",
    "create table app.root_2 partition of app.root for values from (10) to (20)",
    *(f"insert into app.{t} (id, v) select i, 'a' from generate_series(1, 12) i" for t in TABLES),
)
LATER = (
    *(f"update app.{table} set v = 'later' where id = 2" for table in TABLES),
    *(f"delete from app.{table} where id = 3" for table in TABLES),
)


def mirror_tables(watched: Watched) -> list[str]:
    query = "select table_name from duckdb_tables() where schema_name = 'app'"
    with duckdb.connect(str(watched.pipeline.mirror), read_only=True) as connection:
        return sorted(name for (name,) in connection.execute(query).fetchall())


def without(table: str, edit: str, back: str) -> list[str]:
    """An edit of the publication, changes of a table that are not sent, and the edit reverted."""
    return [
        f"alter publication cdc_shop {edit}",
        f"update app.{table} set v = 'unsent' where id > 4",
        f"delete from app.{table} where id = 1",
        f"insert into app.{table} (id, v) values (15, 'unsent')",
        f"alter publication cdc_shop {back}",
    ]


def unlogged(table: str, changed: str, value: str) -> list[str]:
    return [
        f"alter table app.{table} set unlogged",
        f"update app.{changed} set v = {value} where id > 4 and id < 10",
        f"delete from app.{changed} where id = 1",
        f"alter table app.{table} set logged",
    ]


@pytest.mark.halved
@WAYS
def test_a_publication_that_sent_less_for_a_while_has_its_tables_copied_again(
    database: Database, tmp_path: Path, ddl: str, running: bool
) -> None:
    database.execute(*SETUP)
    watched = Watched(database, tmp_path, ddl=ddl)
    via_root = "set (publish_via_partition_root = {})"
    statements = [
        *without("a", "set (publish = 'insert')", f"set ({EVERYTHING})"),
        *without("root", via_root.format("false"), via_root.format("true")),
    ]
    sends_generated = database.server.version_num >= GENERATED_SINCE
    if sends_generated:
        statements.append("alter publication cdc_shop set (publish_generated_columns = stored)")
    watched.migrate(statements, expected=EVERY, later=LATER, running=running)
    assert sorted(watched.copied) == EVERY
    watched.assert_equal(sends_generated=sends_generated)
    assert mirror_tables(watched) == sorted(TABLES)


@pytest.mark.halved
def test_only_the_tables_that_a_publication_left_out_for_a_while_are_copied_again(
    database: Database, tmp_path: Path
) -> None:
    database.execute(*SETUP)
    watched = Watched(database, tmp_path)
    others = "app.a, app.g, app.root"
    statements = [
        *without("a", "drop table app.a", "add table app.a"),
        *without("b", f"set table {others}, app.b where (id > 1000)", f"set table {others}, app.b"),
    ]
    watched.migrate(statements, expected=["app.a", "app.b"], later=LATER, running=False)
    assert sorted(watched.copied) == ["app.a", "app.b"]
    watched.assert_equal()


@pytest.mark.halved
@RUNNING_IS_SLOW
def test_a_schema_out_of_the_publication_for_a_while_has_its_tables_copied_again(
    database: Database, tmp_path: Path, running: bool
) -> None:
    database.execute(*SETUP)
    database.execute(
        "create publication cdc_shop for tables in schema app with (publish_via_partition_root = true)"
    )
    watched = Watched(database, tmp_path)
    edits = ("drop tables in schema app", "add tables in schema app")
    statements = [*without("a", *edits), *without("root", *edits)]
    watched.migrate(statements, expected=EVERY, later=LATER, running=running)
    watched.assert_equal()


@pytest.mark.halved
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_a_table_that_was_in_another_schema_within_one_transaction_is_copied_again(
    database: Database, tmp_path: Path, ddl: str
) -> None:
    database.execute(*SETUP)
    database.execute(
        "create publication cdc_shop for tables in schema app with (publish_via_partition_root = true)"
    )
    watched = Watched(database, tmp_path, ["app.*", "public.*"], ddl=ddl)
    # At no look do table or publication look any different.
    statements = [
        "begin; alter table app.b set schema public",
        "update public.b set v = 'unsent' where id > 4; delete from public.b where id = 1",
        "alter table public.b set schema app; commit",
        "alter table app.a alter v set statistics 10",
    ]
    watched.migrate(statements, expected=["app.b"], later=LATER, running=False)
    assert sorted(watched.copied) == ["app.b"]
    watched.assert_equal()


@pytest.mark.halved(other=True)
@RUNNING_IS_SLOW
@pytest.mark.parametrize("ddl", ["watch", pytest.param("trigger", marks=pytest.mark.slow)])
def test_tables_that_were_unlogged_for_a_while_are_copied_again(
    database: Database, tmp_path: Path, ddl: str, running: bool
) -> None:
    database.execute(*SETUP)
    database.execute(
        "create publication cdc_shop for all tables with (publish_via_partition_root = true)",
        "create table app.small (id int primary key, v int)",
        "insert into app.small select i, i from generate_series(1, 9) i",
    )
    watched = Watched(database, tmp_path, ddl=ddl)
    statements = [
        *unlogged("a", "a", "'unlogged'"),
        *unlogged("small", "small", "0"),
        *unlogged("root_1", "root", "'unlogged'"),
        # Of this the stream tells: the TOAST table stays.
        "truncate app.b",
        "insert into app.b values (2, 'again')",
    ]
    expected = ["app.a", "app.root", "app.small"]
    watched.migrate(statements, expected=expected, later=LATER, running=running)
    assert sorted(watched.copied) == expected
    watched.assert_equal()
