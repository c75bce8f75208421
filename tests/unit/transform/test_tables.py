"""All rules of a table together: schemas, rows, old images and unknown values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import ConfigError, UnsupportedSchema
from cdc.model import ChangeBatch, TableId, TableSchema
from cdc.testing.events import changes, table
from cdc.transform.masks import KeyedHash
from cdc.transform.rules import Rules
from cdc.transform.settings import TransformList
from cdc.transform.tables import TableTransform
from tests.unit.transform.hooks_of_others import SECRET

KEY = KeyedHash(b"k" * 32)
HOOKS = "tests.unit.transform.hooks_of_others"
COLUMNS = {"id": pa.int64(), "email": pa.string(), "note": pa.string(), "n": pa.int32()}
PEOPLE = table("app.people", COLUMNS)


def rules(*entries: dict[str, Any]) -> Rules:
    made = TransformList.model_validate({"transforms": [{"table": "app.*", **entry} for entry in entries]})
    return Rules("shop", made.transforms)


def transform(*entries: dict[str, Any], schema: TableSchema = PEOPLE) -> TableTransform:
    found = rules(*entries)
    return TableTransform(schema, found.target(schema.table), found.of(schema.table), KEY)


def rows(batch: ChangeBatch) -> list[dict[str, Any]]:
    shown = ("_cdc_op", "_cdc_before", "_cdc_unchanged")
    return [{k: v for k, v in row.items() if not k.startswith("_cdc_") or k in shown} for row in batch.rows()]


def apply(made: TableTransform, *given: Any, schema: TableSchema = PEOPLE) -> list[dict[str, Any]]:
    found = made.apply(changes(schema, given)).batch
    assert found.schema is made.target
    assert found.data.schema.names[: len(made.target.columns)] == made.target.arrow.names
    assert [f.type for f in found.data.schema][: len(made.target.columns)] == [
        c.type for c in made.target.columns
    ]
    return rows(found)


def row(id_: int, email: str | None = None, note: str | None = None, n: int | None = None) -> dict[str, Any]:
    return {"id": id_, "email": email, "note": note, "n": n}


def test_columns_are_left_out_masked_and_renamed_in_rows_and_old_images() -> None:
    made = transform(
        {"mask": {"EMAIL": {"keep_last": 1}, "note": "drop"}, "rename": {"email": "mail", "id": "person"}},
        {"route": "crm.{table}"},
    )
    assert made.target.table == TableId("crm", "people")
    assert made.target.key == ("person",)
    assert [(c.name, c.source_type) for c in made.target.columns] == [
        ("person", "int64"),
        ("mail", "keep_last"),
        ("n", "int32"),
    ]
    found = apply(
        made,
        ("c", row(1, "ab@c", "x", 5)),
        ("u", row(1, None, None, 6), row(1, "ab@c", "x", 5), ["email", "note"]),
        ("u", row(1, "q", None, 6), None, ["note"]),
        ("d", row(1), None, ["email", "note", "n"]),
    )
    assert found == [
        {"person": 1, "mail": "***c", "n": 5, "_cdc_op": "c", "_cdc_before": None, "_cdc_unchanged": None},
        {
            "person": 1,
            "mail": None,
            "n": 6,
            "_cdc_op": "u",
            "_cdc_before": {"person": 1, "mail": "***c", "n": 5},
            "_cdc_unchanged": ["mail"],
        },
        {"person": 1, "mail": "***", "n": 6, "_cdc_op": "u", "_cdc_before": None, "_cdc_unchanged": None},
        {
            "person": 1,
            "mail": None,
            "n": None,
            "_cdc_op": "d",
            "_cdc_before": None,
            "_cdc_unchanged": ["mail", "n"],
        },
    ]


def test_a_hashed_key_is_the_same_in_rows_old_images_and_deletes() -> None:
    made = transform({"mask": {"id": "hash"}})
    inserted, moved, deleted = apply(
        made, ("c", row(1)), ("u", row(2), {"id": 1}), ("d", row(2), None, ["email", "note", "n"])
    )
    assert made.target.column("id").type == pa.string()
    assert moved["_cdc_before"]["id"] == inserted["id"]
    assert moved["id"] == deleted["id"] != inserted["id"]


def test_the_default_of_an_added_column_is_masked() -> None:
    columns = tuple(
        replace(column, fill=pa.scalar("clear", pa.string())) if column.name in ("email", "note") else column
        for column in PEOPLE.columns
    )
    schema = replace(PEOPLE, columns=columns)
    made = transform({"mask": {"email": "hash", "note": "redact"}}, schema=schema)
    fills = {column.name: column.fill for column in made.target.columns}
    assert fills["email"] == pa.scalar(KEY.digest(b"clear").hex())
    assert fills["note"] == pa.scalar("REDACTED")


def test_later_entries_win_and_includes_add_up() -> None:
    made = transform(
        {"mask": {"email": "hash", "n": "redact"}},
        {"table": "app.people", "mask": {"email": "drop"}, "columns": {"include": ["id", "email", "N"]}},
    )
    assert [(c.name, c.source_type) for c in made.target.columns] == [("id", "int64"), ("n", "redact")]


@pytest.mark.parametrize("operation", ["t", "none"])
def test_truncates_and_empty_batches_pass(operation: str) -> None:
    made = transform({"where": "n > 1", "mask": {"email": "hash"}, "rename": {"n": "m"}})
    given: list[Any] = [("t", {})] if operation == "t" else []
    found = apply(made, *given)
    assert [one["_cdc_op"] for one in found] == ["t"] * len(given)


def test_a_condition_sees_what_a_mask_hides() -> None:
    made = transform({"where": "email like '%@example.com'", "mask": {"email": "drop"}})
    found = apply(made, ("c", row(1, "a@example.com")), ("c", row(2, "a@example.org")))
    assert [one["id"] for one in found] == [1]


def test_a_hook_adds_and_leaves_out_columns_and_what_it_returns_is_masked() -> None:
    made = transform({"python": f"{HOOKS}:domain", "mask": {"email": "drop", "domain": {"truncate": 3}}})
    assert [c.name for c in made.target.columns] == ["id", "n", "domain"]
    found = apply(
        made,
        ("c", row(1, "a@example.com", "x", 1)),
        ("u", row(2, "b@other.org", "x", 1), row(1, "a@example.com")),
        ("d", row(2, "b@other.org"), None, ["note"]),
    )
    assert [(one["id"], one["domain"], one["_cdc_unchanged"]) for one in found] == [
        (1, "exa", None),
        (2, "oth", None),
        (2, None, ["n", "domain"]),
    ]
    assert found[1]["_cdc_before"] == {"id": 1}


def test_an_update_that_lacks_values_is_not_half_computed_by_a_hook() -> None:
    made = transform({"python": f"{HOOKS}:upper"})
    assert made.apply(changes(PEOPLE, [("u", row(1, "a", None, 1), None, ["note"])])).has_holes
    assert not made.apply(changes(PEOPLE, [("d", row(1), None, ["email", "note", "n"])])).has_holes


def test_a_hook_is_called_with_whole_old_rows_where_there_is_no_key() -> None:
    schema = table("app.people", COLUMNS, key=(), identity="full")
    made = transform({"python": f"{HOOKS}:upper"}, schema=schema)
    found = apply(
        made, ("u", row(1, "a", "new", 1), row(1, "a", "old", 1)), ("d", row(1, "a", "new", 1)), schema=schema
    )
    assert [(one["note"], one["_cdc_before"] and one["_cdc_before"]["note"]) for one in found] == [
        ("NEW", "OLD"),
        ("NEW", None),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", "raised ValueError at hooks_of_others.py:"),
        ("fails_in_a_library", "raised JSONDecodeError at hooks_of_others.py:"),
        ("drops_rows", "returned 1 rows for 2"),
        ("returns_a_table", "returned Table, not a pyarrow.RecordBatch"),
        ("changes_the_key", "changes the column 'id'"),
        ("drops_the_key", "changes the column 'id'"),
        ("other_columns", "returned other columns than for a batch without rows"),
    ],
)
def test_a_wrong_hook_is_named_with_its_table_and_never_with_values(name: str, reason: str) -> None:
    with pytest.raises(UnsupportedSchema) as raised:
        apply(transform({"python": f"{HOOKS}:{name}"}), ("c", row(1, SECRET)), ("c", row(2, SECRET)))
    assert reason in raised.value.message
    assert raised.value.where == "sources.shop.transforms[0].python: app.people"
    assert f"the hook {HOOKS}:{name} " in raised.value.message
    assert SECRET not in repr([raised.value, raised.value.__cause__])
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("path", ["no_such_module:f", f"{HOOKS}:missing", f"{HOOKS}:NOT_A_FUNCTION"])
def test_a_hook_that_is_not_there_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError) as raised:
        transform({"python": path})
    assert raised.value.where == "sources.shop.transforms[0].python"


@pytest.mark.parametrize(
    ("entry", "where", "reason"),
    [
        ({"mask": {"id": "drop"}}, "transforms[0].mask.id", "is part of the key"),
        ({"mask": {"id": "redact"}}, "transforms[0].mask.id", "two rows could become one"),
        ({"mask": {"id": {"truncate": 2}}}, "transforms[0].mask.id", "two rows could become one"),
        ({"columns": {"exclude": ["ID"]}}, "transforms[0].columns.exclude", "is part of the key"),
        ({"columns": {"include": ["n"]}}, "transforms[0].columns.include", "is part of the key"),
        ({"mask": {"n": "tokenise"}}, "transforms[0].mask.n", "works on texts"),
        ({"rename": {"n": "note"}}, "transforms[0].rename.n", "is the name of two columns"),
        ({"rename": {"n": "_cdc_seq"}}, "transforms[0].rename.n", "is reserved"),
    ],
)
def test_a_rule_that_does_not_fit_is_named_with_its_remedy(
    entry: dict[str, Any], where: str, reason: str
) -> None:
    with pytest.raises(UnsupportedSchema, match=reason) as raised:
        transform(entry)
    assert where in raised.value.where
    assert "app.people" in raised.value.where
    assert raised.value.remedy


def test_all_columns_that_a_rule_does_not_fit_are_named_at_once() -> None:
    schema = table("app.people", {"id": pa.uuid(), "seen": pa.bool_(), "mail": pa.uuid()})
    with pytest.raises(UnsupportedSchema) as raised:
        transform({"mask": {"id": "redact", "seen": {"keep_last": 2}, "mail": "tokenise"}}, schema=schema)
    assert raised.value.where == "app.people"
    problems = raised.value.message.split("; ")
    assert [one.partition(": ")[0].rpartition(".")[2] for one in problems] == ["seen", "mail", "id"]
    assert problems[0].startswith("sources.shop.transforms[0].mask.seen: keep_last works on texts")
    assert problems[1] == "sources.shop.transforms[0].mask.mail: tokenise works on texts, not on uuid"
    assert raised.value.remedy.count("Use hash, redact or drop instead.") == 1
