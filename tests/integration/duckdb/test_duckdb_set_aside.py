"""A table that the sink can't take is set aside; the others go on, and it comes back whole."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from cdc.errors import SchemaChangeRefused
from cdc.spi import SetAside
from cdc.testing.events import changes, table
from tests.support.ducks import Duck, evolved

T = table("public.t", {"id": pa.int32(), "v": pa.string()}, relation=1)
NUMBERS = evolved(T, T.columns[0], table("t", {"x": pa.int32(), "v": pa.int32()}).columns[1])
OTHER = table("public.other", {"id": pa.int32()}, relation=2)


def aside(duck: Duck) -> dict[str, SetAside]:
    return {str(one.table): one for one in duck.sink.set_aside("shop")}


def test_a_table_that_the_sink_did_not_make_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.query("create schema public")
    duck.query("create table public.t (id integer)")
    duck.sink.close()
    duck.sink.prepare("shop")
    duck.apply(changes(OTHER, [("c", {"id": 1})], seqs=[0]), changes(T, [("c", {"id": 1})], seqs=[1]))
    # The others go on, and the reason is kept over restarts.
    duck.sink.close()
    assert "table-set-aside" in [finding.code for finding in duck.sink.check()]
    duck.sink.prepare("shop")
    assert duck.rows("public.other", "id") == [(1,)]
    said = aside(duck)["public.t"]
    assert "the file has a table or view public.t that this sink did not create" in said.message
    assert (said.since, said.kind, said.deliverable) == (0, "SinkRefused", False)
    assert said.remedy
    assert ("skipping a table until its error is resolved", "public.t") in [
        (event, f.get("table")) for event, f in duck.logged
    ]
    # While the cause is there nothing helps; when it is gone, a copy does.
    assert not duck.sink.reconsider("shop", T)
    duck.change(T, ("t", None), ("c", {"id": 2}))
    assert "public.t" in aside(duck)
    duck.query("drop table public.t")
    duck.sink.close()
    again = Duck(tmp_path, epoch=2)
    again.next = duck.next
    assert again.sink.reconsider("shop", T)
    assert aside(again)["public.t"].deliverable
    again.change(T, ("c", {"id": 9}), ("t", None), ("r", {"id": 3}), ("c", {"id": 4}))
    assert again.rows("public.t", "id") == [(3,), (4,)]
    assert aside(again) == {}


def test_a_conversion_that_fails_sets_the_table_aside_until_it_is_copied(tmp_path: Path) -> None:
    duck = Duck(tmp_path)
    duck.change(T, ("c", {"id": 1, "v": "word"}))
    part = [
        changes(OTHER, [("c", {"id": 1})], seqs=[1]),
        changes(NUMBERS, [("c", {"id": 2, "v": 5})], seqs=[2]),
    ]
    duck.apply(*part)
    said = aside(duck)["public.t"]
    assert (said.since, said.kind, said.deliverable) == (1, "SchemaChangeRefused", True)
    assert "cannot be converted" in said.message
    assert said.remedy == "Copy it again: cdc snapshot shop public.t --sink warehouse"
    # What it held stays readable, as of its offset.
    assert duck.rows("public.t", "id, v") == [(1, "word")]
    assert duck.rows("public.other", "id") == [(1,)]
    duck.change(NUMBERS, ("u", {"id": 2, "v": 6}))
    assert duck.counted["changes_set_aside"] == 2
    duck.change(NUMBERS, ("t", None), ("r", {"id": 2, "v": 6}))
    assert duck.rows("public.t", "id, v") == [(2, 6)]
    assert aside(duck) == {}


def test_in_a_changelog_the_operator_makes_room_first(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    duck.change(T, ("c", {"id": 1, "v": "word"}))
    duck.change(NUMBERS, ("c", {"id": 2, "v": 5}))
    assert "Drop the table public.t" in aside(duck)["public.t"].remedy
    duck.change(NUMBERS, ("t", None), ("r", {"id": 2, "v": 6}))
    assert "public.t" in aside(duck)
    duck.query("drop table public.t")
    duck.sink.close()
    duck.sink.prepare("shop")
    duck.change(NUMBERS, ("t", None), ("r", {"id": 3, "v": 7}))
    assert (3, 7) in duck.rows("public.t", "id, v")
    assert aside(duck) == {}


def test_a_renamed_table_is_found_by_its_number(tmp_path: Path) -> None:
    duck = Duck(tmp_path, identifiers="fail")
    users = table("public.users", {"id": pa.int32()}, relation=1)
    capital = table("public.Users", {"id": pa.int32()}, relation=2)
    duck.change(users, ("c", {"id": 1}))
    duck.change(capital, ("c", {"id": 2}))
    members = table("public.members", {"id": pa.int32()}, relation=2, version=1)
    duck.change(members, ("c", {"id": 3}))
    said = aside(duck)
    assert list(said) == ["public.members"]
    assert said["public.members"].deliverable
    duck.change(members, ("t", None), ("r", {"id": 2}), ("r", {"id": 3}))
    assert duck.rows("public.members", "id") == [(2,), (3,)]


def test_a_replay_leaves_a_table_that_is_set_aside_alone(tmp_path: Path) -> None:
    duck = Duck(tmp_path, mode="append")
    first = duck.change(T, ("c", {"id": 1, "v": "word"}))
    duck.change(NUMBERS, ("c", {"id": 2, "v": 5}))
    duck.again(first)
    assert duck.rows("public.t", "id, v") == [(1, "word")]
    assert "public.t" in aside(duck)


def test_with_schema_changes_stop_the_sink_stops(tmp_path: Path) -> None:
    duck = Duck(tmp_path, schema_changes="stop")
    duck.change(T, ("c", {"id": 1, "v": "word"}))
    with pytest.raises(SchemaChangeRefused):
        duck.change(NUMBERS, ("c", {"id": 2, "v": 5}))
    assert aside(duck) == {}
