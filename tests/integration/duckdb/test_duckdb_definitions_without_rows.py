"""New definitions that no row follows reach the tables by their marks: in each mode, under each policy, in
replays.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import SchemaChangeRefused
from cdc.model import Column, CopyMark, CopyStep, TableId
from cdc.testing.events import EPOCH, altered, changes, table
from tests.support.ducks import Duck, evolved

T = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.string()}, relation=7)
ID, A, B = T.columns
# A column's number goes with it.
SWAPPED = evolved(T, ID, replace(A, name="b"), replace(B, name="a"))
OTHER = replace(T, table=TableId("public", "u"), relation=8)
ROW = {"id": 1, "a": "first", "b": "second"}
MODES: list[dict[str, Any]] = [
    {"mode": "mirror"},
    {"mode": "mirror", "deletes": "soft"},
    {"mode": "append"},
    {"mode": "history"},
]
EACH_MODE = pytest.mark.parametrize("options", MODES, ids=lambda options: "-".join(options.values()))


@EACH_MODE
def test_columns_that_swap_names_have_each_others_values_without_a_row(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    duck = Duck(tmp_path, **options)
    duck.change(T, ("c", ROW))
    duck.alter(SWAPPED)
    assert duck.rows("public.t", "id, a, b") == [(1, "second", "first")]
    duck.change(SWAPPED, ("c", {"id": 2, "a": "x", "b": "y"}))
    assert duck.rows("public.t", "id, a, b") == [(1, "second", "first"), (2, "x", "y")]


@EACH_MODE
def test_tables_that_swap_names_have_each_others_rows_without_a_row(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    duck = Duck(tmp_path, **options)
    duck.change(T, ("c", ROW))
    duck.change(OTHER, ("c", {"id": 100}))
    duck.alter(replace(T, table=OTHER.table), replace(OTHER, table=T.table))
    assert duck.rows("public.t", "id") == [(100,)]
    assert duck.rows("public.u", "id") == [(1,)]


def test_the_definitions_of_a_circle_follow_each_other_in_one_delivery(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, ("c", ROW))
    duck.change(OTHER, ("c", {"id": 100}))
    third = TableId("public", "v")
    duck.alter(replace(T, table=third), replace(OTHER, table=T.table), replace(T, table=OTHER.table))
    assert (duck.rows("public.t", "id"), duck.rows("public.u", "id")) == ([(100,)], [(1,)])


def test_added_and_dropped_columns_reach_a_mirror_without_a_row(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, ("c", ROW))
    duck.alter(evolved(T, ID, B, Column("c", pa.int64(), id=4, fill=pa.scalar(5, pa.int64()))))
    assert duck.rows("public.t", "id, b, c") == [(1, "second", 5)]
    assert list(duck.columns("public.t")) == ["id", "b", "c"]


def test_a_frozen_table_keeps_its_columns_and_takes_the_rows_behind_the_mark(tmp_path: Path) -> None:
    duck = Duck(tmp_path, schema_changes="freeze")
    duck.change(T, ("c", ROW))
    duck.alter(replace(SWAPPED, table=OTHER.table))
    assert duck.rows("public.t", "id, a, b") == [(1, "first", "second")]
    duck.change(replace(SWAPPED, table=OTHER.table), ("c", {"id": 2, "a": "x", "b": "y"}))
    # The columns are the source's by their numbers: what is named b there now is a here.
    assert duck.rows("public.t", "id, a, b") == [(1, "first", "second"), (2, "y", "x")]


@pytest.mark.parametrize("after", [SWAPPED, replace(T, table=OTHER.table)], ids=["column", "table"])
def test_schema_changes_stop_stops_at_the_mark(tmp_path: Path, after: Any) -> None:
    duck = Duck(tmp_path, schema_changes="stop")
    duck.change(T, ("c", ROW))
    with pytest.raises(SchemaChangeRefused, match="schema_changes is stop"):
        duck.alter(after)
    assert duck.rows("public.t", "id, a, b") == [(1, "first", "second")]
    duck.alter(T)


@EACH_MODE
def test_a_replay_across_the_marks_ends_as_before(tmp_path: Path, options: dict[str, Any]) -> None:
    duck = Duck(tmp_path, **options)
    swapped_back = replace(T, version=3)
    duck.apply(
        changes(T, [("c", ROW)], start=0),
        changes(OTHER, [("c", {"id": 100})], start=1),
        altered(SWAPPED, 2),
        changes(SWAPPED, [("c", {"id": 2, "a": "x", "b": "y"})], start=3),
        altered(replace(swapped_back, table=OTHER.table), 4),
        altered(replace(OTHER, table=T.table), 5),
    )
    expected = duck.rows("public.t", "id, a, b"), duck.rows("public.u", "id, a, b")
    assert expected == ([(100, None, None)], [(1, "first", "second"), (2, "y", "x")])
    for back in range(6):
        duck.rewind(back)
        batches = [
            changes(T, [("c", ROW)], start=0),
            changes(OTHER, [("c", {"id": 100})], start=1),
            altered(SWAPPED, 2),
            changes(SWAPPED, [("c", {"id": 2, "a": "x", "b": "y"})], start=3),
            altered(replace(swapped_back, table=OTHER.table), 4),
            altered(replace(OTHER, table=T.table), 5),
        ]
        # In parts, each with a transaction's worth: a mark may begin or end one.
        duck.apply(parts=[[batch] for batch in batches[back:]])
        assert (duck.rows("public.t", "id, a, b"), duck.rows("public.u", "id, a, b")) == expected


def test_a_definition_inside_of_a_copy_is_for_the_copy(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, ("c", ROW))
    begin = replace(changes(T, [("t", None)], start=1), mark=CopyMark(CopyStep.BEGIN, EPOCH, 1))
    duck.apply(begin, changes(T, [("r", ROW)], start=2), altered(SWAPPED, 3))
    # Readers see the old rows until the copy is whole.
    assert duck.rows("public.t", "id, a, b") == [(1, "first", "second")]
    duck.apply(replace(changes(SWAPPED, []), mark=CopyMark(CopyStep.FINISHED, EPOCH, 4)))
    assert duck.rows("public.t", "id, a, b") == [(1, "second", "first")]
