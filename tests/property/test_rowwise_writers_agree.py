"""Both writers of rows write what a naive one writes, and refuse the same fields."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import native
from cdc.native import rowwise_python
from cdc.native.rowwise_python import RowField


def writers() -> list[Callable[..., Any]]:
    found: list[Callable[..., Any]] = [rowwise_python.rowwise]
    if not native.unavailable_reason():
        from cdc.native import rowwise

        found.append(rowwise.rowwise)
    return found


def naive(rows: Sequence[Sequence[bytes | None]], prefix: bytes) -> tuple[bytes, list[int]]:
    out, starts = b"", [0]
    for row in rows:
        out += prefix
        for value in row:
            out += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
        starts.append(len(out))
    return out, starts


def field_of(values: Sequence[bytes | None], width: int | None) -> RowField:
    valid = np.array([value is not None for value in values], np.uint8) if None in values else None
    filled = [b"?" * (width or 3) if value is None else value for value in values]
    if width is not None:
        return RowField(b"".join(filled), width, valid=valid)
    offsets = np.cumsum([2, *map(len, filled)]).astype(np.int64)
    return RowField(b"!!" + b"".join(filled) + b"!", offsets=offsets, valid=valid)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[list[bytes | None]], list[RowField]]:
    count = draw(st.integers(0, 5))
    widths = draw(st.lists(st.none() | st.integers(0, 9), max_size=4))
    values = []
    for width in widths:
        binary = st.binary(max_size=9) if width is None else st.binary(min_size=width, max_size=width)
        values.append(draw(st.lists(st.none() | binary, min_size=count, max_size=count)))
    rows = [[column[i] for column in values] for i in range(count)]
    return rows, [field_of(column, width) for column, width in zip(values, widths, strict=True)]


@given(made=columns(), prefix=st.binary(max_size=3))
def test_rows_are_those_of_a_naive_writer(
    made: tuple[list[list[bytes | None]], list[RowField]], prefix: bytes
) -> None:
    rows, fields = made
    expected, starts = naive(rows, prefix)
    for write in writers():
        data, offsets = write(len(rows), fields, prefix, measured=True)
        assert data == expected
        assert list(offsets) == starts
        assert write(len(rows), fields, prefix) == (expected, None)


@pytest.mark.parametrize(
    "field",
    [
        RowField(b"1234", 4),
        RowField(b"12345678", 4, valid=np.ones(1, np.uint8)),
        RowField(b"ab", offsets=np.array([0, 1, 3], np.int64)),
        RowField(b"ab", offsets=np.array([0, 2, 1], np.int64)),
        RowField(b"ab", offsets=np.array([-1, 1, 2], np.int64)),
        RowField(b"ab", offsets=np.array([0, 2], np.int64)),
    ],
    ids=[
        "data too short",
        "mask too short",
        "beyond the data",
        "backwards",
        "before the data",
        "too few offsets",
    ],
)
def test_fields_that_do_not_fit_the_rows_are_refused(field: RowField) -> None:
    for write in writers():
        with pytest.raises(ValueError, match="a field's"):
            write(2, [field], b"")
