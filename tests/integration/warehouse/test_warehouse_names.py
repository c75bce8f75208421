"""Names of any spelling are kept; what Postgres cannot have gets a suffix that is always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from cdc.model import Column, TableId
from cdc.testing.events import table
from tests.support.warehouses import Warehouse

LONG = "a_name_of_a_table_that_is_longer_than_what_postgres_keeps_of_names"
ODD = (
    "select",
    "Mixed Case",
    'qu"ote',
    "new\nline",
    "dot.ted",
    "日本語",
    "a _cdc_given b",
    "percent%s",
    "what?",
    "$1",
)


def stored_as(warehouse: Warehouse) -> dict[str, str]:
    rows = warehouse.query("select table_name, stored_schema || '.' || stored_name from _cdc.tables")
    return dict(rows)


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_tables_and_columns_of_any_spelling_keep_their_names(
    open_warehouse: Callable[..., Warehouse], mode: str
) -> None:
    warehouse = open_warehouse(mode=mode)
    for number, name in enumerate(ODD):
        schema = table(
            "public.x", {"id": pa.int32(), name: pa.string(), f"{name} 2": pa.int64()}, relation=number
        )
        schema = replace(schema, table=TableId("odd schema", name))
        warehouse.change(schema, ("c", {"id": 1, name: "a", f"{name} 2": 1}))
        warehouse.change(
            schema, ("u", {"id": 1, name: "b", f"{name} 2": 2}, {"id": 1, name: "a", f"{name} 2": 1})
        )
        quoted = '"odd schema"."' + name.replace('"', '""') + '"'
        assert list(warehouse.columns(quoted)) == ["id", name, f"{name} 2"]
        newest = warehouse.rows(quoted, '"' + name.replace('"', '""') + '"')
        assert ("b",) in newest
    assert {place.name for place in warehouse.places()} == set(ODD)


def test_names_that_are_too_long_or_equal_once_cut_are_told_apart(warehouse: Warehouse) -> None:
    one = table(f"public.{LONG}", {"id": pa.int32(), LONG: pa.string(), LONG + "x": pa.string()}, relation=1)
    two = table(f"public.{LONG}2", {"id": pa.int32()}, relation=2)
    warehouse.change(one, ("c", {"id": 1, LONG: "a", LONG + "x": "b"}))
    warehouse.change(two, ("c", {"id": 2}))
    places = stored_as(warehouse)
    names = {name.partition(".")[2] for name in places.values()}
    assert len(names) == 2
    assert all(len(name.encode()) <= 63 and name.startswith("a_name_of_a_table") for name in names)
    (id_, first, second) = warehouse.columns(places[LONG])
    assert (id_, len({first, second})) == ("id", 2)
    # In the next process they are the same.
    warehouse.sink.close()
    warehouse.sink.prepare("shop")
    warehouse.change(one, ("u", {"id": 1, LONG: "c", LONG + "x": "d"}))
    assert warehouse.rows(places[LONG], f'"{first}", "{second}"') == [("c", "d")]


def test_characters_of_several_bytes_are_not_cut_apart(warehouse: Warehouse) -> None:
    name = "ü" * 40
    schema = replace(table("public.x", {"id": pa.int32()}), table=TableId("public", name))
    warehouse.change(schema, ("c", {"id": 1}))
    assert warehouse.rows(f'{stored_as(warehouse)[name].replace(".", chr(46) + chr(34))}"', "id") == [(1,)]


def test_tables_whose_names_differ_in_case_only_are_two(warehouse: Warehouse) -> None:
    warehouse.change(table("public.users", {"id": pa.int32()}, relation=1), ("c", {"id": 1}))
    warehouse.change(table("public.Users", {"id": pa.int32()}, relation=2), ("c", {"id": 2}))
    assert warehouse.rows("public.users", "id") + warehouse.rows('public."Users"', "id") == [(1,), (2,)]


def test_columns_named_like_those_of_the_system_get_a_suffix(warehouse: Warehouse) -> None:
    schema = table("public.t", {"id": pa.int32(), "xmin": pa.int64(), "ctid": pa.string()})
    warehouse.change(schema, ("c", {"id": 1, "xmin": 2, "ctid": "x"}))
    (_, first, second) = warehouse.columns("public.t")
    assert (first.partition("__")[0], second.partition("__")[0]) == ("xmin", "ctid")
    assert warehouse.rows("public.t", f'id, "{first}", "{second}"') == [(1, 2, "x")]


def test_schemas_of_the_server_and_of_the_sink_get_other_names(warehouse: Warehouse) -> None:
    for number, schema in enumerate(("_cdc", "information_schema", "pg_data", "pg_catalog")):
        made = table("public.cursors", {"id": pa.int32()}, relation=number)
        warehouse.change(replace(made, table=TableId(schema, "cursors")), ("c", {"id": number}))
    schemas = {place.schema for place in warehouse.places()}
    assert {schema.partition("__")[0] for schema in schemas} == {
        "_cdc",
        "information_schema",
        "_pg_data",
        "_pg_catalog",
    }
    assert warehouse.query("select count(*) from _cdc.cursors") == [(1,)]


def test_table_renamed_to_another_schema_keeps_its_rows_index_and_grants(warehouse: Warehouse) -> None:
    old = table("public.t", {"id": pa.int32(), "v": pa.string()}, relation=7)
    warehouse.change(old, ("c", {"id": 1, "v": "a"}))
    warehouse.database.execute("grant select on public.t to pg_monitor")
    new = replace(old, table=TableId("archive", "u"), version=2)
    warehouse.change(new, ("u", {"id": 1, "v": "b"}), ("c", {"id": 2, "v": "c"}))
    assert warehouse.rows("archive.u", "id, v") == [(1, "b"), (2, "c")]
    assert warehouse.query("select has_table_privilege('pg_monitor', 'archive.u', 'select')") == [(True,)]


def test_name_that_is_taken_by_something_else_sets_the_table_aside(warehouse: Warehouse) -> None:
    warehouse.database.execute("create sequence public.counter", "create type public.pair as (a int, b int)")
    for number, name in enumerate(("counter", "pair")):
        warehouse.change(table(f"public.{name}", {"id": pa.int32()}, relation=number), ("c", {"id": 1}))
    found = dict(warehouse.query("select table_name, reason from _cdc.set_aside"))
    assert found.keys() == {"counter", "pair"}
    assert found["counter"].endswith("has a table or view public.counter that this sink did not create")


def test_added_column_whose_name_is_too_long_is_added(warehouse: Warehouse) -> None:
    narrow = table("public.t", {"id": pa.int32()}, relation=1)
    warehouse.change(narrow, ("c", {"id": 1}))
    wide = replace(narrow, columns=(*narrow.columns, Column(LONG, pa.int32(), "int", id=2)), version=2)
    warehouse.change(wide, ("c", {"id": 2, LONG: 5}))
    (_, name) = warehouse.columns("public.t")
    assert warehouse.rows("public.t", f'id, "{name}"') == [(1, None), (2, 5)]
