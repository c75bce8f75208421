"""Gives equal rows equal numbers, so that grouping any Arrow columns becomes grouping integers.

Equality is that of the stored bytes (null equals null, NaN equals NaN): the same by which a source decides
whether a key has changed. Codes are dense: 0 ≤ code < number of distinct rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]

_CODE_BYTES = 8


def row_codes(columns: Sequence[Any], count: int) -> Codes:
    """One code a row over all columns; without columns all rows are equal."""
    codes: Codes = np.zeros(count, np.int64)
    for index, column in enumerate(columns):
        own = _column_codes(column)
        codes = own if index == 0 else _dense(codes * (int(own.max(initial=0)) + 1) + own)
    return codes


def _column_codes(column: Any) -> Codes:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary.take(array.indices)
    kind = array.type
    if pa.types.is_struct(kind):
        return row_codes([array.is_valid(), *array.flatten()], len(array))
    if pa.types.is_map(kind):
        array = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    if pa.types.is_nested(array.type):
        array = _list_bytes(array)
    return np.asarray(array.dictionary_encode("encode").indices, np.int64)


def _list_bytes(array: Any) -> Any:
    """Each list as the bytes of its elements' codes: equal bytes, equal lists."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * _CODE_BYTES
    elements = _column_codes(array.flatten())
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(elements))]
    packed = pa.Array.from_buffers(pa.large_binary(), len(array), buffers)
    return pc.if_else(array.is_valid(), packed, pa.scalar(None, pa.large_binary()))


def _dense(codes: Codes) -> Codes:
    """The same partition numbered from 0; keeps the products of `row_codes` far from 2**63."""
    return np.asarray(pa.array(codes).dictionary_encode().indices, np.int64)
