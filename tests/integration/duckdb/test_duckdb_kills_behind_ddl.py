"""What a kill leaves between a commit and the next checkpoint, DuckDB replays when the file is opened: every
schema change, with every type, gives the same tables again.

DuckDB replays its WAL without extensions, so that an expression there may fail or give another value.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc.model import Column, CopyMark, CopyStep, TableId, TableSchema
from cdc.testing.events import EPOCH, changes, delivery, table
from cdc_sink_duckdb.database import connect
from cdc_sink_duckdb.options import Options
from tests.support.duck_types import TYPES
from tests.support.ducks import Duck, evolved, left_by_a_kill

T = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.int32()}, identity="full", relation=7)
U = replace(T, table=TableId("public", "u"), relation=8)
ID, A, B = T.columns
ROW = {"id": 1, "a": "5", "b": 2}
MODES: dict[str, dict[str, Any]] = {
    "mirror": {},
    "soft": {"deletes": "soft"},
    "append": {"mode": "append"},
    "history": {"mode": "history"},
}
EACH_MODE = pytest.mark.parametrize("mode", MODES)
State = dict[str, tuple[list[Any], list[Any]]]


def state(query: Callable[[str], list[tuple[Any, ...]]]) -> State:
    """Columns and rows of every table of a file, by name."""
    names = query(
        """select format('"{}"."{}"', schema_name, replace(table_name, '"', '""')) from duckdb_tables()
        where database_name = current_database() order by all"""
    )
    return {
        name: (query(f"describe {name}"), query(f"select columns(*)::varchar from {name} order by all"))
        for (name,) in names
    }


def replayed(path: Path) -> State:
    """The same of a file that nobody holds."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return state(lambda sql: list(connection.execute(sql).fetchall()))


def assert_survives_a_kill(duck: Duck) -> None:
    killed = left_by_a_kill(duck)
    assert replayed(killed) == state(duck.query)
    shutil.rmtree(killed.parent)


def filled(duck: Duck) -> None:
    duck.change(T, ("c", ROW), ("c", {"id": 2, "a": "6"}), ("u", {**ROW, "b": 3}, ROW))
    duck.change(U, ("c", {"id": 9, "a": "u"}))


# A literal is missing for structs alone, which no source has.
FILLS: dict[str, pa.Scalar[Any]] = {
    f"{kind} {i}": pa.scalar(value, arrow)
    for kind, (arrow, values, _, _) in TYPES.items()
    if kind not in ("struct", "dictionary")
    for i, value in enumerate(values)
} | {
    "moments": pa.scalar([0, None], pa.list_(pa.timestamp("us", "UTC"))),
    "long": pa.scalar(-(40 * 86400 * 10**6) - 1, pa.duration("us")),
    "infinity": pa.scalar(2**63 - 1, pa.timestamp("us", "UTC")),
    "-infinity": pa.scalar(-(2**63) + 1, pa.timestamp("us")),
    "never": pa.scalar(2**31 - 1, pa.date32()),
}


@EACH_MODE
def test_columns_added_with_a_fill_of_any_type(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, **MODES[mode])
    filled(duck)
    added = [Column(name, fill.type, id=i, fill=fill) for i, (name, fill) in enumerate(FILLS.items(), 4)]
    duck.change(evolved(T, ID, A, B, *added), ("c", {"id": 3}))
    assert_survives_a_kill(duck)
    # The old images of `append` are made again, with the fills in them.
    duck.change(evolved(T, ID, replace(A, name="z"), B, *added), ("c", {"id": 4, "z": "y"}))
    assert_survives_a_kill(duck)


@pytest.mark.parametrize("kind", TYPES)
def test_a_column_of_any_type_gets_any_other(tmp_path: Path, kind: str) -> None:
    # GIVEN a table of that type for each other type
    connection = connect(Options(path=tmp_path / "warehouse.duckdb"))
    dialect, (arrow, values, _, _) = connection.dialect, TYPES[kind]
    old = dialect.column_type(Column("v", arrow), kind)
    found = changes(table("s.t", {"v": arrow}), [("c", {"v": value}) for value in [*values, None]])
    given = pa.table({"v": dialect.readable(found.data["v"], old)})
    connection.run(f"create table kept (v {old}, last integer)")
    connection.run("insert into kept select v, 1 from _cdc_given", given)
    # WHEN it is altered, without rows if they do not convert
    for name, (other, _, _, _) in TYPES.items():
        new = dialect.column_type(Column("v", other), kind)
        try:
            connection.run(f"create or replace temp table cast_ as select cast(v as {new}) from kept")
            rows = "kept"
        except (duckdb.Error, UnicodeDecodeError):  # the latter from a text of an error with a value in it
            rows = "kept limit 0"
        connection.run(f"create table {name}_ as from {rows}")
        connection.begin()
        value = dialect.converted('"v"', old, new)
        connection.run_all(dialect.change_type(f"{name}_", "v", new, value))
        connection.commit()
    # THEN a kill changes nothing
    killed = tmp_path / "killed.duckdb"
    shutil.copy(tmp_path / "warehouse.duckdb", killed)
    shutil.copy(tmp_path / "warehouse.duckdb.wal", tmp_path / "killed.duckdb.wal")
    expected = state(connection.query)
    assert len(expected) == len(TYPES) + 1
    assert replayed(killed) == expected


