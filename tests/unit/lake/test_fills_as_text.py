"""Every fill comes back from what a file tells of it, to the bit; nearly all are plain text."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.lake.fills import ARROW_FORM, fill_of, fills_as_json, json_of_fill
from cdc.model import Column
from cdc.testing.events import table

UUID = uuid.UUID(int=7)
LATE = time(23, 59, 59, 999999)
LISTS = pa.list_(pa.list_(pa.int32()))
# What `cdc.fills` tells, as documented, and how DuckDB reads it.
TEXTS = {
    "bool": (pa.scalar(value=True), "true", True),
    "int8": (pa.scalar(-7, pa.int8()), "-7", -7),
    "uint64": (pa.scalar(2**64 - 1, pa.uint64()), str(2**64 - 1), 2**64 - 1),
    "double": (pa.scalar(0.1), "0.1", 0.1),
    "infinity": (pa.scalar(-math.inf), "-inf", -math.inf),
    "decimal": (pa.scalar(Decimal("-1.50"), pa.decimal128(12, 2)), "-1.50", Decimal("-1.50")),
    "small": (pa.scalar(Decimal("1E-30"), pa.decimal128(38, 30)), "0." + "0" * 29 + "1", Decimal("1E-30")),
    "text": (pa.scalar('it\'s "x"\n'), 'it\'s "x"\n', 'it\'s "x"\n'),
    "bytes": (pa.scalar(b"\x00\xff"), "00ff", b"\x00\xff"),
    "date": (pa.scalar(date(2024, 2, 29)), "2024-02-29", date(2024, 2, 29)),
    "timestamp": (
        pa.scalar(datetime(1700, 1, 1, 1, 2, 3, 456789), pa.timestamp("us")),  # noqa: DTZ001  (has no zone)
        "1700-01-01 01:02:03.456789",
        datetime(1700, 1, 1, 1, 2, 3, 456789),  # noqa: DTZ001  (has no zone)
    ),
    "time": (
        pa.scalar(time(23, 59, 59, 999999), pa.time64("us")),
        "23:59:59.999999",
        time(23, 59, 59, 999999),
    ),
    "uuid": (pa.scalar(UUID.bytes, pa.uuid()), str(UUID), UUID),
    "json": (pa.scalar('{"a":  [1]}', pa.json_()), '{"a":  [1]}', '{"a":  [1]}'),
    "list": (pa.scalar([[1, None], [], [3]], LISTS), [["1", None], [], ["3"]], [[1, None], [], [3]]),
}
SQL_TYPES = {"int8": "tinyint", "uint64": "ubigint", "decimal": "decimal(12,2)", "small": "decimal(38,30)",
             "infinity": "double", "text": "varchar", "bytes": "blob", "list": "integer[][]"}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_a_fill_is_told_as_text_that_duckdb_casts(kind: str) -> None:
    fill, text, value = TEXTS[kind]
    assert json_of_fill(fill) == text
    back = fill_of(json.loads(json.dumps(json_of_fill(fill))), fill.type)
    assert (back, back.type) == (fill, fill.type)
    document, sql_type = json.dumps({"c": json_of_fill(fill)}), SQL_TYPES.get(kind, kind)
    taken = "unhex($1->>'c')" if kind == "bytes" else f"cast_to_type($1->>'c', null::{sql_type})"
    if kind == "list":
        taken = "cast_to_type($1->'c', null::integer[][])"
    with duckdb.connect() as connection:
        (found,) = connection.execute(f"select {taken}", [document]).fetchall()[0]
    assert found == value


def test_a_moment_with_a_zone_is_told_in_utc() -> None:
    fill = pa.scalar(datetime(2024, 2, 29, 8, 11, 12, tzinfo=UTC), pa.timestamp("us", "UTC"))
    assert json_of_fill(fill) == "2024-02-29 08:11:12.000000Z"
    assert fill_of(json_of_fill(fill), fill.type) == fill


@pytest.mark.parametrize(
    "fill",
    [
        pa.scalar(2**62, pa.timestamp("us", "UTC")),
        pa.scalar(2**30, pa.int32()).cast(pa.date32()),
        pa.scalar({"a": 1}, pa.struct([("a", pa.int64())])),
        pa.scalar([{"a": 1}], pa.list_(pa.struct([("a", pa.int64())]))),
    ],
    ids=["timestamp", "date", "struct", "list"],
)
def test_what_has_no_exact_text_is_told_in_arrow_s_own_form(fill: pa.Scalar) -> None:
    value = json_of_fill(fill)
    assert value.keys() == {ARROW_FORM}
    back = fill_of(json.loads(json.dumps(value)), fill.type)
    assert (back.type, back) == (fill.type, fill)


TEXT = st.text(st.characters(codec="utf-8"))
# Values and their type; moments as numbers, for Python's own types end at the year 9999.
ANY = st.one_of(
    st.tuples(st.floats(), st.just(pa.float64())),
    st.tuples(st.floats(width=32), st.just(pa.float32())),
    st.tuples(TEXT, st.just(pa.string())),
    st.tuples(st.binary(), st.just(pa.binary())),
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.just(pa.timestamp("us"))),
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.just(pa.timestamp("us", "UTC"))),
    st.tuples(st.integers(-(2**31), 2**31 - 1), st.just(pa.date32())),
    st.tuples(st.decimals(-(10**30), 10**30, places=20), st.just(pa.decimal256(60, 20))),
    st.tuples(st.lists(st.none() | TEXT), st.just(pa.list_(pa.string()))),
)


@given(ANY)
def test_any_fill_comes_back_to_the_bit(drawn: tuple[Any, pa.DataType]) -> None:
    value, kind = drawn
    fill = pa.scalar(value, pa.int32()).cast(kind) if kind == pa.date32() else pa.scalar(value, kind)
    back: Any = fill_of(json.loads(json.dumps(json_of_fill(fill))), kind)
    assert back.type == kind
    # Equality knows neither NaN nor the sign of zero.
    assert _bits(back) == _bits(fill) if pa.types.is_floating(kind) else back.equals(fill)


def test_only_columns_with_a_value_are_told() -> None:
    orders = table("public.orders", {"id": pa.int64(), "note": pa.string()})
    number, word = Column("n", pa.int32(), fill=pa.scalar(7, pa.int32())), Column("w", pa.string())
    null = Column("x", pa.string(), fill=pa.scalar(None, pa.string()))
    wider = type(orders)(orders.table, (*orders.columns, number, word, null))
    assert fills_as_json(wider) == {"n": "7"}


def _bits(value: pa.Scalar) -> bytes:
    return bytes(pa.array([value], value.type).buffers()[1])[: value.type.bit_width // 8]
