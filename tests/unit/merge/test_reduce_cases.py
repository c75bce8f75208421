"""The cases by name that the property test meets by chance."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import DecodeError
from cdc.merge import Reduced, multiset_delta, reduce_batches, segments
from cdc.model import ChangeBatch
from cdc.testing.events import changes, table

T = table("public.t", {"id": pa.int32(), "v": pa.string(), "big": pa.string()})


def row(key: int, v: str | None = None, big: str | None = None) -> dict[str, Any]:
    return {"id": key, "v": v, "big": big}


def reduced(*steps: Any) -> Reduced:
    return reduce_batches([changes(T, steps)])


def upserts(result: Reduced) -> list[tuple[Any, ...]]:
    return [(r["id"], r["v"], r["big"]) for r in result.upserts.table.to_pylist()]


def deletes(result: Reduced) -> list[int]:
    return sorted(r["id"] for r in result.deletes.table.to_pylist())


def holes(result: Reduced) -> list[tuple[int, int, list[str]]]:
    """(key of the row, key under which the stored row has the value, columns)."""
    found = result.upserts.holes
    if found is None:
        return []
    ids = result.upserts.table["id"].to_pylist()
    bases = found.base["id"].to_pylist()
    return [
        (ids[position], bases[i], [n for n, mask in found.missing.items() if mask[i]])
        for i, position in enumerate(found.rows.tolist())
    ]


def test_insert_update_delete_of_one_key_ends_as_a_delete() -> None:
    result = reduced(("c", row(1, "a")), ("u", row(1, "b")), ("d", row(1)))
    assert (upserts(result), deletes(result)) == ([], [1])


def test_delete_then_insert_again_ends_as_the_new_row() -> None:
    result = reduced(("d", row(1), None, ["v", "big"]), ("c", row(1, "new", "B")))
    assert (upserts(result), deletes(result), holes(result)) == ([(1, "new", "B")], [], [])


def test_key_swap_exchanges_the_unchanged_values_of_the_stored_rows() -> None:
    a_to_c = ("u", row(3, "a"), {"id": 1}, ["big"])
    b_to_a = ("u", row(1, "b"), {"id": 2}, ["big"])
    c_to_b = ("u", row(2, "a"), {"id": 3}, ["big"])
    result = reduced(a_to_c, b_to_a, c_to_b)
    assert deletes(result) == [3]
    assert sorted(holes(result)) == [(1, 2, ["big"]), (2, 1, ["big"])]


def test_key_swap_with_all_values_sent_leaves_no_hole() -> None:
    result = reduced(
        ("u", row(3, "a", "A"), {"id": 1}),
        ("u", row(1, "b", "B"), {"id": 2}),
        ("u", row(2, "a"), {"id": 3}, ["big"]),
    )
    assert upserts(result) == [(1, "b", "B"), (2, "a", "A")]
    assert (deletes(result), holes(result)) == ([3], [])


def test_unchanged_value_follows_its_row_through_a_chain_of_keys() -> None:
    moves = [("u", row(k + 1, "x"), {"id": k}, ["big"]) for k in range(1, 50)]
    result = reduced(("u", row(1, "x", "payload")), *moves)
    assert upserts(result) == [(50, "x", "payload")]
    assert deletes(result) == list(range(1, 50))


def test_unchanged_value_from_before_a_reused_key_is_not_taken() -> None:
    """Key 1 leaves for 2 and another row comes to 1: its value must not be the first row's."""
    result = reduced(
        ("u", row(2, "x"), {"id": 1}, ["big"]),
        ("u", row(1, "y"), {"id": 7}, ["big"]),
        ("u", row(1, "z"), None, ["big"]),
    )
    assert holes(result) == [(2, 1, ["big"]), (1, 7, ["big"])]


def test_old_image_with_the_same_key_is_no_key_change() -> None:
    full = table("public.t", {"id": pa.int32(), "v": pa.string()}, identity="full")
    result = reduce_batches([changes(full, [("u", {"id": 1, "v": "b"}, {"id": 1, "v": "a"})])])
    assert result.upserts.table.num_rows == 1
    assert result.deletes.table.num_rows == 0


