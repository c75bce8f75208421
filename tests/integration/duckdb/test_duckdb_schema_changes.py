"""Tables follow the source's shape: every kind of change, each policy, and replays across them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.errors import SchemaChangeRefused
from cdc.model import Column, TableId
from cdc.testing.events import changes, delivery, table
from tests.support.ducks import Duck, evolved

T = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.int32()}, relation=7)
ID, A, B = T.columns
ROW = {"id": 1, "a": "x", "b": 2}


@pytest.fixture
def duck(tmp_path: Path) -> Duck:
    duck = Duck(tmp_path)
    duck.change(T, ("c", ROW))
    return duck


def test_added_column_gets_the_fill_in_old_rows_only(duck: Duck) -> None:
    wider = evolved(T, ID, A, B, Column("c", pa.int64(), id=4, fill=pa.scalar(5, pa.int64())))
    duck.change(wider, ("c", {"id": 2, "c": None}))
    assert duck.rows("public.t", "id, c") == [(1, 5), (2, None)]


FILLS = {
    "text": (pa.scalar("it's {x}"), "VARCHAR", "it's {x}"),
    "bytes": (pa.scalar(b"\x00'\xff"), "BLOB", b"\x00'\xff"),
    "decimal": (pa.scalar(1, pa.decimal128(20, 4)), "DECIMAL(20,4)", "1.0000"),
    "wide": (pa.scalar(1, pa.decimal256(50, 4)), "VARCHAR", "1.0000"),
    "list": (
        pa.scalar([["a'b", None], []], pa.list_(pa.list_(pa.string()))),
        "VARCHAR[][]",
        [["a'b", None], []],
    ),
    "float": (pa.scalar(float("inf")), "DOUBLE", float("inf")),
    "json": (pa.scalar('{"a": 1}', pa.json_()), "JSON", '{"a": 1}'),
    "far": (pa.scalar(2**55, pa.timestamp("us", "UTC")), "TIMESTAMP WITH TIME ZONE", "3111-"),
    "bool": (pa.scalar(value=True), "BOOLEAN", True),
}


@pytest.mark.parametrize("kind", FILLS)
def test_fill_of_any_type_arrives_exactly(duck: Duck, kind: str) -> None:
    fill, sql_type, expected = FILLS[kind]
    duck.change(evolved(T, ID, A, B, Column("c", fill.type, id=4, fill=fill)), ("c", {"id": 2}))
    assert duck.columns("public.t")["c"] == sql_type
    shown = "c::varchar" if isinstance(expected, str) else "c"
    (value,) = duck.query(f"select {shown} from public.t where id = 1")[0]
    assert value == expected or str(value).startswith(str(expected))


def test_dropped_column_goes_from_a_mirror(duck: Duck) -> None:
    duck.change(evolved(T, ID, B), ("u", {"id": 1, "b": 3}))
    assert list(duck.columns("public.t")) == ["id", "b"]


def test_renamed_column_keeps_its_values(duck: Duck) -> None:
    duck.change(evolved(T, ID, replace(A, name="z"), B), ("c", {"id": 2, "z": "y"}))
    assert duck.rows("public.t", "id, z") == [(1, "x"), (2, "y")]


def test_columns_that_swap_names_keep_their_values(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    schema = table("public.t", {"id": pa.int32(), "a": pa.string(), "b": pa.string()}, relation=7)
    one, a, b = schema.columns
    duck.change(schema, ("c", {"id": 1, "a": "first", "b": "second"}))
    duck.change(evolved(schema, one, replace(a, name="b"), replace(b, name="a")), ("c", {"id": 2}))
    assert duck.query("select a, b from public.t where id = 1") == [("second", "first")]


def test_column_dropped_and_added_under_its_name_starts_empty(duck: Duck) -> None:
    duck.change(evolved(T, ID, B, Column("a", pa.string(), id=9)), ("c", {"id": 2, "a": "new"}))
    assert duck.rows("public.t", "id, a") == [(1, None), (2, "new")]


def test_type_change_converts_the_stored_values(duck: Duck) -> None:
    duck.change(evolved(T, ID, A, replace(B, type=pa.int64())), ("c", {"id": 2, "b": 2**40}))
    assert duck.rows("public.t", "id, b") == [(1, 2), (2, 2**40)]


@pytest.mark.parametrize("kind", [pa.int32(), pa.json_()])
def test_type_change_converts_no_deleted_values(duck: Duck, kind: pa.DataType) -> None:
    duck.change(T, ("c", {"id": 2, "a": "y"}), ("c", {"id": 3, "a": "5"}))
    duck.change(T, ("u", {"id": 1, "a": "4"}), ("d", {"id": 2}))
    duck.change(evolved(T, ID, replace(A, type=kind), B), ("c", {"id": 4}))
    assert duck.query("select id, a::integer from public.t order by id") == [(1, 4), (3, 5), (4, None)]


@pytest.mark.parametrize("kind", [pa.int32(), pa.json_(), pa.timestamp("us", "UTC"), pa.uuid()])
def test_type_change_of_values_that_do_not_convert_sets_the_table_aside(
    duck: Duck, kind: pa.DataType
) -> None:
    duck.change(evolved(T, ID, replace(A, type=kind), B), ("c", {"id": 2}))
    assert duck.rows("public.t", "id, a, b") == [(1, "x", 2)]
    assert "the stored values cannot be converted" in str(duck.logged)


def test_type_change_after_a_truncate_needs_no_conversion(duck: Duck) -> None:
    duck.change(evolved(T, ID, replace(A, type=pa.int32()), B), ("t", {}), ("r", {"id": 2, "a": 7}))
    assert duck.rows("public.t", "id, a") == [(2, 7)]


def test_renamed_table_moves_with_its_rows(duck: Duck) -> None:
    duck.change(evolved(T, table=TableId("other", 'Th"ing')), ("c", {"id": 2}))
    assert duck.rows('other."Th""ing"', "id") == [(1,), (2,)]
    with pytest.raises(Exception, match="does not exist"):
        duck.rows("public.t")


def test_tables_that_swap_names_keep_their_rows(duck: Duck) -> None:
    other = replace(T, table=TableId("public", "u"), relation=8)
    duck.change(other, ("c", {"id": 100}))
    duck.change(replace(T, table=TableId("public", "u")), ("c", {"id": 2}))
    duck.change(replace(other, table=TableId("public", "t")), ("c", {"id": 101}))
    assert duck.rows("public.u", "id") == [(1,), (2,)]
    assert duck.rows("public.t", "id") == [(100,), (101,)]


def test_table_created_again_takes_the_new_shape(duck: Duck) -> None:
    again = table("public.t", {"id": pa.string(), "c": pa.int32()}, relation=99)
    duck.change(again, ("t", {}), ("r", {"id": "k", "c": 1}))
    assert duck.rows("public.t", "id, c") == [("k", 1)]


def test_changed_key_is_used_from_then_on(duck: Duck) -> None:
    duck.change(evolved(T, key=("a",)), ("u", {"id": 5, "a": "x", "b": 6}), ("c", {"id": 1, "a": "y"}))
    assert duck.rows("public.t", "id, a, b") == [(1, "y", None), (5, "x", 6)]


def test_several_schema_versions_fit_into_one_delivery(duck: Duck) -> None:
    wider = evolved(T, ID, A, B, Column("c", pa.int32(), id=4))
    renamed = evolved(wider, ID, A, B, Column("d", pa.int32(), id=4))
    batches = [
        changes(T, [("c", {"id": 2})], start=1),
        changes(wider, [("c", {"id": 3, "c": 3})], start=2),
        changes(renamed, [("u", {"id": 2, "d": 4})], start=3),
    ]
    duck.apply(*batches)
    assert duck.rows("public.t", "id, d") == [(1, None), (2, 4), (3, 3)]


def test_freeze_leaves_the_table_and_counts_what_it_ignores(tmp_path: Path) -> None:
    duck = Duck(tmp_path, schema_changes="freeze")
    duck.change(T, ("c", ROW))
    duck.change(
        evolved(T, ID, replace(A, name="z"), Column("c", pa.int32(), id=4)),
        ("c", {"id": 2, "z": "y", "c": 1}),
    )
    assert duck.rows("public.t", "id, a, b") == [(1, "x", 2), (2, "y", None)]
    assert duck.counted == {"columns_ignored": 1}
    assert (
        "ignoring new columns (schema_changes: freeze)",
        {"table": "public.t", "columns": ["c"]},
    ) in duck.logged


def test_stop_refuses_and_names_the_change(tmp_path: Path) -> None:
    duck = Duck(tmp_path, schema_changes="stop")
    duck.change(T, ("c", ROW))
    with pytest.raises(SchemaChangeRefused) as caught:
        duck.change(evolved(T, ID, A, Column("c", pa.int32(), id=4)), ("c", {"id": 2}))
    assert str(caught.value) == (
        "public.t: the source's table changed (column 'b' was dropped; column 'c' was added) "
        "and schema_changes is stop. "
        "Set schema_changes to evolve or freeze for this sink, then run: cdc reload"
    )
    assert duck.rows("public.t", "id") == [(1,)]


@pytest.mark.parametrize("mode", ["append", "history"])
def test_dropped_column_stays_where_history_is_kept(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, mode=mode)
    duck.change(T, ("c", ROW))
    duck.change(evolved(T, ID, B, Column("a", pa.int32(), id=9)), ("c", {"id": 2, "a": 5}))
    assert duck.rows("public.t", "id, a, a__2, b") == [(1, None, "x", 2), (2, 5, None, None)]


FILLED = evolved(T, ID, A, B, Column("c", pa.int32(), id=4, fill=pa.scalar(7, pa.int32())))


def test_older_rows_and_images_of_a_changelog_get_the_fill_but_truncates_do_not(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    full = replace(T, identity="full")
    early = duck.change(full, ("t", {}), ("c", ROW), ("u", {"id": 1, "a": "y", "b": 3}, ROW), ("d", ROW))
    late = duck.change(replace(FILLED, identity="full"), ("c", {"id": 2, "c": None}), ("t", {}))
    expected = [
        ("t", None, None),
        ("c", 7, None),
        ("u", 7, 7),
        ("d", 7, None),
        ("c", None, None),
        ("t", None, None),
    ]
    wanted = "select _cdc_op, c, _cdc_before.c from public.t order by _cdc_seq"
    assert duck.query(wanted) == expected
    duck.rewind(0)
    duck.apply(early)
    duck.apply(late)
    assert duck.query(wanted) == expected


@pytest.mark.parametrize(
    ("mode", "policy"), [("append", "evolve"), ("history", "evolve"), ("mirror", "freeze")]
)
def test_rows_behind_a_dropped_column_do_not_get_its_fill(tmp_path: Path, mode: str, policy: str) -> None:
    duck = Duck(tmp_path, mode=mode, schema_changes=policy)
    early = [duck.change(T, ("c", ROW))] if policy == "evolve" else []
    # A frozen table has the columns of its first shape.
    made = [
        *early,
        duck.change(FILLED, ("c", {"id": 2, "c": 5})),
        duck.change(evolved(FILLED, ID, A, B), ("c", {"id": 3})),
        duck.change(evolved(FILLED, ID, A, B, Column("d", pa.int32(), id=5)), ("c", {"id": 4})),
    ]
    expected = [*[(1, 7)] * len(early), (2, 5), (3, None), (4, None)]
    assert duck.rows("public.t", "id, c") == expected
    duck.rewind(0)
    for batch in made:
        duck.apply(batch)
    assert duck.rows("public.t", "id, c") == expected


def test_a_history_that_an_earlier_version_began_gives_rows_behind_a_dropped_column_no_fill(
    tmp_path: Path,
) -> None:
    before = Duck(tmp_path, mode="history")
    before.change(T, ("c", ROW))
    before.change(FILLED, ("c", {"id": 2, "c": 5}))
    # It did not keep since when a table has a column.
    before.query("""update _cdc.tables set schema = regexp_replace(schema, ', "since": [0-9]+', '', 'g')""")
    before.sink.close()
    duck = Duck(tmp_path, mode="history", epoch=2)
    duck.next = before.next
    duck.change(evolved(FILLED, ID, A, B), ("c", {"id": 3}))
    assert duck.rows("public.t", "id, c") == [(1, 7), (2, 5), (3, None)]


def test_old_images_of_a_changelog_follow_the_shape(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    full = replace(T, identity="full")
    duck.change(full, ("u", {"id": 1, "a": "y", "b": 3}, ROW))
    wider = evolved(full, ID, replace(A, name='a"z'), Column("c", pa.int32(), id=4))
    duck.change(wider, ("u", {"id": 1, 'a"z': "w", "c": 1}, {"id": 1, 'a"z': "y", "c": None}))
    assert duck.query("select _cdc_before from public.t order by _cdc_seq") == [
        ({"b": 2, "id": 1, 'a"z': "x", "c": None},),
        ({"b": None, "id": 1, 'a"z': "y", "c": None},),
    ]


@pytest.mark.parametrize("mode", ["mirror", "append", "history"])
def test_replay_across_schema_changes_leaves_the_table_as_it_was(tmp_path: Path, mode: str) -> None:
    duck = Duck(tmp_path, mode=mode)
    wider = evolved(T, ID, A, B, Column("c", pa.int32(), id=4, fill=pa.scalar(7, pa.int32())))
    renamed = evolved(wider, ID, replace(A, name="z"), replace(B, type=pa.string()), wider.columns[3])
    dropped = evolved(renamed, ID, renamed.columns[1], renamed.columns[3])
    made = [
        duck.change(T, ("c", ROW), ("c", {"id": 2, "a": "q"}), ("d", {"id": 2}, None, ["a", "b"])),
        duck.change(wider, ("u", {"id": 1, "b": 3, "c": 4}, None, ["a"])),
        duck.change(
            renamed, ("u", {"id": 9, "b": "text", "c": 4}, {"id": 1}, ["z"]), ("c", {"id": 3, "z": "n"})
        ),
        duck.change(dropped, ("c", {"id": 4, "c": 1}), ("d", {"id": 3}, None, ["z", "c"])),
    ]
    columns, before = duck.columns("public.t"), duck.rows("public.t", "* exclude (_cdc_seq)")
    duck.rewind(0)
    for batch in made:
        duck.apply(batch)
    assert duck.columns("public.t") == columns
    assert duck.rows("public.t", "* exclude (_cdc_seq)") == before


def test_replay_over_an_earlier_table_of_the_same_name_leaves_the_present_one(duck: Duck) -> None:
    again = table("public.t", {"id": pa.string(), "c": pa.int32()}, relation=99)
    duck.change(again, ("t", {}), ("r", {"id": "k", "c": 1}))
    before = duck.rows("public.t")
    duck.rewind(0)
    duck.apply(changes(T, [("c", ROW)]), changes(again, [("t", {}), ("r", {"id": "k", "c": 1})], start=1))
    assert duck.rows("public.t") == before


def test_replay_brings_back_rows_that_were_deleted_by_hand(duck: Duck) -> None:
    batch = duck.change(T, ("c", {"id": 2, "a": "y"}), ("c", {"id": 3, "a": "z"}))
    before = duck.rows("public.t")
    duck.query("delete from public.t where id = 3")
    duck.again(batch)
    assert duck.rows("public.t") == before


def test_table_dropped_by_hand_is_made_again(duck: Duck) -> None:
    duck.query("drop table public.t")
    duck.sink.close()
    duck.sink.prepare("shop")
    duck.change(T, ("c", {"id": 2}))
    assert duck.rows("public.t", "id") == [(2,)]


def test_awkward_names_are_kept_verbatim(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    name = 'q"uo;te\n\x01é'
    schema = table(f"temp.{name}", {name: pa.int32(), "select": pa.string(), "{0}": pa.int32()}, relation=5)
    for home in ("temp", "warehouse", "main", "system"):
        schema = replace(schema, table=TableId(home, name), relation=None)
        duck.change(
            schema, ("c", {name: 1, "select": "s", "{0}": 1}), ("u", {name: 1, "{0}": 2}, None, ["select"])
        )
        quoted = name.replace('"', '""')
        assert duck.rows(f'warehouse."{home}"."{quoted}"', '"select", "{0}"') == [("s", 2)]


def test_a_table_without_rows_is_there_too(duck: Duck) -> None:
    empty = table("public.empty", {"id": pa.int32(), "u": pa.uuid(), "j": pa.json_()}, relation=70)
    duck.sink.apply(
        delivery([], first=duck.next, next=duck.next + 1, parts=lambda: iter([[changes(empty, [])]]))
    )
    assert list(duck.columns("public.empty")) == ["id", "u", "j"]
