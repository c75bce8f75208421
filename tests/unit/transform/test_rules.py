"""Names, records and what is said about entries that fit nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.model import TableId
from cdc.testing.events import table
from cdc.transform.findings import findings, whole_rows
from cdc.transform.record import difference, key_differs
from cdc.transform.routing import Route
from cdc.transform.rules import Rules, fingerprint
from cdc.transform.sealing import Seal, WrongKey
from cdc.transform.settings import TransformList

PARTS = st.text(st.sampled_from("ab_.\"' é"), min_size=1, max_size=6)


def rules(*entries: dict[str, Any], key: bytes | None = None) -> Rules:
    return Rules("shop", TransformList.model_validate({"transforms": entries}).transforms, fingerprint(key))


@given(
    PARTS,
    PARTS,
    st.sampled_from(
        ["raw.{schema}_{table}", "{schema}.x_{table}_y", "{table}.{schema}", '"a.b".{schema}{table}']
    ),
)
def test_a_routed_name_leads_back_to_its_table(schema: str, name: str, template: str) -> None:
    route = Route.parse(template, ["*.*"])
    origin = TableId(schema, name)
    assert origin in route.origins(route.target(origin))
    assert all(route.target(found) == route.target(origin) for found in route.origins(route.target(origin)))


def test_a_part_that_the_pattern_spells_out_may_be_left_out_of_the_template() -> None:
    route = Route.parse("raw.{table}", ["public.*", "!public.secret"])
    assert list(route.origins(TableId("raw", "orders"))) == [TableId("public", "orders")]
    with pytest.raises(ValueError, match=r"needs \{schema\}"):
        Route.parse("raw.{table}", ["public.*", "shop.*"])


def test_only_routed_tables_lead_back_to_another_name() -> None:
    found = rules({"table": ["public.*", "!public.kept"], "route": "raw.{table}"})
    assert list(found.origins(TableId("raw", "orders"))) == [
        TableId("raw", "orders"),
        TableId("public", "orders"),
    ]
    assert list(found.origins(TableId("public", "kept"))) == [TableId("public", "kept")]
    assert list(found.origins(TableId("public", "orders"))) == []
    assert list(found.origins(TableId("raw", "kept"))) == [TableId("raw", "kept")]


def record(*entries: dict[str, Any], key: bytes | None = b"k") -> str:
    return rules(*({"table": "a.t", **entry} for entry in entries), key=key).of(TableId("a", "t")).record()


def test_a_record_tells_what_changed_and_holds_no_text_of_a_condition() -> None:
    before = record({"mask": {"email": "hash", "note": "redact"}, "where": "email <> 'a@b.c'"})
    assert "a@b.c" not in before
    assert difference(before, before) == []
    assert difference("", before) == ["mask of email", "mask of note", "where"]
    assert difference(before, record({"mask": {"email": "hash"}, "where": "email <> 'a@b.c'"})) == [
        "mask of note"
    ]
    assert difference(before, "") == ["mask of email", "mask of note", "where"]
    other_key = record(
        {"mask": {"email": "hash", "note": "redact"}, "where": "email <> 'a@b.c'"}, key=b"other"
    )
    assert difference(before, other_key) == ["mask of email"]
    assert record({"route": "x.{table}"}) == ""


def test_a_key_differs_by_its_mask_and_by_its_name() -> None:
    hashed = record({"mask": {"id": "hash", "n": "hash"}})
    assert key_differs("", hashed, ["id"])
    assert not key_differs("", hashed, ["x"])
    renamed = record({"rename": {"id": "person"}})
    assert key_differs("", renamed, ["id"])
    assert key_differs(renamed, "", ["person"])
    assert not key_differs(renamed, record({"rename": {"id": "person"}, "mask": {"n": "hash"}}), ["person"])


def test_findings_name_patterns_and_columns_that_match_nothing() -> None:
    people = table("a.people", {"id": pa.int64(), "Email": pa.string()})
    found = rules(
        {"table": "a.*", "mask": {"email": "hash", "emial": "hash"}, "columns": {"exclude": ["phone"]}},
        {"table": "a.persons", "mask": {"email": "drop"}},
        key=b"k",
    )
    messages = [(f.code, f.message) for f in findings(found, [people], {people.table: None}, {}, None)]
    assert messages == [
        (
            "transforms-table",
            "sources.shop.transforms[1].table: 'a.persons' matches no table of the source, so nothing is"
            " masked or filtered by it",
        ),
        (
            "transforms-column",
            "sources.shop.transforms[0].columns.exclude: no table that the entry is for has a column 'phone'",
        ),
        (
            "transforms-column",
            "sources.shop.transforms[0].mask: no table that the entry is for has a column 'emial'",
        ),
        ("transforms", "transforms fit: 0 of 1 tables are changed"),
    ]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_sealed_text_opens_with_its_key_only(text: str) -> None:
    seal = Seal(b"key")
    sealed = seal.seal(text)
    assert seal.open(sealed) == text
    assert sealed.startswith("sealed:")
    assert seal.seal(text) != sealed
    with pytest.raises(WrongKey):
        Seal(b"other").open(sealed)
    with pytest.raises(WrongKey):
        seal.open(f"{sealed[:-4]}AAAA")


def test_a_text_from_before_there_was_a_key_is_open() -> None:
    assert Seal(b"key").open('{"schema": "app"}') == '{"schema": "app"}'


def test_the_remedy_for_old_rows_is_the_statement_of_the_source() -> None:
    class Database:
        def whole_rows_statement(self, table: TableId) -> str:
            return f"alter table {table} keep old rows"

    named = whole_rows(Database(), TableId("a", "people"))
    assert named.startswith("Have the source send whole old rows of a.people (alter table a.people keep old")
    assert whole_rows(None, TableId("a", "people")).startswith(
        "Have the source send whole old rows of a.people,"
    )
