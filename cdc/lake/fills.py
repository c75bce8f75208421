"""The value of a column in rows that are older than the column, stored in the files that have the column.

A lake's files never change: those from before ADD COLUMN lack the column. The source stops knowing the value
when the column's default is dropped, so each file with the column carries the value in its metadata.
"""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import pyarrow as pa

from cdc.model import TableSchema

# Key of a value in Arrow's own form. Types that have a text never make an object.
ARROW_FORM = "arrow"


def fills_as_json(schema: TableSchema) -> dict[str, Any]:
    """Return, by column name, the fill of each column that has one, as a JSON value; NULL is left out.

    The value is a text that Arrow and DuckDB cast to the column's type (binary: hexadecimal digits), a list
    an array of such texts with null for null elements. Where the text would not give back the very same
    value, or the type has none, it is `{"arrow": …}`: an Arrow IPC stream of one row in base64.
    """
    return {c.name: json_of_fill(c.fill) for c in schema.columns if c.has_fill}


def json_of_fill(fill: pa.Scalar) -> Any:
    """The JSON value of a fill that is not null."""
    try:
        value = _text_of(fill)
        if _stream(fill_of(value, fill.type)) == _stream(fill):
            return value
    except (pa.ArrowException, ValueError):
        pass
    return {ARROW_FORM: base64.b64encode(_stream(fill)).decode()}


def fill_of(value: Any, kind: pa.DataType) -> pa.Scalar:
    """The fill that `json_of_fill` encoded, for a column of its type.

    Raises:
        ValueError, pa.ArrowException: the value is none of that type.
    """
    if isinstance(value, dict):
        return pa.ipc.open_stream(base64.b64decode(value[ARROW_FORM])).read_next_batch().column(0)[0]
    return _array_of([value], kind)[0]


def _array_of(values: list[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.UuidType):
        storage = pa.array([None if v is None else UUID(v).bytes for v in values], kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, storage)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _array_of(values, kind.storage_type))
    if pa.types.is_list(kind):
        offsets: list[int] = [0]
        flat: list[Any] = []
        for value in values:
            flat += value or []
            offsets.append(len(flat))
        missing = pa.array([value is None for value in values])
        ends = pa.array(offsets, pa.int32())
        return pa.ListArray.from_arrays(ends, _array_of(flat, kind.value_type), type=kind, mask=missing)
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else bytes.fromhex(v) for v in values], kind)
    if pa.types.is_time64(kind):
        moments = pa.array([None if v is None else f"1970-01-01 {v}" for v in values], pa.string())
        return moments.cast(pa.timestamp(kind.unit)).cast(kind)
    return pa.array(values, pa.string()).cast(kind)


def _text_of(value: pa.Scalar) -> Any:
    kind = value.type
    if not value.is_valid:
        return None
    if isinstance(kind, pa.UuidType):
        return str(UUID(bytes=value.value.as_py()))
    if isinstance(kind, pa.BaseExtensionType):
        return _text_of(value.value)
    if pa.types.is_list(kind):
        return [_text_of(one) for one in value.values]
    if pa.types.is_binary(kind):
        return value.as_py().hex()
    if pa.types.is_decimal(kind):
        return format(value.as_py(), "f")
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # As wall clock in UTC: a zone's name would need the machine's time zone files.
        return f"{_text_of(value.cast(pa.int64()).cast(pa.timestamp(kind.unit)))}Z"
    return value.cast(pa.string()).as_py()


def _stream(value: pa.Scalar) -> bytes:
    batch = pa.RecordBatch.from_arrays([pa.repeat(value, 1)], names=["fill"])
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(out.getvalue())
