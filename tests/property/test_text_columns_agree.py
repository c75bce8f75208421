"""The fast way for whole columns of text gives what the careful way gives value by value, or leaves it to
that.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import CdcError
from cdc.native.columns_python import build_array
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_postgres.schema.type_catalog import OID_OF
from cdc_source_postgres.wire.parse.columns import convert_column
from cdc_source_postgres.wire.parse.text import parser
from tests.support.plain_arrow import plain
from tests.support.postgres import frames

DATES = st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", fullmatch=True)
CLOCKS = st.from_regex(r"[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?", fullmatch=True)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,4})?", fullmatch=True)
NUMERIC = (OID_OF["numeric"], (12 << 16 | 2) + 4, 0)
WHOLE = st.integers(-(2**65), 2**65).map(str)
STRANGE = st.sampled_from(["", "1 ", "+1", "0x1", "1e5", "NaN", "nan", "inf", "true", "1_0", "24:00:00", "²"])
CASES: list[tuple[Any, st.SearchStrategy[str]]] = [
    (OID_OF["bool"], st.sampled_from(["t", "f"])),
    *(
        (OID_OF[name], WHOLE | st.integers(-40_000, 40_000).map(str))
        for name in ("int2", "int4", "int8", "oid", "xid8")
    ),
    (OID_OF["float8"], FLOATS.map(repr)),
    (OID_OF["float4"], st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr)),
    (NUMERIC, NUMBERS),
    (OID_OF["date"], DATES),
    (OID_OF["time"], CLOCKS),
    (OID_OF["timestamp"], st.tuples(DATES, CLOCKS).map(" ".join)),
    (OID_OF["timestamptz"], st.tuples(DATES, CLOCKS).map(lambda parts: " ".join(parts) + "+00")),
    (OID_OF["uuid"], st.uuids().map(str)),
    (OID_OF["bytea"], st.binary(max_size=9).map(lambda value: f"\\x{value.hex()}")),
]


def careful(codec: Any, values: list[bytes]) -> Any:
    parse = parser(codec, UnrepresentablePolicy("error"))
    try:
        return plain(build_array(codec.arrow, [parse(value.decode()) for value in values]))
    except CdcError:
        return None


@pytest.mark.parametrize(("type_", "texts"), CASES, ids=lambda value: str(value)[:20])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fast_column_equals_careful_values(
    type_: Any, texts: st.SearchStrategy[str], data: st.DataObject
) -> None:
    [plan] = frames.plans(type_)
    mixed = data.draw(st.booleans())
    drawn = data.draw(st.lists(texts | STRANGE if mixed else texts, min_size=1, max_size=4))
    values = [text.encode() for text in drawn]
    fast = convert_column(plan.codec, values)
    if fast is not None:
        assert plain(fast) == careful(plan.codec, values)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (OID_OF["bool"], "t"),
        (OID_OF["int2"], "-32768"),
        (OID_OF["float4"], "1.5"),
        (NUMERIC, "-12.5"),
        (OID_OF["date"], "2020-02-29"),
        (OID_OF["time"], "01:02:03.4"),
        (OID_OF["timestamptz"], "2020-02-29 01:02:03.4+00"),
        (OID_OF["timestamp"], "2020-02-29 01:02:03"),
        (OID_OF["uuid"], "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (OID_OF["bytea"], "\\x00ff"),
    ],
)
def test_ordinary_columns_take_the_fast_way(type_: Any, text: str) -> None:
    [plan] = frames.plans(type_)
    fast = convert_column(plan.codec, [text.encode()] * 3)
    assert fast is not None
    assert plain(fast) == careful(plan.codec, [text.encode()] * 3)
