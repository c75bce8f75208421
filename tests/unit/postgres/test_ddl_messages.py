"""DDL messages: the form that the event trigger writes, and everything else that somebody may write."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_source_postgres.schema.ddl_messages import DdlReport, Malformed, parse_report, whole_definition
from cdc_source_postgres.schema.definition import Definition, Node


def column(number: int, name: str, missing: Any = None) -> list[Any]:
    return [number, name, 23, -1, 0, 0, "", "", False, missing, "700", ""]


def table(*columns: list[Any], **values: Any) -> dict[str, Any]:
    return {
        "relid": 16400,
        "schema": "public",
        "namespace": 2200,
        "name": "t",
        "kind": "r",
        "persistence": "p",
        "identity": "d",
        "attributes": 9,
        "ancestors": None,
        "columns": list(columns),
        "keys": None,
        "file": 16500,
        "toast": 0,
        **values,
    }


def message(**values: Any) -> str:
    return json.dumps({"form": 1, "event": "ddl_command_end", "tag": "ALTER TABLE", **values})


def test_a_report_gives_what_its_message_says() -> None:
    assert parse_report(message(dropped=[1, 2], look=True)) == DdlReport(dropped=(1, 2), look=True)
    assert parse_report(message(rewritten=3, reason=4)) == DdlReport(rewritten=3, reason=4)
    assert parse_report(message(unknown=[5], many=True)) == DdlReport(unknown=(5,), many=True)
    described = table(column(1, "id"), column(2, "c", "{7}"), column(3, "d", False))
    assert parse_report(message(tables=[described])).tables == (described,)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"form": 2}',
        "[" * 100_000,
        message(tables=5),
        message(tables=[{}]),
        message(tables=[table(column(1, "id")[:5])]),
        message(tables=[table([1, None, *column(1, "id")[2:]])]),
        message(tables=[table(column(1, "id", 5))]),
        message(tables=[table(relid="x")]),
        message(tables=[table(keys=[[True]])]),
        message(unknown=["x"]),
        message(rewritten="x"),
        message(reason=None, rewritten=1),
    ],
)
def test_what_the_trigger_cannot_have_written_is_malformed(content: str) -> None:
    with pytest.raises(Malformed):
        parse_report(content)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.sampled_from(sorted(table())), inner),
    max_leaves=40,
)


@given(
    st.dictionaries(st.sampled_from(["tables", "unknown", "dropped", "rewritten", "reason", "look"]), _JSON)
)
def test_no_message_raises_anything_but_malformed(values: dict[str, Any]) -> None:
    with contextlib.suppress(Malformed):
        parse_report(message(**values))


def test_a_brief_definition_takes_tree_and_untold_values_from_what_is_known() -> None:
    tree = [[16400, 0, "r", "p", 16400, 0, "", ""]]
    before = Definition.parse({**table(column(1, "id"), column(2, "e", "{a}")), "tree": tree, "types": None})
    told = table(column(1, "id"), column(2, "e", False), column(3, "new", False))
    assert whole_definition(told, before, None) is None
    now = Definition.parse({**table(column(3, "renamed since", "{b}")), "tree": tree, "types": None})
    found = whole_definition(told, before, now)
    assert found is not None
    assert [c.missing for c in found.columns] == [None, "{a}", "{b}"]
    assert found.tree == (Node(16400, 0, "r", "p", 16500, 0, "", ""),)
