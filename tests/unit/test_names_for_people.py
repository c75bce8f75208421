from __future__ import annotations

import pytest

from cdc.model import TableId
from cdc.names import printable, shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("orders", "orders"),
        ("Users", "Users"),
        ("größe", "größe"),
        ("shop-eu", "shop-eu"),
        ("a.b", '"a.b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two words", '"two words"'),
        ("line\nbreak", '"line\\nbreak"'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        ("turned\u202eround", '"turned\\u202eround"'),
        ("back\\slash", '"back\\slash"'),
        ("back\\slash\n", '"back\\\\slash\\n"'),
        ("", '""'),
    ],
)
def test_names_are_quoted_where_they_could_be_misread(name: str, text: str) -> None:
    assert shown(name) == text


def test_tables_whose_parts_hold_dots_are_told_apart() -> None:
    assert str(TableId("a.b", "c")) == '"a.b".c'
    assert str(TableId("a", "b.c")) == 'a."b.c"'
    assert str(TableId("public", "orders")) == "public.orders"


def test_text_keeps_only_the_line_breaks_that_are_meant() -> None:
    assert printable("one\ntwo\x1b[2J", keep="\n") == "one\ntwo\\x1b[2J"