def test_truncate_drops_what_stood_before_it() -> None:
    result = reduced(("c", row(1)), ("t", {}), ("c", row(2, "b")))
    assert (result.truncated_at, upserts(result), deletes(result)) == (1, [(2, "b", None)], [])


def test_truncate_alone_reduces_to_nothing_else() -> None:
    result = reduced(("c", row(1)), ("t", {}))
    assert result.truncated
    assert (upserts(result), deletes(result)) == ([], [])


def test_segments_keep_the_changes_between_truncates() -> None:
    made = segments([changes(T, [("c", row(1)), ("t", {}), ("t", {}), ("c", row(2)), ("c", row(3))])])
    assert [(s.truncated_at, sum(b.row_count for b in s.batches)) for s in made] == [
        (None, 1),
        (1, 0),
        (2, 2),
    ]


def test_null_parts_of_a_key_are_equal() -> None:
    schema = table("public.t", {"a": pa.int32(), "b": pa.string(), "v": pa.int32()}, key=("a", "b"))
    steps = [
        ("c", {"a": 1, "b": None, "v": 1}),
        ("u", {"a": 1, "b": None, "v": 2}),
        ("c", {"a": 1, "b": "", "v": 3}),
    ]
    result = reduce_batches([changes(schema, steps)])
    assert result.upserts.table["v"].to_pylist() == [2, 3]


KEYS: dict[str, tuple[pa.DataType, Any, Any]] = {
    "uuid": (pa.uuid(), b"a" * 16, b"b" * 16),
    "json": (pa.json_(), "1", "2"),
    "list": (pa.list_(pa.list_(pa.int32())), [[1], []], [[1], None]),
    "struct": (pa.struct([("x", pa.int8())]), {"x": 1}, None),
    "decimal256": (pa.decimal256(60, 2), 1, 2),
    "binary": (pa.binary(), b"\0", b""),
    "timestamp": (pa.timestamp("us", "UTC"), 1, 2),
    "float": (pa.float64(), float("nan"), 0.0),
    "bool": (pa.bool_(), True, False),
}


@pytest.mark.parametrize("kind", KEYS)
def test_key_of_any_type_tells_rows_apart(kind: str) -> None:
    arrow, one, other = KEYS[kind]
    schema = table("public.t", {"k": arrow, "v": pa.int32()}, key=("k",))
    steps = [("c", {"k": one, "v": 1}), ("c", {"k": other, "v": 2}), ("u", {"k": one, "v": 3})]
    result = reduce_batches([changes(schema, steps)])
    assert result.upserts.table["v"].to_pylist() == [2, 3]


def test_batches_of_one_call_may_differ_in_optional_columns() -> None:
    batches: list[ChangeBatch] = [
        changes(T, [("c", row(1, "a", "A"))]),
        changes(T, [("u", row(1, "b"), None, ["big"])], start=1),
        changes(T, [("u", row(2, "c"), {"id": 1}, ["big"])], start=2),
    ]
    result = reduce_batches(batches)
    assert (upserts(result), deletes(result)) == ([(2, "c", "A")], [1])


def test_update_without_old_image_of_a_keyless_table_is_refused() -> None:
    keyless = table("public.t", {"v": pa.int32()}, key=(), identity="full")
    with pytest.raises(DecodeError, match="carries no old image"):
        multiset_delta([changes(keyless, [("u", {"v": 1})])])


def test_additions_and_removals_of_a_keyless_table_are_kept_apart() -> None:
    keyless = table("public.t", {"v": pa.list_(pa.int32())}, key=(), identity="full")
    one, two = {"v": [1]}, {"v": [1, None]}
    steps = [("c", one), ("d", one), ("u", two, one), ("c", two)]
    delta = multiset_delta([changes(keyless, steps)])
    assert delta.added["v"].to_pylist() == [[1], [1, None], [1, None]]
    assert delta.removed["v"].to_pylist() == [[1], [1]]
