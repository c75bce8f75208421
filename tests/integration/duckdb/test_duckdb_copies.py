"""A table that is copied again keeps its rows until the new ones take their place, and says since when it
lacks some.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdc.model import ChangeBatch, CopyMark, CopyStep, TableSchema
from cdc.testing.events import EPOCH, Change, changes, delivery, table
from tests.support.ducks import Duck, evolved

T = table("public.t", {"id": pa.int32(), "v": pa.string()}, relation=1)
NUMBERS = evolved(T, T.columns[0], replace(T.columns[1], type=pa.int32()))
OLD: list[Change] = [("c", {"id": i, "v": f"old {i}"}) for i in range(3)]
MODES: dict[str, dict[str, Any]] = {"hard": {}, "soft": {"deletes": "soft"}, "history": {"mode": "history"}}
CURRENT = {"hard": "true", "soft": "not _cdc_deleted", "history": "valid_to is null"}
EACH_MODE = pytest.mark.parametrize("mode", MODES)


def mark(duck: Duck, step: CopyStep, schema: TableSchema = T, *, known: bool = True) -> ChangeBatch:
    rows: list[Change] = [("t", None)] if known and step is CopyStep.BEGIN else []
    batch = changes(schema, rows, start=duck.next)
    return replace(batch, mark=CopyMark(step, EPOCH, duck.next))


def step(duck: Duck, kind: CopyStep, schema: TableSchema = T, *, known: bool = True) -> None:
    batch = mark(duck, kind, schema, known=known)
    duck.sink.apply(delivery([batch], first=duck.next, next=duck.next + 1))
    duck.next += 1


def current(duck: Duck, mode: str, name: str = "public.t") -> list[tuple[Any, ...]]:
    return duck.query(f"select id, v from {name} where {CURRENT[mode]} order by id")


def incomplete(duck: Duck) -> list[tuple[str]]:
    return duck.query("select table_name from _cdc.tables where incomplete_since is not null")


def tables(duck: Duck) -> list[str]:
    found = duck.query("select table_name from duckdb_tables() where schema_name = 'public'")
    return [name for (name,) in found]


@EACH_MODE
def test_readers_see_the_old_rows_until_the_copy_is_complete(tmp_path: Path, mode: str) -> None:
    # GIVEN a table that is whole
    duck = Duck(tmp_path, **MODES[mode])
    step(duck, CopyStep.BEGIN, known=False)
    assert incomplete(duck) == [("t",)]
    duck.change(T, *OLD)
    step(duck, CopyStep.FINISHED)
    assert incomplete(duck) == []
    old = current(duck, mode)
    # WHEN it is copied again, with changes in between, twice because the first one does not end
    step(duck, CopyStep.PENDING)
    assert incomplete(duck) == [("t",)]
    for rows in (((0, "void"), (7, "void")), ((0, "new"), (1, "old 1"))):
        step(duck, CopyStep.BEGIN)
        duck.change(T, *[("r", {"id": i, "v": v}) for i, v in rows])
        assert current(duck, mode) == old
        duck.sink.close()
        duck.sink.prepare("shop")
    duck.change(T, ("u", {"id": 1, "v": "later"}), ("c", {"id": 9, "v": "new"}))
    assert current(duck, mode) == old
    assert duck.query("select epoch_us(incomplete_since) from _cdc.tables") != [(None,)]
    # THEN it is replaced in one step
    step(duck, CopyStep.FINISHED)
    assert current(duck, mode) == [(0, "new"), (1, "later"), (9, "new")]
    assert (incomplete(duck), tables(duck)) == ([], ["t"])
    duck.change(T, ("d", {"id": 9, "v": "new"}), ("u", {"id": 0, "v": "live"}))
    assert current(duck, mode) == [(0, "live"), (1, "later")]
    if mode == "soft":
        deleted = duck.query("select id, v from public.t where _cdc_deleted order by id")
        assert deleted == [(2, "old 2"), (9, "new")]
    if mode == "history":
        ended = duck.query("select id, v from public.t where valid_to is not null order by id, _cdc_seq")
        assert [v for _, v in ended] == ["old 0", "new", "old 1", "old 1", "old 2", "new"]


@EACH_MODE
def test_a_copy_with_other_columns_types_and_key_takes_the_place(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, **MODES[mode])
    duck.change(T, *OLD)
    step(duck, CopyStep.BEGIN, NUMBERS)
    duck.change(NUMBERS, ("r", {"id": 1, "v": 5}))
    step(duck, CopyStep.FINISHED, NUMBERS)
    duck.change(NUMBERS, ("c", {"id": 2, "v": 6}))
    assert current(duck, mode) == [(1, 5), (2, 6)]
    # Old values that are no numbers are kept under another name, where something is kept at all.
    left = [] if mode == "hard" else ["t__1"]
    assert [name for name in tables(duck) if name != "t"] == left
    if left:
        assert len(duck.query("select * from public.t__1")) == 3
        assert "public.t__1" in [
            f.get("stored_as") for e, f in duck.logged if e == "kept the old rows under another name"
        ]
    again = evolved(NUMBERS, NUMBERS.columns[1], key=("v",))
    step(duck, CopyStep.BEGIN, again)
    duck.change(again, ("r", {"v": 11}))
    step(duck, CopyStep.FINISHED, again)
    duck.change(again, ("u", {"v": 12}, {"v": 11}))
    assert duck.query(f"select v from public.t where {CURRENT[mode]}") == [(12,)]


def test_a_new_table_grows_in_its_place_and_begins_again_empty(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    step(duck, CopyStep.BEGIN, known=False)
    duck.change(T, *OLD)
    assert len(current(duck, "hard")) == 3
    step(duck, CopyStep.BEGIN, NUMBERS)
    duck.change(NUMBERS, ("r", {"id": 1, "v": 5}))
    assert current(duck, "hard") == [(1, 5)]
    assert (incomplete(duck), tables(duck)) == ([("t",)], ["t"])
    step(duck, CopyStep.FINISHED, NUMBERS)
    assert incomplete(duck) == []


def test_a_cancelled_copy_leaves_the_table_as_it_was_and_stale(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, *OLD)
    old = current(duck, "hard")
    step(duck, CopyStep.BEGIN)
    duck.change(T, ("r", {"id": 1, "v": "new"}))
    step(duck, CopyStep.CANCELLED)
    assert current(duck, "hard") == old
    assert (incomplete(duck), tables(duck)) == ([("t",)], ["t"])


def test_views_stay_and_indexes_are_made_again(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, *OLD)
    duck.query("create view public.seen as select v from public.t")
    duck.query("create index by_v on public.t (v)")
    step(duck, CopyStep.BEGIN)
    duck.change(T, ("r", {"id": 1, "v": "new"}))
    step(duck, CopyStep.FINISHED)
    assert duck.query("select v from public.seen") == [("new",)]
    assert duck.query("select index_name from duckdb_indexes()") == [("by_v",)]


def test_an_index_that_a_killed_process_did_not_make_again_is_made_at_the_next_start(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, *OLD)
    # What a commit that replaced the table leaves behind, of an index that fits and of one that does not.
    for statement in ("create index by_v on public.t (v)", "create index by_gone on public.t (gone)"):
        duck.query(f"insert into _cdc.indexes values ('{statement}')")
    duck.sink.close()
    again = Duck(tmp_path, epoch=2)
    assert again.query("select index_name from duckdb_indexes()") == [("by_v",)]
    assert [event for event, _ in again.logged] == [
        "could not recreate an index: it no longer fits its table"
    ]
    assert again.query("select * from _cdc.indexes") == []


def test_a_table_that_was_renamed_before_its_copy_is_replaced_under_its_new_name(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, *OLD)
    renamed = replace(T, table=replace(T.table, name="renamed"))
    step(duck, CopyStep.BEGIN)
    step(duck, CopyStep.BEGIN, renamed)
    assert len(current(duck, "hard", "public.renamed")) == 3
    duck.change(renamed, ("r", {"id": 1, "v": "new"}))
    step(duck, CopyStep.FINISHED, renamed)
    assert current(duck, "hard", "public.renamed") == [(1, "new")]
    assert tables(duck) == ["renamed"]


def test_a_changelog_gets_all_rows_and_says_that_it_is_incomplete(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    duck.change(T, *OLD)
    step(duck, CopyStep.BEGIN)
    duck.change(T, ("r", {"id": 1, "v": "new"}))
    assert incomplete(duck) == [("t",)]
    step(duck, CopyStep.FINISHED)
    assert incomplete(duck) == []
    assert duck.query("select string_agg(_cdc_op, '' order by _cdc_seq) from public.t") == [("ccctr",)]