RETYPED = {
    "text to json": (pa.string(), '{"x": 1}', pa.json_()),
    "number to json": (pa.int32(), 5, pa.json_()),
    "moment to json": (pa.timestamp("us"), 0, pa.json_()),
    "json to number": (pa.json_(), '"5"', pa.int32()),
    "zoned to date": (pa.timestamp("us", "UTC"), 0, pa.date32()),
    "zoned to local": (pa.timestamp("us", "UTC"), 0, pa.timestamp("us")),
    "text to zoned": (pa.string(), "2026-11-23 12:00:00+05:30", pa.timestamp("us", "UTC")),
    "number to wide": (pa.int32(), 5, pa.decimal128(20, 2)),
}


@EACH_MODE
@pytest.mark.parametrize("case", RETYPED)
def test_a_column_that_got_another_type_keeps_its_place(tmp_path: Path, case: str, mode: str) -> None:
    old, value, new = RETYPED[case]
    duck = Duck(tmp_path, **MODES[mode])
    schema = evolved(T, ID, replace(A, type=old), B)
    row = {"id": 1, "a": value, "b": 1}
    duck.change(schema, ("c", row), ("u", {**row, "b": 2}, row))
    before = duck.columns("public.t")["a"]
    duck.change(evolved(schema, ID, replace(A, type=new), B), ("c", {"id": 2}))
    assert list(duck.columns("public.t")) == ["id", "a", "b"]
    assert duck.columns("public.t")["a"] != before
    assert duck.query("select a is null from public.t where id = 1 limit 1") == [(False,)]
    assert_survives_a_kill(duck)


C = Column("c", pa.json_(), id=4, fill=pa.scalar("[1]", pa.json_()))
WIDER = evolved(T, ID, A, B, C)
SHAPES: dict[str, list[TableSchema]] = {
    "added and dropped": [WIDER, evolved(T)],
    "dropped and added again": [evolved(T, ID, B), evolved(T, ID, B, Column("a", pa.int64(), id=9))],
    "swapped names": [evolved(T, ID, replace(A, name="b"), replace(B, name="a"))],
    "renamed with another type": [evolved(T, ID, replace(A, name="z", type=pa.json_()), B)],
    "changed key": [evolved(T, key=("a",))],
    "key of another type": [evolved(T, replace(ID, type=pa.string()), A, B)],
    "without a key": [evolved(T, key=())],
    "renamed": [evolved(WIDER, table=TableId("public", "w"))],
    "moved": [WIDER, evolved(WIDER, table=TableId("other", 't"h'))],
    "swapped tables": [replace(T, table=U.table), replace(U, table=T.table)],
    "created again": [table("public.t", {"id": pa.string(), "c": pa.json_()}, relation=99)],
}


@EACH_MODE
@pytest.mark.parametrize("case", SHAPES)
def test_a_table_of_another_shape(tmp_path: Path, case: str, mode: str) -> None:
    duck = Duck(tmp_path, **MODES[mode])
    filled(duck)
    for schema in SHAPES[case]:
        first: list[Any] = [("t", {})] if case == "created again" else []
        duck.change(schema, *first, ("c", {"id": 7 if schema.columns[0].type == pa.int32() else "k"}))
        assert_survives_a_kill(duck)


@EACH_MODE
def test_each_step_of_a_copy(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, **MODES[mode])
    filled(duck)
    retyped = evolved(WIDER, ID, replace(A, type=pa.json_()), replace(B, type=pa.int64()), C)
    for step, schema in [
        (CopyStep.BEGIN, WIDER),
        (CopyStep.FINISHED, WIDER),
        (CopyStep.BEGIN, WIDER),
        (CopyStep.FINISHED, retyped),
    ]:
        first: list[Any] = [("t", None)] if step is CopyStep.BEGIN else []
        batch = replace(changes(schema, first, start=duck.next), mark=CopyMark(step, EPOCH, duck.next))
        duck.sink.apply(delivery([batch], first=duck.next, next=duck.next + 1))
        duck.next += 1
        assert_survives_a_kill(duck)
        duck.change(schema, ("r" if first else "c", {"id": 1 if first else 5, "a": "7", "c": "[2]"}))
        assert_survives_a_kill(duck)


@EACH_MODE
def test_a_truncate_behind_an_added_column(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, **MODES[mode])
    filled(duck)
    duck.change(WIDER, ("c", {"id": 3}), ("t", {}), ("c", {"id": 4}))
    assert_survives_a_kill(duck)
