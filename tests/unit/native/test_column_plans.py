from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import UnsupportedSchema
from cdc_source_postgres.schema.type_catalog import BASE, OID_OF, PgType, TypeCatalog
from cdc_source_postgres.schema.type_plan import ColumnPlan, plan_column

ARRAY_OF = {name: array_oid for name, _, array_oid in BASE}
GEOMETRY, CUBE, CUBES, HOLDER, WITH_CUBE, SELF = range(20_001, 20_007)


def catalog() -> TypeCatalog:
    known = TypeCatalog()
    known.add(
        [
            PgType(GEOMETRY, "geometry", "public", "b"),
            PgType(CUBE, "cube", "public", "b"),
            PgType(CUBES, "_cube", "public", "b", element=CUBE),
            PgType(HOLDER, "holder", "public", "c", fields=(("a", OID_OF["int4"], -1),)),
            PgType(WITH_CUBE, "with_cube", "public", "c", fields=(("a", CUBE, -1),)),
            PgType(SELF, "self", "public", "d", base=SELF),
        ]
    )
    return known


def plan(oid: int, policy: str = "error", ndims: int = 0) -> ColumnPlan:
    return plan_column("c", oid, -1, ndims, catalog(), policy)


def test_unknown_type_is_refused() -> None:
    with pytest.raises(UnsupportedSchema) as caught:
        plan(99_999)
    assert str(caught.value).startswith("column c: its type (oid 99999) is not supported.")


@pytest.mark.parametrize(
    ("oid", "arrow", "text_only", "needs_text_stream"),
    [
        (GEOMETRY, pa.binary(), False, False),
        (CUBE, pa.string(), True, True),
        (CUBES, pa.list_(pa.string()), True, True),
        (HOLDER, pa.string(), False, False),
        (WITH_CUBE, pa.string(), True, True),
        # The server sends it as text even in a binary stream, but stops at an array of it.
        (OID_OF["aclitem"], pa.string(), True, False),
        (ARRAY_OF["aclitem"], pa.list_(pa.string()), True, True),
        (SELF, pa.string(), True, True),
    ],
)
def test_types_without_a_readable_binary_form_are_marked(
    oid: int, arrow: Any, text_only: bool, needs_text_stream: bool
) -> None:
    found = plan(oid)
    assert (found.arrow, found.text_only, found.needs_text_stream) == (arrow, text_only, needs_text_stream)


@pytest.mark.parametrize("name", ["date", "time", "timestamp", "timestamptz"])
def test_string_policy_turns_what_may_be_unrepresentable_to_text(name: str) -> None:
    assert plan(OID_OF[name], "string").arrow == pa.string()
    assert plan(OID_OF[name], "null").arrow != pa.string()
    assert plan(ARRAY_OF[name], "string").arrow == pa.string()
    assert not plan(ARRAY_OF[name], "string").text_only


def test_array_nests_to_its_declared_dimensions() -> None:
    assert plan(ARRAY_OF["int4"], ndims=3).arrow == pa.list_(pa.list_(pa.list_(pa.int32())))
    assert plan(ARRAY_OF["int4"]).arrow == pa.list_(pa.int32())


def test_geometry_in_text_form_is_hexadecimal() -> None:
    from cdc.native.unrepresentable import UnrepresentablePolicy
    from cdc_source_postgres.wire.parse.text import convert_texts

    codec = plan(GEOMETRY).codec
    assert convert_texts(codec, [b"0101000000"], UnrepresentablePolicy("error")).to_pylist() == [
        b"\1\1\0\0\0"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", b"2021-02-29"),
        ("date", b"0000-01-01"),
        ("date", b"2021-13-01"),
        ("date", b"2021-1-1"),
        ("time", b"12:60:00"),
        ("time", b"24:00:01"),
        ("timestamp", b"2021-01-01 00:00:60"),
        ("timestamp", b"2021-01-01 00:00:00+00"),
        ("timestamptz", b"2021-01-01 00:00:00+01"),
        ("timestamptz", b"2021-01-01 00:00:00"),
        ("numeric", b"1,5"),
        ("money", "€1.00".encode()),
        ("bytea", b"\\x0"),
        ("bytea", b"\\x0 0"),
        ("uuid", b"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ("bool", b"true"),
        ("int2", b"32768"),
        ("xid8", b"-1"),
        ("float4", b"1e39"),
        ("float8", b"1_0"),
    ],
)
def test_text_that_the_server_never_writes_is_refused(name: str, text: bytes) -> None:
    from cdc.native.unrepresentable import UnrepresentablePolicy
    from cdc_source_postgres.wire.parse.text import TextError, convert_texts

    typmod = (4 << 16 | 2) + 4 if name == "numeric" else -1
    codec = plan_column("c", OID_OF[name], typmod, 0, catalog(), "error").codec
    with pytest.raises(TextError) as caught:
        convert_texts(codec, [text], UnrepresentablePolicy("error"))
    assert caught.value.cause.message.startswith(("text that is not", "a time of day"))
