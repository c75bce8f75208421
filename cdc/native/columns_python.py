"""Arrow arrays from plain values: the twin of the compiled column builders.

Values are storage values: int for whole numbers, dates (days), times and timestamps (units since the epoch)
and decimals (unscaled), str, bytes, bool, float, list; None for null.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from cdc.errors import DecodeError

# Arrow's 32-bit offsets.
MAX_OFFSET = 2**31 - 1
_TYPE_CODES = {1: "b", 4: "i", 8: "q"}


class FixedColumn:
    """Whole numbers of `width` bytes each, none of them null."""

    __slots__ = ("values", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.values = array(_TYPE_CODES[width])

    @property
    def length(self) -> int:
        return len(self.values)

    def release(self) -> array[int]:
        """The values alone, as a buffer."""
        values, self.values = self.values, array(_TYPE_CODES[self.width])
        return values


def append_int(column: FixedColumn, value: int) -> None:
    column.values.append(value)


append_int8 = append_int32 = append_int64 = append_int


def set_last_int32(column: FixedColumn, value: int) -> None:
    """In place of the last value, which there is."""
    column.values[-1] = value


def build_array(type_: Any, values: Sequence[Any]) -> pa.Array:
    """An array of that type; extension types (uuid, json) are built on their storage."""
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, build_array(type_.storage_type, values))
    if pa.types.is_list(type_):
        return _list(type_, values)
    if pa.types.is_decimal(type_):
        return _decimal(type_, values)
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return _variable(type_, values)
    return pa.array(values, type_)


def _list(type_: Any, values: Sequence[Any]) -> pa.Array:
    lengths = (0 if value is None else len(value) for value in values)
    offsets = list(itertools.accumulate(lengths, initial=0))
    check_offset(offsets[-1])
    children = [item for value in values if value is not None for item in value]
    child = build_array(type_.value_type, children)
    buffers = [_validity(values), pa.array(offsets, pa.int32()).buffers()[1]]
    return pa.Array.from_buffers(type_, len(values), buffers, children=[child])


def _decimal(type_: Any, values: Sequence[int | None]) -> pa.Array:
    width = type_.byte_width
    data = b"".join((0 if v is None else v).to_bytes(width, "little", signed=True) for v in values)
    return pa.Array.from_buffers(type_, len(values), [_validity(values), pa.py_buffer(data)])


def _variable(type_: Any, values: Sequence[str | bytes | None]) -> pa.Array:
    array = pa.array(values, type_)
    if isinstance(array, pa.ChunkedArray):
        check_offset(MAX_OFFSET + 1)
    return array


def _validity(values: Sequence[Any]) -> Any:
    if None not in values:
        return None
    return pa.array([value is not None for value in values], pa.bool_()).buffers()[1]


def check_offset(offset: int) -> None:
    """A column of one batch holds less than 2 GiB and 2^31 elements."""
    if offset > MAX_OFFSET:
        message = "more than 2 GiB gathered in one column of one batch"
        raise DecodeError(message, remedy="Take the batch earlier.")
