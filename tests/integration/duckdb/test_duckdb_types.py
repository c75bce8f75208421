"""Every Arrow type of docs/sinks/duckdb.md goes in and comes out unchanged: in rows, keys and holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.testing.events import table
from tests.support.duck_types import TYPES
from tests.support.ducks import Duck


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_values_of_the_type_come_out_unchanged(tmp_path: Path, kind: str, mode: str) -> None:
    arrow, values, sql_type, shown = TYPES[kind]
    duck = Duck(tmp_path, mode=mode)
    schema = table("public.t", {"id": pa.int32(), "v": arrow})
    duck.change(schema, ("c", {"id": 1, "v": values[0]}), ("c", {"id": 2, "v": values[1]}), ("c", {"id": 3}))
    assert duck.columns("public.t")["v"] == sql_type
    assert duck.query("select v::varchar from public.t order by id") == [(shown[0],), (shown[1],), (None,)]


@pytest.mark.parametrize("kind", TYPES)
def test_key_of_the_type_finds_its_row(tmp_path: Path, kind: str) -> None:
    arrow, values, _, _ = TYPES[kind]
    duck = Duck(tmp_path)
    schema = table("public.t", {"k": arrow, "v": pa.int32()})
    duck.change(schema, ("c", {"k": values[0], "v": 1}), ("c", {"k": values[1], "v": 2}))
    duck.change(schema, ("u", {"k": values[0], "v": 3}), ("d", {"k": values[1]}))
    assert duck.rows("public.t", "v") == [(3,)]


@pytest.mark.parametrize("kind", TYPES)
def test_unchanged_value_of_the_type_is_kept(tmp_path: Path, kind: str) -> None:
    arrow, values, _, shown = TYPES[kind]
    duck = Duck(tmp_path)
    schema = table("public.t", {"id": pa.int32(), "v": arrow})
    duck.change(schema, ("c", {"id": 1, "v": values[0]}))
    duck.change(schema, ("u", {"id": 2}, {"id": 1}, ["v"]))
    assert duck.query("select id, v::varchar from public.t") == [(2, shown[0])]


@pytest.mark.parametrize("kind", TYPES)
def test_row_without_key_is_found_by_a_value_of_the_type(tmp_path: Path, kind: str) -> None:
    arrow, values, _, shown = TYPES[kind]
    duck = Duck(tmp_path)
    schema = table("public.t", {"v": arrow}, key=(), identity="full")
    duck.change(
        schema, ("c", {"v": values[0]}), ("c", {"v": values[1]}), ("c", {"v": values[1]}), ("c", {"v": None})
    )
    duck.change(schema, ("d", {"v": values[1]}), ("d", {"v": None}))
    assert duck.query("select v::varchar from public.t order by _cdc_seq") == [(shown[0],), (shown[1],)]


def test_json_text_without_the_extension_type_becomes_json(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    schema = table("public.t", {"id": pa.int32(), "v": pa.string()})
    schema = replace(schema, columns=(schema.columns[0], replace(schema.columns[1], source_type="jsonb")))
    duck.change(schema, ("c", {"id": 1, "v": '{"a": [1]}'}))
    assert duck.columns("public.t")["v"] == "JSON"
    assert duck.query("select v->>'$.a[0]' from public.t") == [("1",)]


def test_table_with_a_type_without_counterpart_is_set_aside(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    schema = table("public.t", {"id": pa.int32(), "v": pa.month_day_nano_interval()})
    duck.change(schema, ("c", {"id": 1}))
    assert duck.query("select table_name, reason, remedy from _cdc.set_aside") == [
        (
            "t",
            "public.t.v: the Arrow type month_day_nano_interval has no exact counterpart in DuckDB",
            "Exclude the column or the table in the source's configuration.",
        )
    ]
