"""Both decoders of result sets give equal batches for equal bytes, however these are cut, or both refuse."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import CdcError
from cdc.native import implementation
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire import result_stream as wire_results_python
from tests.support.mysql.fields import plan
from tests.support.mysql.result_sets import COLUMNS, END, definition, packets, result_set, row
from tests.support.plain_arrow import plain

pytestmark = pytest.mark.skipif(implementation() != "c", reason="compares the compiled decoder with its twin")

MOMENTS = st.builds(
    lambda parts, micros, size: (struct.pack("<H5BI", *parts, micros))[:size],
    st.tuples(st.integers(0, 10000), *(st.integers(0, most) for most in (13, 32, 24, 60, 60))),
    st.integers(0, 1_000_000),
    st.sampled_from([0, 0, 4, 4, 7, 7, 11, 11, 5]),
)
CLOCKS = st.builds(
    lambda sign, days, parts, micros, size: struct.pack("<BI3BI", sign, days, *parts, micros)[:size],
    st.integers(0, 2),
    st.integers(0, 35),
    st.tuples(st.integers(0, 24), st.integers(0, 60), st.integers(0, 60)),
    st.integers(0, 1_000_000),
    st.sampled_from([0, 8, 8, 12, 12, 3]),
)
DECIMALS = st.from_regex(rb"-?[0-9]{0,12}(\.[0-9]{0,9})?", fullmatch=True) | st.binary(max_size=6)


def values(kind: str) -> st.SearchStrategy[bytes]:
    if kind in {"1", "2", "4", "8"}:
        size = int(kind)
        return st.binary(min_size=size, max_size=size) | st.integers(0, 3).map(
            lambda n: n.to_bytes(size, "little")
        )
    if kind == "decimal":
        return DECIMALS
    return {"moment": MOMENTS, "clock": CLOCKS, "bytes": st.binary(max_size=4)}[kind]


def decoded(decoder: Any, column: ColumnPlan, pieces: Sequence[bytes]) -> Any:
    """The rows, or the class and message of the error."""
    counted: list[int] = []
    try:
        results = decoder("t", (column,), "null", lambda name, amount: counted.append(amount))
        for piece in pieces:
            results.feed(piece)
        record = results.take()
    except CdcError as error:
        return type(error), str(error)
    return None if record is None else plain(record.column(0)), results.finished, results.error, sum(counted)


def require_agreement(column: ColumnPlan, pieces: Sequence[bytes]) -> Any:
    from cdc_source_mysql.wire import result_stream_native as wire_results_native

    native = decoded(wire_results_native.ResultDecoder, column, pieces)
    assert native == decoded(wire_results_python.ResultDecoder, column, pieces)
    return native


@st.composite
def streams(draw: st.DrawFn) -> tuple[ColumnPlan, bytes]:
    column, code, kind = draw(st.sampled_from(COLUMNS))
    rows = draw(st.lists(st.none() | values(kind), max_size=4))
    return column, result_set(code, [row(kind, value) for value in rows])


@settings(max_examples=600, deadline=None)
@given(streams(), st.lists(st.integers(1, 30), max_size=6))
def test_both_decoders_read_a_result_set_alike(case: tuple[ColumnPlan, bytes], cuts: list[int]) -> None:
    column, data = case
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    found = require_agreement(column, [*pieces, data[at:]])
    assert found == require_agreement(column, [data])


@settings(max_examples=600, deadline=None)
@given(streams(), st.data())
def test_both_decoders_refuse_damaged_bytes_alike(
    case: tuple[ColumnPlan, bytes], data: st.DataObject
) -> None:
    column, whole = case
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    tail = {"flip": whole[place + 1 :], "cut": b"", "insert": whole[place:]}[change]
    require_agreement(column, [whole[:place] + (b"" if change == "cut" else byte) + tail])


def test_an_error_packet_ends_a_result_set() -> None:
    column, code, kind = COLUMNS[0]
    error = b"\xff\x25\x05#70100killed"
    data = packets([b"\x01", definition(code), END, row(kind, b"\x07"), error])
    assert require_agreement(column, [data]) == ([7], False, error, 0)


def test_a_row_of_several_packets_is_one_row() -> None:
    column, code, _ = next(c for c in COLUMNS if c[0].kind == "string")
    column = plan("string", pa.string(), charset="utf8", prefix_bytes=4)
    text = b"x" * (2**24)
    body = b"\0\0\xfe" + len(text).to_bytes(8, "little") + text
    head = packets([b"\x01", definition(code), END])
    full = b"\xff\xff\xff\x04" + body[: 2**24 - 1]
    rest = body[2**24 - 1 :]
    tail = len(rest).to_bytes(3, "little") + b"\x05" + rest + b"\x05\0\0\x06\xfe\0\0\x02\0"
    found = require_agreement(column, [head + full, tail])
    assert found == ([text.decode()], True, None, 0)
