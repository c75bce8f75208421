"""Tables that exist and are no longer followed by their own names: the status says why until they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres.server import Database
from tests.support.postgres.silent_ddl import Watched
from tests.support.processes import run_cdc

CREATE = (
    "create schema app",
    "create schema other",
    "create table app.parent (id int primary key, v text) partition by range (id)",
    "create table app.part partition of app.parent for values from (100) to (200)",
    "create table app.leaf (id int primary key, v text)",
    "insert into app.parent values (100, 'a')",
    "insert into app.leaf values (1, 'a'), (2, 'b')",
)
# By name: what happens, what undoes it, the table, its reason and remedy.
LOST = {
    "unlogged": (
        "alter table app.leaf set unlogged",
        "alter table app.leaf set logged",
        "app.leaf",
        "app.leaf is unlogged: Postgres sends no changes of it",
        'Run: alter table app.leaf set logged; or add to tables: "!app.leaf"',
    ),
    "renamed": (
        "alter table app.leaf set schema other",
        "alter table other.leaf set schema app",
        "app.leaf",
        "app.leaf was renamed to other.leaf, which `tables` does not select",
        'Add to tables: other.leaf, or to exclude the old name: "!app.leaf"',
    ),
    "sent another way": (
        "alter publication cdc_shop set (publish_via_partition_root = false)",
        "alter publication cdc_shop set (publish_via_partition_root = true)",
        "app.parent",
        "sends partitions in another way than when this log was started",
        "Run: alter publication cdc_shop set (publish_via_partition_root = true);",
    ),
}


@pytest.fixture
def watched(database18: Database, tmp_path: Path) -> Watched:
    database18.execute("create publication cdc_shop for all tables with (publish_via_partition_root = true)")
    database18.execute(*CREATE)
    pipeline = Watched(database18, tmp_path)
    pipeline.catch_up()
    return pipeline


@pytest.mark.parametrize("name", LOST)
def test_the_status_names_a_table_whose_changes_do_not_come_until_they_come_again(
    watched: Watched, name: str
) -> None:
    happens, undone, table, reason, remedy = LOST[name]
    watched.database.execute(happens)
    for _ in range(2):
        assert watched.pipeline.run_once().returncode == 1
        (refused,) = watched.pipeline.status()["sources"]["shop"]["refused"]
        assert refused["table"] == table
        assert reason in refused["message"]
        assert refused["remedy"] == remedy
    assert run_cdc("status", cwd=watched.pipeline.folder).returncode == 1
    changed = ("update app.leaf set v = 'later' where id = 1", "insert into app.parent values (101, 'later')")
    moved = [statement.replace("app.leaf", "other.leaf") for statement in changed]
    watched.database.execute(*(moved if name == "renamed" else changed), undone)
    watched.catch_up()
    assert watched.pipeline.status()["sources"]["shop"]["refused"] == []
    watched.assert_equal()


def test_the_status_names_a_table_that_became_a_partition_until_it_is_none(watched: Watched) -> None:
    watched.database.execute("alter table app.parent attach partition app.leaf for values from (0) to (99)")
    for _ in range(2):
        watched.catch_up()
        (one,) = watched.pipeline.status()["sources"]["shop"]["unfollowed"]
        assert (one["table"], one["within"]) == ("app.leaf", "app.parent")
        assert one["remedy"].startswith('Add to tables: "!app.leaf".')
    shown = run_cdc("status", cwd=watched.pipeline.folder)
    assert shown.returncode == 0
    assert "  unfollowed  app.leaf: it became a partition of app.parent" in shown.stdout
    watched.assert_equal()
    watched.database.execute(
        "update app.parent set v = 'as a partition' where id = 1",
        "alter table app.parent detach partition app.leaf",
    )
    watched.catch_up()
    assert watched.pipeline.status()["sources"]["shop"]["unfollowed"] == []
    watched.assert_equal()


def test_the_status_names_no_partition_that_the_operator_excludes(watched: Watched) -> None:
    watched.database.execute("alter table app.parent attach partition app.leaf for values from (0) to (99)")
    watched.catch_up()
    watched.pipeline.configure(tables=["app.*", "!app.leaf"])
    watched.database.execute("update app.parent set v = 'later' where id = 1")
    watched.catch_up()
    assert watched.pipeline.status()["sources"]["shop"]["unfollowed"] == []
    watched.assert_equal()


@pytest.mark.parametrize("publication", ["for all tables", ""])
def test_a_partition_whose_rows_come_as_those_of_a_table_that_is_not_selected_is_skipped(
    database15: Database, tmp_path: Path, publication: str
) -> None:
    """Rows of the partition are named after its root, which nothing selects: they would be left out."""
    options = "with (publish_via_partition_root = true)"
    if publication:
        database15.execute(f"create publication cdc_shop {publication} {options}")
    database15.execute(*CREATE)
    watched = Watched(database15, tmp_path)
    watched.catch_up()
    watched.database.execute(
        "alter table app.parent set schema other", "update app.part set v = 'later' where id = 100"
    )
    for _ in range(2):
        assert watched.pipeline.run_once().returncode == 1
        refused = {one["table"]: one for one in watched.pipeline.status()["sources"]["shop"]["refused"]}
        assert sorted(refused) == ["app.parent", "app.part"]
        assert "sends the rows of app.part as rows of other.parent" in refused["app.part"]["message"]
        assert "Add to tables: other.parent; or exclude" in refused["app.part"]["remedy"]
    found = run_cdc("check", "--json", cwd=watched.pipeline.folder)
    assert "publication-root" in found.stdout
    watched.database.execute("alter table other.parent set schema app")
    watched.catch_up()
    assert watched.pipeline.status()["sources"]["shop"]["refused"] == []
    watched.assert_equal()


def test_a_table_that_was_renamed_and_is_unlogged_is_named_by_its_present_name(watched: Watched) -> None:
    watched.database.execute("alter table app.leaf set unlogged", "alter table app.leaf rename to blade")
    assert watched.pipeline.run_once().returncode == 1
    for refused in watched.pipeline.status()["sources"]["shop"]["refused"]:
        assert "app.blade is unlogged" in refused["message"]
        assert refused["remedy"].startswith("Run: alter table app.blade set logged")
    assert run_cdc("status", cwd=watched.pipeline.folder).returncode == 1
