"""Tables follow the source's shape, and keep what readers have put on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import SchemaChangeRefused
from cdc.model import Column, CopyStep, TableId, TableSchema
from cdc.testing import copy_contract
from cdc.testing.events import table
from tests.support.warehouses import Warehouse

T = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.int32()}, relation=7)
ID, A, B = T.columns
ROW = {"id": 1, "a": "x", "b": 2}
INDEXES = "select count(*) from pg_index where indrelid = 'public.t'::regclass and indisunique"


def evolved(schema: TableSchema, *columns: Column, **changed: Any) -> TableSchema:
    made = columns or schema.columns
    return replace(schema, columns=tuple(made), version=schema.version + 1, **changed)


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    warehouse.change(T, ("c", ROW))
    return warehouse


def test_columns_are_added_dropped_and_renamed(filled: Warehouse) -> None:
    shape = evolved(T, ID, replace(A, name="z"), Column("c", pa.int64(), "bigint", id=4))
    filled.change(shape, ("c", {"id": 2, "z": "y", "c": 3}))
    assert filled.columns("public.t") == {"id": "integer", "z": "text", "c": "bigint"}
    assert filled.rows("public.t", "id, z, c") == [(1, "x", None), (2, "y", 3)]


def test_columns_that_swap_names_keep_their_values(warehouse: Warehouse) -> None:
    schema = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.string()}, relation=7)
    one, a, b = schema.columns
    warehouse.change(schema, ("c", {"id": 1, "a": "first", "b": "second"}))
    warehouse.change(evolved(schema, one, replace(a, name="b"), replace(b, name="a")), ("c", {"id": 2}))
    assert warehouse.query("select a, b from public.t where id = 1") == [("second", "first")]


CONVERSIONS = [
    (pa.int32(), 5, pa.int64(), "bigint", "5"),
    (pa.int64(), 5, pa.string(), "text", "5"),
    (pa.string(), "12", pa.int32(), "integer", "12"),
    (pa.float64(), 1.5, pa.decimal128(10, 2), "numeric(10,2)", "1.50"),
    (pa.timestamp("us"), 0, pa.date32(), "date", "1970-01-01"),
    (pa.bool_(), True, pa.int32(), None, None),
    (pa.int32(), 7, pa.uuid(), None, None),
    (pa.list_(pa.int32()), [1, 2], pa.list_(pa.string()), "text[]", "{1,2}"),
    (pa.binary(), b"ab", pa.string(), "text", "\\x6162"),
]


def test_types_are_altered_with_their_values_or_set_aside(warehouse: Warehouse) -> None:
    for place, (before, value, after, kind, shown) in enumerate(CONVERSIONS):
        schema = table(f"public.t{place}", {"id": pa.int32(), "v": before}, relation=place)
        warehouse.change(schema, ("c", {"id": 1, "v": value}))
        id_, v = schema.columns
        warehouse.change(evolved(schema, id_, replace(v, type=after)), ("c", {"id": 2, "v": None}))
        aside = warehouse.database.value(
            "select count(*) from _cdc.set_aside where table_name = %s", [f"t{place}"]
        )
        if kind is None:
            assert aside == 1, place
            continue
        assert warehouse.columns(f"public.t{place}")["v"] == kind
        assert warehouse.query(f"select v::text from public.t{place} where id = 1") == [(shown,)]


def test_new_key_finds_rows_and_is_unique(filled: Warehouse) -> None:
    filled.change(T, ("c", {"id": 2, "a": "y", "b": 5}))
    by_b = replace(T, key=("b",), version=2)
    filled.change(by_b, ("u", {"id": 9, "a": "new", "b": 5}))
    assert filled.rows("public.t", "id, a, b") == [(1, "x", 2), (9, "new", 5)]
    ((definition,),) = filled.query(
        "select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'public.t'::regclass"
    )
    assert "UNIQUE" in definition
    assert "(b)" in definition


def test_added_column_of_a_changelog_does_not_rewrite_it(open_warehouse: Callable[..., Warehouse]) -> None:
    warehouse = open_warehouse(mode="append")
    warehouse.change(T, ("u", ROW, {"id": 1, "a": "w", "b": 1}))
    file = "select pg_relation_filenode('public.t')"
    before = warehouse.query(file)
    warehouse.change(
        evolved(T, ID, A, B, Column("c", pa.int64(), "bigint", id=4)), ("u", {**ROW, "c": 3}, {**ROW, "c": 1})
    )
    assert warehouse.query(file) == before
    images = warehouse.query(
        "select c, _cdc_before ->> 'c', _cdc_before ->> 'a' from public.t order by _cdc_seq"
    )
    assert images == [(None, None, "w"), (3, "1", "x")]


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_frozen_tables_keep_their_columns(open_warehouse: Callable[..., Warehouse], mode: str) -> None:
    warehouse = open_warehouse(mode=mode, schema_changes="freeze")
    warehouse.change(T, ("c", ROW))
    warehouse.change(
        evolved(T, ID, B, Column("c", pa.int64(), "bigint", id=4)), ("c", {"id": 2, "b": 3, "c": 4})
    )
    assert list(warehouse.columns("public.t")) == ["id", "a", "b"]
    assert warehouse.rows("public.t", "id, a, b") == [(1, "x", 2), (2, None, 3)]


def test_policy_stop_refuses_a_change(open_warehouse: Callable[..., Warehouse]) -> None:
    warehouse = open_warehouse(schema_changes="stop")
    warehouse.change(T, ("c", ROW))
    with pytest.raises(SchemaChangeRefused):
        warehouse.change(evolved(T, ID, B), ("c", {"id": 2, "b": 3}))
    assert warehouse.rows("public.t", "id, a, b") == [(1, "x", 2)]


def copied(warehouse: Warehouse, schema: TableSchema, *rows: dict[str, object]) -> None:
    """Copy the table again, in three deliveries."""
    warehouse.apply(copy_contract._mark(schema, CopyStep.BEGIN, warehouse.next))
    warehouse.change(schema, *(("r", row) for row in rows))
    warehouse.apply(copy_contract._mark(schema, CopyStep.FINISHED, warehouse.next))


def test_copy_keeps_views_grants_and_indexes_of_the_table(filled: Warehouse) -> None:
    filled.database.execute(
        "create view public.seen as select id, a from public.t",
        "create index mine on public.t (a)",
        "grant select on public.t to pg_monitor",
    )
    copied(filled, T, {"id": 5, "a": "copied", "b": 6})
    assert filled.rows("public.seen") == [(5, "copied")]
    assert filled.query("select has_table_privilege('pg_monitor', 'public.t', 'select')") == [(True,)]
    assert filled.query("select to_regclass('public.mine') is not null") == [(True,)]
    assert filled.places() == {TableId("public", "t")}
    filled.change(T, ("u", {"id": 5, "a": "changed", "b": 6}))
    assert filled.rows("public.seen") == [(5, "changed")]


def test_copy_with_another_shape_alters_the_table(filled: Warehouse) -> None:
    shape = evolved(T, ID, replace(A, type=pa.int32(), source_type="integer"), relation=8)
    copied(filled, shape, {"id": 5, "a": 7})
    assert filled.columns("public.t") == {"id": "integer", "a": "integer"}
    assert filled.rows("public.t", "id, a") == [(5, 7)]
