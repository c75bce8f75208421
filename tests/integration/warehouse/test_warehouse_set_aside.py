"""A table that Postgres cannot store is set aside with a remedy; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from cdc.model import TableSchema
from cdc.testing.events import changes, table
from tests.support.warehouses import Warehouse

T = table("public.t", {"id": pa.int32(), "v": pa.string()}, relation=1)
OTHER = table("public.other", {"id": pa.int32()}, relation=2)


def refused(warehouse: Warehouse, schema: TableSchema, *rows: dict[str, object]) -> tuple[str, str]:
    """Deliver rows beside those of another table; the reason and remedy of the one that is set aside."""
    start = warehouse.next
    warehouse.apply(
        changes(schema, [("c", row) for row in rows], start=start),
        changes(OTHER, [("c", {"id": start})], start=start + len(rows)),
    )
    assert (start,) in warehouse.rows("public.other", "id")
    ((reason, remedy),) = warehouse.query("select reason, remedy from _cdc.set_aside")
    return reason, remedy


@pytest.mark.parametrize("count", [1, 200], ids=["staged", "loaded"])
@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_text_with_nul_sets_its_table_aside(
    open_warehouse: Callable[..., Warehouse], mode: str, count: int
) -> None:
    rows: list[dict[str, object]] = [
        {"id": i, "v": "a\x00b" if i == count - 1 else "fine"} for i in range(count)
    ]
    reason, remedy = refused(open_warehouse(mode=mode), T, *rows)
    assert reason == "a text has a NUL character, which PostgreSQL cannot store"
    assert remedy == "Set `nul: replace` for this sink (each becomes ␀, U+2400), or exclude the column."


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_nul_is_replaced_and_counted_if_the_option_says_so(
    open_warehouse: Callable[..., Warehouse], mode: str
) -> None:
    warehouse = open_warehouse(mode=mode, nul="replace")
    texts = table("public.t", {"id": pa.int32(), "v": pa.string(), "w": pa.list_(pa.string())}, relation=1)
    warehouse.change(
        texts, ("c", {"id": 1, "v": "\x00a\x00", "w": ["x\x00", None, "y"]}), ("c", {"id": 2, "v": "b"})
    )
    assert warehouse.rows("public.t", "id, v, w") == [(1, "␀a␀", ["x␀", None, "y"]), (2, "b", None)]
    assert warehouse.counted["nul_characters_replaced"] == 3


def test_table_with_more_columns_than_postgres_has_is_set_aside(warehouse: Warehouse) -> None:
    wide = table("public.wide", {f"c{i}": pa.int32() for i in range(1700)}, relation=3)
    reason, remedy = refused(warehouse, wide, {"c0": 1})
    assert reason == "tables can have at most 1600 columns (SQLSTATE 54011)"
    assert remedy == "Exclude columns at the source: a table of PostgreSQL has 1,600 at most."


def test_row_with_too_many_fixed_columns_sets_its_table_aside(warehouse: Warehouse) -> None:
    wide = table("public.wide", {f"c{i}": pa.int64() for i in range(1500)}, relation=3)
    reason, remedy = refused(warehouse, wide, {f"c{i}": i for i in range(1500)})
    assert "SQLSTATE 54000" in reason
    assert "8 kB of fixed-width columns" in remedy


def test_key_that_is_too_large_for_an_index_sets_its_table_aside(warehouse: Warehouse) -> None:
    import random

    chance = random.Random(1)
    wide = table("public.wide", {"k": pa.string()}, relation=3)
    reason, remedy = refused(warehouse, wide, {"k": "".join(chance.choices("abcdefghijklmnop", k=20_000))})
    assert "SQLSTATE 54000" in reason
    assert "2,704 bytes of a key" in remedy


def test_trigger_of_somebody_else_that_refuses_rows_sets_its_table_aside(warehouse: Warehouse) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "secret"}))
    warehouse.database.execute("alter table public.t add check (v <> 'wrong')")
    reason, _ = refused(warehouse, T, {"id": 2, "v": "wrong"})
    assert "(SQLSTATE 23514)" in reason
    assert "wrong" not in reason
    assert warehouse.rows("public.t", "id") == [(1,)]


def test_column_that_a_view_uses_is_not_altered_and_says_so(warehouse: Warehouse) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "5"}))
    warehouse.database.execute("create view public.seen as select v from public.t")
    id_, v = T.columns
    changed = replace(T, columns=(id_, replace(v, type=pa.int32(), source_type="integer")), version=2)
    reason, remedy = refused(warehouse, changed, {"id": 2, "v": 6})
    assert reason == "cannot alter type of a column used by a view or rule (SQLSTATE 0A000)"
    assert remedy == "Drop the view or rule that uses the column; create it again after the change."


def test_value_without_a_cast_to_the_new_type_sets_the_table_aside(warehouse: Warehouse) -> None:
    warehouse.change(T, ("c", {"id": 1, "v": "no number"}))
    id_, v = T.columns
    changed = replace(T, columns=(id_, replace(v, type=pa.int32(), source_type="integer")), version=2)
    reason, remedy = refused(warehouse, changed, {"id": 2, "v": 6})
    assert "the stored values cannot be converted (column 'v' changed its type" in reason
    assert remedy == "Copy it again: cdc snapshot shop public.t --sink warehouse"


def test_inner_lists_of_different_lengths_set_the_table_aside(warehouse: Warehouse) -> None:
    ragged = table("public.r", {"id": pa.int32(), "v": pa.list_(pa.list_(pa.int32()))}, relation=3)
    reason, _ = refused(warehouse, ragged, {"id": 1, "v": [[1, 2], [3]]})
    assert reason == "an array has inner arrays of different lengths, which PostgreSQL cannot store"


def test_timestamps_before_those_of_postgres_set_the_table_aside(warehouse: Warehouse) -> None:
    old = table("public.old", {"id": pa.int32(), "v": pa.timestamp("us")}, relation=3)
    reason, _ = refused(warehouse, old, {"id": 1, "v": -(2**62)}, {"id": 2, "v": 0})
    assert "SQLSTATE 22008" in reason
