"""Names that DuckDB takes for one, or has itself, get a suffix that is always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.model import Column, TableId
from cdc.spi import Severity
from cdc.testing.events import changes, table
from tests.support.ducks import Duck, evolved

USERS = table("public.users", {"id": pa.int32()}, relation=1)
CAPITAL = table("public.Users", {"id": pa.int32(), "v": pa.int32()}, relation=2)
SUFFIXED = "Users__3268e9"


@pytest.fixture
def duck(tmp_path: Path) -> Duck:
    return Duck(tmp_path)


def stored_as(duck: Duck) -> dict[str, str]:
    rows = duck.query("select schema_name || '.' || table_name, stored_schema, stored_name from _cdc.tables")
    return {name: f"{schema}.{stored}" for name, schema, stored in rows}


def test_tables_whose_names_differ_in_case_only_are_both_kept(duck: Duck) -> None:
    duck.change(USERS, ("c", {"id": 1}))
    duck.change(CAPITAL, ("c", {"id": 2, "v": 3}))
    assert stored_as(duck) == {"public.users": "public.users", "public.Users": f"public.{SUFFIXED}"}
    # In the next process and after a change of the shape it is the same table.
    duck.sink.close()
    duck.sink.prepare("shop")
    wide = evolved(CAPITAL, *CAPITAL.columns, Column("w", pa.int32(), id=3))
    duck.change(wide, ("c", {"id": 4, "v": 5, "w": 6}))
    duck.change(USERS, ("c", {"id": 7}))
    assert duck.rows(f'public."{SUFFIXED}"', "id, v, w") == [(2, 3, None), (4, 5, 6)]
    assert duck.rows("public.users", "id") == [(1,), (7,)]


def test_the_name_in_lower_case_is_kept_whichever_comes_first(duck: Duck) -> None:
    duck.apply(changes(CAPITAL, [("c", {"id": 2})], seqs=[0]), changes(USERS, [("c", {"id": 1})], seqs=[1]))
    assert stored_as(duck) == {"public.users": "public.users", "public.Users": f"public.{SUFFIXED}"}


def test_a_table_renamed_to_a_name_that_differs_in_case_only_keeps_its_rows(duck: Duck) -> None:
    duck.change(USERS, ("c", {"id": 1}))
    duck.change(replace(CAPITAL, table=TableId("public", "members")), ("c", {"id": 2, "v": 3}))
    duck.change(CAPITAL, ("c", {"id": 4, "v": 5}))
    assert duck.rows(f'public."{SUFFIXED}"', "id") == [(2,), (4,)]
    # Its own name in another case is no other table's.
    duck.change(replace(USERS, table=TableId("public", "USERS")), ("c", {"id": 8}))
    assert duck.rows("public.USERS", "id") == [(1,), (8,)]


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_columns_whose_names_differ_in_case_only_are_both_kept(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, mode=mode)
    both = table("public.t", {"id": pa.int32(), "v": pa.int32(), "V": pa.int32(), "VALID_TO": pa.int32()})
    duck.change(both, ("c", {"id": 1, "v": 2, "V": 3, "VALID_TO": 4}))
    names = list(duck.columns("public.t"))
    assert names[:2] == ["id", "v"]
    assert names[2].startswith("V__")
    assert names[3].startswith("VALID_TO__") == (mode == "history")
    # It keeps its name when the other column is dropped.
    fewer = evolved(both, both.columns[0], *both.columns[2:])
    duck.change(fewer, ("c", {"id": 5, "V": 6, "VALID_TO": 7}))
    assert duck.rows("public.t", f'"{names[2]}", "{names[3]}"') == [(3, 4), (6, 7)]


def test_a_schema_called_like_one_of_the_sinks_own_gets_a_suffix(duck: Duck) -> None:
    for name in ("_cdc", "information_schema"):
        own = table(f"{name}.cursors", {"id": pa.int32()})
        duck.change(own, ("c", {"id": 1}))
        (place,) = (place for table_name, place in stored_as(duck).items() if table_name == str(own.table))
        assert place.startswith(f"{name}__")
        assert duck.rows(place, "id") == [(1,)]


def test_with_identifiers_fail_such_tables_are_set_aside(tmp_path: Path) -> None:
    duck = Duck(tmp_path, identifiers="fail")
    batches = [
        changes(USERS, [("c", {"id": 1})], seqs=[0]),
        changes(CAPITAL, [("c", {"id": 2})], seqs=[1]),
        changes(table("_cdc.t", {"id": pa.int32()}), [("c", {"id": 3})], seqs=[2]),
        changes(table("public.two", {"id": pa.int32(), "ID": pa.int32()}), [("c", {"id": 4})], seqs=[3]),
    ]
    duck.apply(*batches)
    assert {str(one.table): one.message for one in duck.sink.set_aside("shop")} == {
        "_cdc.t": f"{duck.path}: _cdc.t: the source's schema '_cdc' has the name of one of the sink's own "
        "schemas",
        "public.Users": f"{duck.path}: public.Users: its name differs from public.users only in case, "
        "which DuckDB ignores",
        "public.two": "public.two: the column 'ID' has the name of another column, 'id' (DuckDB ignores case "
        "in names)",
    }
    assert duck.rows("public.users", "id") == [(1,)]


def test_check_warns_of_a_file_called_like_a_schema(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(table("Warehouse.orders", {"id": pa.int32()}), ("c", {"id": 1}))
    duck.sink.close()
    warnings = [finding for finding in duck.sink.check() if finding.severity is Severity.WARNING]
    assert [finding.code for finding in warnings] == ["duckdb-file-name"]
    assert f"mv {duck.path} {tmp_path / 'warehouse_mirror.duckdb'}" in warnings[0].fix
    # Before there is a file, the configuration tells.
    duck.path.unlink()
    (finding,) = duck.sink.check_schemas({"public", "WAREHOUSE"})
    assert finding.fix == f"Set `path: {tmp_path / 'warehouse_mirror.duckdb'}` for this sink."
    assert duck.sink.check_schemas({"public"}) == []
