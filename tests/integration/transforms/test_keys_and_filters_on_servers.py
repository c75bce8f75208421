"""Hashed keys under loose collations, and filters on tables with values that are not sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.transforms.test_masks_on_servers import hashed, mirror, run, say
from tests.support.mysql.server import MysqlDatabase
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.unit.transform.test_masks import SECRET

LOOSE = "character set utf8mb4 collate utf8mb4_general_ci"


def configure(pipeline: Pipeline, *entries: dict[str, Any]) -> None:
    (pipeline.folder / "mask.key").write_text("0f" * 32)
    pipeline.configure(transforms=list(entries), mask_key="${file:mask.key}")


@pytest.mark.halved
def test_hashed_keys_of_a_loose_collation_are_found_by_their_stored_bytes(
    mysql_database: MysqlDatabase, tmp_path: Path
) -> None:
    mysql_database.execute(
        f"create table names (name varchar(20) {LOOSE} primary key, n int)",
        f"create table visits (id int primary key, name varchar(20) {LOOSE})",
        "insert into names values ('Anna', 1), ('bob ', 2), ('Zoé', 3), ('dora', 4), ('', 5)",
        "insert into visits values (1, 'Anna'), (2, 'bob ')",
    )
    schema = mysql_database.name
    pipeline = MysqlPipeline(mysql_database.server, tmp_path, tables=[f"{schema}.*"])
    configure(pipeline, {"table": f"{schema}.*", "mask": {"name": "hash"}})
    run(pipeline)
    mysql_database.execute(
        "update names set name = 'ANNA' where name = 'anna'",
        "replace into names values ('BOB', 20)",
        "insert into names values ('zoe', 30) on duplicate key update n = 31",
        "update names set name = 'Dora  ', n = 40 where name = 'dora'",
        "delete from names where name = ' '",
        "insert into names values (' ', 50), ('eve', 6)",
        "delete from names where name = 'EVE'",
        "update visits set name = 'ANNA' where id = 1",
    )
    run(pipeline)
    for table in ("names", "visits"):
        columns = "name, n" if table == "names" else "name, id"
        expected = sorted(
            (hashed(name), n) for name, n in mysql_database.query(f"select {columns} from {table}")
        )
        assert mirror(pipeline, f'"{schema}".{table}', columns, "1") == expected


@pytest.mark.halved(other=True)
def test_a_filter_on_a_table_with_unsent_values_equals_the_source(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create table orders (id int primary key, tenant int, note text, big text)",
        "alter table orders alter column big set storage external",
        "insert into orders select i, i % 3, 'n' || i, repeat('x' || i, 2000) from generate_series(1, 30) i",
    )
    pipeline = Pipeline(database, tmp_path, tables="public.*")
    configure(pipeline, {"table": "public.*", "where": "tenant <> 0"})
    assert "transforms-where" in say(pipeline, "check", "--json")
    run(pipeline)
    # Into the filter without the big value, out of it, and by another key.
    database.execute(
        "update orders set tenant = 5 where id = 3",
        "update orders set tenant = 0 where id = 4",
        "update orders set id = 100, note = 'moved' where id = 5",
        "update orders set note = 'never in' where id = 6",
        "delete from orders where id in (7, 9)",
    )
    said = run(pipeline)
    expected = sorted(database.query("select id, tenant, note, big from orders where tenant <> 0"))
    assert mirror(pipeline, "public.orders", "id, tenant, note, big", "id") == expected
    assert "copying table again" in said
    # WHEN the columns are promised not to change THEN no copy is needed
    configure(pipeline, {"table": "public.*", "where": "tenant <> 0", "where_fixed": True})
    database.execute("update orders set note = 'again' where id in (3, 4, 6)")
    said = run(pipeline)
    expected = sorted(database.query("select id, tenant, note, big from orders where tenant <> 0"))
    assert mirror(pipeline, "public.orders", "id, tenant, note, big", "id") == expected
    assert "copying table again" not in said
    assert "transforms-where" not in say(pipeline, "check", "--json")


@pytest.mark.halved
def test_a_function_sees_batches_of_copies_and_changes_and_its_error_shows_no_value(
    database: Database, tmp_path: Path
) -> None:
    hooks = "tests.unit.transform.hooks_of_others"
    database.execute(
        "create table people (id int primary key, email text, note text)",
        "insert into people values (1, 'a@example.com', 'x'), (2, 'b@example.org', null)",
    )
    pipeline = Pipeline(database, tmp_path, tables="public.*")
    configure(pipeline, {"table": "public.people", "python": f"{hooks}:domain", "mask": {"email": "hash"}})
    run(pipeline)
    database.execute(
        "update people set email = 'c@example.net' where id = 2",
        "insert into people values (3, 'd@example.com', 'y')",
        "delete from people where id = 1",
    )
    run(pipeline)
    assert mirror(pipeline, "public.people", "id, email, domain", "id") == [
        (2, hashed("c@example.net"), "example.net"),
        (3, hashed("d@example.com"), "example.com"),
    ]
    configure(pipeline, {"table": "public.people", "python": f"{hooks}:fails"})
    database.execute("insert into people values (4, 'secret@example.com', 'z')")
    said = run(pipeline, ok=False)
    assert f"the hook {hooks}:fails raised ValueError at hooks_of_others.py:" in said
    assert "public.people" in said
    assert not any(
        value in said for value in (SECRET.decode(), "secret@example.com", "a value that no message")
    )


@pytest.mark.halved(other=True)
def test_a_misspelt_mask_and_a_changed_one_are_named(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create table people (id int primary key, email text)", "insert into people values (1, 'a@b.c')"
    )
    pipeline = Pipeline(database, tmp_path, tables="public.*")
    configure(pipeline, {"table": "public.people", "mask": {"emial": "hash"}})
    assert "has a column 'emial'" in say(pipeline, "check")
    run(pipeline)
    configure(pipeline, {"table": "public.people", "mask": {"email": "hash"}})
    assert "changed: mask of email, mask of emial" in say(pipeline, "check").replace("\n", " ")
    assert "the transforms of a table have changed" in run(pipeline)
    assert "cdc snapshot shop public.people\n" in say(pipeline, "status")
    assert mirror(pipeline, "public.people", "email", "id") == [("a@b.c",)]
    say(pipeline, "snapshot", "public.people")
    run(pipeline)
    assert mirror(pipeline, "public.people", "email", "id") == [(hashed("a@b.c"),)]
    assert "transforms-changed" not in say(pipeline, "check", "--json")
    assert '"outdated": []' in say(pipeline, "status", "--json")
