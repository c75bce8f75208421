"""`where` on changes: what each kind of change becomes, by what is known of its old and new values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.model import ChangeBatch
from cdc.testing.events import changes, table
from cdc.testing.fold import fold
from cdc.transform.expression import Expression
from cdc.transform.filtering import RowFilter
from cdc.transform.rules import Where

COLUMNS = {"id": pa.int64(), "n": pa.int64(), "big": pa.string()}
KEYED = table("app.t", COLUMNS)
KEYLESS = table("app.t", COLUMNS, key=(), identity="full")


def filtered(batch: ChangeBatch, *where: str, fixed: bool = False) -> tuple[list[tuple[Any, ...]], bool]:
    rules = [Where("here", Expression.parse(text), fixed) for text in where]
    found = RowFilter(batch.schema, rules).apply(batch)
    names = [column.name for column in batch.schema.columns]
    rows = [
        (
            row["_cdc_op"],
            tuple(row[name] for name in names),
            row.get("_cdc_before") and {k: v for k, v in row["_cdc_before"].items() if v is not None},
            row.get("_cdc_unchanged"),
        )
        for row in found.batch.rows()
    ]
    return rows, found.has_holes


def row(id_: int, n: int | None = None, big: str | None = None) -> dict[str, Any]:
    return {"id": id_, "n": n, "big": big}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("r", row(1, 1)), "r"),
        (("r", row(1, 0)), ""),
        (("c", row(1, None)), ""),
        (("t", {}), "t"),
        # The old image is known.
        (("u", row(1, 1), row(1, 2)), "u"),
        (("u", row(1, 1), row(1, 0)), "c"),
        (("u", row(1, 0), row(1, 2)), "d"),
        (("u", row(1, 0), row(1, 0)), ""),
        (("u", row(1, 1), row(1, 0), ["big"]), "c!"),
        (("u", row(1, 1), row(1, 1), ["big"]), "u"),
        # Only the key is known, or nothing; a null is no knowledge.
        (("u", row(1, 1)), "u"),
        (("u", row(1, 0)), "d"),
        (("u", row(2, 1), {"id": 1}), "u"),
        (("u", row(1, 1), None, ["big"]), "u!"),
        (("u", row(1, 0), None, ["big"]), "d"),
        # The deciding value itself was not sent.
        (("u", row(1), None, ["n"]), "u!"),
        (("u", row(1), row(1, 1), ["n"]), "u"),
        (("u", row(1), row(1, 0), ["n"]), ""),
        # Deletes.
        (("d", row(1, 1)), "d"),
        (("d", row(1, 0)), ""),
        (("d", row(1), None, ["n", "big"]), "d"),
    ],
)
def test_a_change_becomes_what_the_mirror_needs(change: Any, expected: str) -> None:
    rows, has_holes = filtered(changes(KEYED, [change]), "n <> 0")
    assert "".join(op for op, *_ in rows) + "!" * has_holes == expected


def test_a_row_that_leaves_is_deleted_by_its_old_key() -> None:
    rows, _ = filtered(changes(KEYED, [("u", row(2, 0, "x"), {"id": 1})]), "n <> 0")
    assert rows == [("d", (1, None, None), None, ["n", "big"])]


def test_a_row_that_enters_under_a_new_key_is_an_insert() -> None:
    rows, _ = filtered(changes(KEYED, [("u", row(2, 5, "x"), row(1, 0, "x"))]), "n <> 0")
    assert rows == [("c", (2, 5, "x"), None, None)]


def test_a_condition_on_the_key_needs_no_old_image() -> None:
    batch = changes(KEYED, [("u", row(1, 1), None, ["big"]), ("u", row(9, 1), None, ["big"])])
    rows, has_holes = filtered(batch, "id < 5")
    assert [(op, values[0]) for op, values, *_ in rows] == [("u", 1)]
    assert not has_holes


def test_columns_that_never_change_decide_by_the_new_values() -> None:
    batch = changes(KEYED, [("u", row(1, 1), None, ["big"]), ("u", row(2, 0), None, ["big"])])
    rows, has_holes = filtered(batch, "n <> 0", fixed=True)
    assert [(op, values[0]) for op, values, *_ in rows] == [("u", 1)]
    assert not has_holes


def test_all_conditions_have_to_hold() -> None:
    batch = changes(KEYED, [("c", row(i, i, "x" if i % 2 else None)) for i in range(6)])
    rows, _ = filtered(batch, "n > 1", "big is not null")
    assert [values[0] for _, values, *_ in rows] == [3, 5]


def test_a_row_without_a_key_leaves_by_all_its_old_values() -> None:
    rows, _ = filtered(changes(KEYLESS, [("u", row(1, 0, "b"), row(1, None, "a"))]), "n is null")
    assert rows == [("d", (1, None, "a"), None, None)]


STEPS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(["put", "move", "delete"]),
        st.integers(1, 4),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=30,
)


@pytest.mark.parametrize("identity", ["full", "key", "keyless"])
@given(steps=STEPS, size=st.integers(1, 10))
def test_a_mirror_of_filtered_changes_is_the_filtered_table(
    identity: str, steps: list[Any], size: int
) -> None:
    """Whole new rows, and old images that are whole, keys only where they changed, or rows without a key."""
    schema = KEYLESS if identity == "keyless" else KEYED
    state: dict[int, dict[str, Any]] = {}
    events: list[Any] = []
    for key, kind, other, n in steps:
        old = state.get(key)
        if kind == "put" and old is None:
            state[key] = row(key, n, f"b{n}")
            events.append(("c", state[key]))
        elif old is not None and kind == "delete":
            del state[key]
            events.append(("d", old) if identity != "key" else ("d", row(key), None, ["n", "big"]))
        elif old is not None and (kind == "put" or other == key or other in state):
            state[key] = row(key, n, f"c{n}")
            events.append(("u", state[key], None if identity == "key" else old))
        elif old is not None:
            del state[key]
            state[other] = row(other, n, "moved")
            events.append(("u", state[other], {"id": key} if identity == "key" else old))
    rule = RowFilter(schema, [Where("here", Expression.parse("n <> 0"), False)])
    rows: list[Any] = []
    for start in range(0, len(events), size):
        found = rule.apply(changes(schema, events[start : start + size], start=start))
        assert not found.has_holes
        rows += found.batch.rows()
    expected = [one for one in state.values() if one["n"]]
    assert sorted(map(repr, fold(rows, schema.key))) == sorted(map(repr, expected))
