"""Arrow types as Iceberg's types, and values as files hold them.

Iceberg lacks unsigned 64-bit integers (decimal(20, 0)), durations, JSON and decimals of more than 38 digits
(all text).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from cdc.deferred import compute as pc
from cdc.sql.mapping import decimal_text, duration_text

FIELD_ID = "PARQUET:field_id"
DECIMAL_DIGITS = 38
_UINT64 = DecimalType(20, 0)
_PLAIN: tuple[tuple[Callable[[Any], bool], IcebergType], ...] = (
    (pa.types.is_boolean, BooleanType()),
    (pa.types.is_uint64, _UINT64),
    (pa.types.is_int64, LongType()),
    (pa.types.is_uint32, LongType()),
    (pa.types.is_integer, IntegerType()),
    (pa.types.is_float64, DoubleType()),
    (pa.types.is_floating, FloatType()),
    (pa.types.is_date32, DateType()),
    (pa.types.is_time, TimeType()),
    (pa.types.is_duration, StringType()),
    (pa.types.is_string, StringType()),
    (pa.types.is_large_string, StringType()),
    (pa.types.is_binary, BinaryType()),
    (pa.types.is_large_binary, BinaryType()),
    (pa.types.is_fixed_size_binary, BinaryType()),
)
_ARROW: dict[type[IcebergType], pa.DataType] = {
    BooleanType: pa.bool_(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    FloatType: pa.float32(),
    DoubleType: pa.float64(),
    DateType: pa.date32(),
    TimeType: pa.time64("us"),
    TimestampType: pa.timestamp("us"),
    TimestamptzType: pa.timestamp("us", "UTC"),
    StringType: pa.string(),
    BinaryType: pa.binary(),
    UUIDType: pa.uuid(),
}


def iceberg_type(kind: pa.DataType, new_id: Callable[[], int]) -> IcebergType:
    """Return the type of a column; `new_id` gives the ids of fields in it.

    Raises:
        ArrowNotImplementedError: Iceberg has no such type.
    """
    if isinstance(kind, pa.DictionaryType):
        return iceberg_type(kind.value_type, new_id)
    if isinstance(kind, pa.UuidType):
        return UUIDType()
    if isinstance(kind, pa.BaseExtensionType):
        return iceberg_type(kind.storage_type, new_id)
    if pa.types.is_decimal(kind):
        fits = kind.precision <= DECIMAL_DIGITS and 0 <= kind.scale <= kind.precision
        return DecimalType(kind.precision, kind.scale) if fits else StringType()
    if pa.types.is_timestamp(kind) and kind.unit != "ns":
        return TimestamptzType() if kind.tz else TimestampType()
    if pa.types.is_list(kind):
        return ListType(new_id(), iceberg_type(kind.value_type, new_id), element_required=False)
    if pa.types.is_struct(kind):
        fields = [(new_id(), field.name, iceberg_type(field.type, new_id)) for field in kind]
        return StructType(*(NestedField(i, name, t, required=False) for i, name, t in fields))
    for is_kind, made in _PLAIN:
        if is_kind(kind):
            return made
    raise pa.ArrowNotImplementedError(f"Iceberg has no type for {kind}")


def arrow_type(kind: IcebergType) -> pa.DataType:
    """Return the Arrow type of a file's column."""
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    if isinstance(kind, ListType):
        return pa.list_(_arrow_field(kind.element_field))
    if isinstance(kind, StructType):
        return pa.struct([_arrow_field(field) for field in kind.fields])
    if type(kind) not in _ARROW:
        # Of a table that somebody else has changed.
        raise pa.ArrowNotImplementedError(f"cannot write {kind}")
    return _ARROW[type(kind)]


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a file, with field ids."""
    return pa.schema([_arrow_field(field) for field in schema.fields])


def _arrow_field(field: NestedField) -> pa.Field:
    return pa.field(field.name, arrow_type(field.field_type), metadata={FIELD_ID: str(field.field_id)})


def converted(array: Any, kind: pa.DataType) -> Any:
    """Return the values as the type of a file's column; ArrowInvalid for values that it lacks."""
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([converted(chunk, kind) for chunk in array.chunks], kind)
    if array.type == kind:
        return array
    if isinstance(array, pa.DictionaryArray):
        return converted(array.dictionary.take(array.indices), kind)
    if isinstance(array, pa.ExtensionArray):
        return converted(array.storage, kind)
    if pa.types.is_nested(kind):
        return _nested(array, kind)
    if pa.types.is_string(kind) and pa.types.is_decimal(array.type):
        return decimal_text(array)
    return duration_text(array) if pa.types.is_duration(array.type) else array.cast(kind)


def _nested(array: Any, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int64)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        values = converted(array.flatten(), kind.value_type)
        return pa.ListArray.from_arrays(offsets, values, kind, mask=array.is_null())
    held = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    children = [
        converted(held[field.name], field.type) if field.name in held else pa.nulls(len(array), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())


def promoted(old: IcebergType, new: IcebergType) -> IcebergType | None:
    """Return the type of a column that was `old` and has to hold `new` values too, by a change that Iceberg
    allows; None if there is none.
    """
    if old == new:
        return old
    if isinstance(old, ListType) and isinstance(new, ListType):
        element = promoted(old.element_type, new.element_type)
        return element and ListType(old.element_id, element, element_required=False)
    for wide, narrow in ((LongType, IntegerType), (DoubleType, FloatType)):
        if {type(old), type(new)} == {wide, narrow}:
            return wide()
    if isinstance(old, DecimalType) and isinstance(new, DecimalType) and old.scale == new.scale:
        return DecimalType(max(old.precision, new.precision), old.scale)
    return None
