from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.kit.selection import entry_for, nearest, parse_table
from cdc.model import TableId
from cdc_source_postgres.options import select

ORDERS = TableId("public", "orders")
AUDIT = TableId("public", "audit_log")


def test_selection_takes_the_last_entry_that_matches() -> None:
    selection = select(["public.*", "!public.audit_*", "public.audit_log"])
    assert selection.matches(ORDERS)
    assert selection.matches(AUDIT)
    assert not selection.matches(TableId("public", "audit_2"))


def test_selection_compares_case_verbatim() -> None:
    selection = select(["public.Orders"])
    assert selection.matches(TableId("public", "Orders"))
    assert not selection.matches(ORDERS)


def test_selection_takes_quoted_parts_literally() -> None:
    selection = select(['"odd.schema"."a*"', 'public."say ""hi"""'])
    assert selection.matches(TableId("odd.schema", "a*"))
    assert not selection.matches(TableId("odd.schema", "abc"))
    assert selection.matches(TableId("public", 'say "hi"'))


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema", "pg_toast", "pg_temp_3"])
def test_selection_never_takes_system_schemas(schema: str) -> None:
    assert not select(["*.*"]).matches(TableId(schema, "t"))


def test_selection_knows_which_tables_are_named() -> None:
    selection = select(["public.*", "public.orders"])
    assert selection.names(ORDERS)
    assert not selection.names(AUDIT)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["orders"], "'orders' has no schema: write schema.table, such as public.orders"),
        (["!orders"], "'!orders' has no schema: write schema.table, such as !public.orders"),
        (
            ["a.b.c"],
            "'a.b.c' is not schema.table (put a part that holds a dot or a glob character in double quotes)",
        ),
        (["!public.*"], "the list selects nothing: begin it with a pattern such as public.*"),
        ([], "the list selects nothing: begin it with a pattern such as public.*"),
    ],
)
def test_selection_says_what_is_wrong(entries: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        select(entries)


def test_selection_names_entries_that_match_nothing() -> None:
    selection = select(["public.*", "shop.*", "public.ordres", "!public.gone"])
    assert selection.unmatched([ORDERS]) == ["shop.*", "public.ordres"]


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("public.ordres", "public.orders"),
        ("publik.orders", "public.orders"),
        ("public.ORDERS", "public.orders"),
        ("public.zzz", ""),
    ],
)
def test_nearest_table_is_by_name_not_by_schema(entry: str, hint: str) -> None:
    assert nearest(entry, [ORDERS, AUDIT]) == hint


@pytest.mark.parametrize("text", ["public.*", "!public.t", "t"])
def test_parse_table_refuses_what_is_not_one_table(text: str) -> None:
    with pytest.raises(ValueError, match="public"):
        parse_table(text)


_NAMES = st.text(min_size=1, max_size=12).filter(lambda name: "\x00" not in name)


@given(_NAMES, _NAMES)
def test_entry_for_a_table_parses_back_to_it(schema: str, name: str) -> None:
    table = TableId(schema, name)
    assert parse_table(entry_for(table)) == table


def test_a_selection_ignoring_case_matches_names_in_any_case_and_keeps_its_own_words() -> None:
    chosen = select(["App.Ord[EX]*", '!APP."Ord.Old"', "app.Exact"]).ignoring_case()
    assert chosen.matches(TableId("aPP", "ORDERS"))
    assert chosen.matches(TableId("app", "ordx"))
    assert not chosen.matches(TableId("app", "ord.old"))
    assert chosen.names(TableId("APP", "EXACT"))
    assert chosen.unmatched([TableId("App", "EXACT")]) == ["App.Ord[EX]*"]
    assert not select(["App.*"]).matches(TableId("app", "orders"))
