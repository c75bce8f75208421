"""Arrow data as plain values that compare exactly: NaN equals NaN, -0 differs from 0, years over 9999 are
allowed.
"""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa


def plain(array: Any) -> list[Any]:
    """The values of an array; whole numbers for dates and times, the bytes of floating point numbers."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    type_ = array.type
    if pa.types.is_dictionary(type_):
        values = plain(array.dictionary)
        return [None if i is None else values[i] for i in array.indices.to_pylist()]
    if pa.types.is_list(type_):
        return [plain(value.values) if value.is_valid else None for value in array]
    if pa.types.is_struct(type_):
        columns = [plain(array.field(i)) for i in range(type_.num_fields)]
        rows = list(zip(*columns, strict=True)) if columns else [()] * len(array)
        return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]
    if pa.types.is_floating(type_):
        return [None if v is None else struct.pack("d", v) for v in array.to_pylist()]
    if pa.types.is_temporal(type_):
        return list(array.view(pa.int32() if type_.bit_width == 32 else pa.int64()).to_pylist())
    return list(array.to_pylist())


def plain_batch(batch: pa.RecordBatch) -> dict[str, Any]:
    """Column name → (type, values); the batch must be valid in every detail."""
    batch.validate(full=True)
    return {
        field.name: (str(field.type), plain(column))
        for field, column in zip(batch.schema, batch.columns, strict=True)
    }
