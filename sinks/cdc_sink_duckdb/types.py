"""Arrow types as DuckDB types, and columns in a form that DuckDB reads.

Everything is lossless; docs/sinks/duckdb.md has the table. A type that is not in it is refused, never
guessed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.errors import SinkRefused
from cdc.model import Column
from cdc_sink_duckdb.names import quoted

# The widest DECIMAL of DuckDB; wider ones are stored as text.
WIDEST_DECIMAL = 38

_SIMPLE: dict[Any, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
    pa.date32(): "DATE",
    pa.time32("s"): "TIME",
    pa.time32("ms"): "TIME",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME_NS",
    pa.timestamp("s"): "TIMESTAMP_S",
    pa.timestamp("ms"): "TIMESTAMP_MS",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.duration("s"): "INTERVAL",
    pa.duration("ms"): "INTERVAL",
    pa.duration("us"): "INTERVAL",
}
_EXTENSIONS = {"arrow.uuid": "UUID", "arrow.json": "JSON"}


def column_type(column: Column, where: str) -> str:
    """The DuckDB type of a source's column."""
    if column.source_type in ("json", "jsonb") and pa.types.is_string(column.type):
        return "JSON"
    return sql_type(column.type, f"{where}.{column.name}")


def sql_type(kind: pa.DataType, where: str) -> str:
    """The DuckDB type for an Arrow type; SinkRefused when there is none."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name in _EXTENSIONS:
        return _EXTENSIONS[kind.extension_name]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})" if kind.precision <= WIDEST_DECIMAL else "VARCHAR"
    if pa.types.is_fixed_size_binary(kind):
        return "BLOB"
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return "TIMESTAMPTZ"
    if pa.types.is_dictionary(kind):
        return sql_type(kind.value_type, where)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return f"{sql_type(kind.value_type, where)}[]"
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = ", ".join(f"{quoted(f.name)} {sql_type(f.type, where)}" for f in kind)
        return f"STRUCT({fields})"
    raise SinkRefused(
        f"the Arrow type {kind} has no exact counterpart in DuckDB",
        where=where,
        remedy="Leave the column or the table out of the source's configuration.",
    )


def readable(array: Any, sql: str) -> Any:
    """The same values in a form that DuckDB's Arrow scan takes for the type `sql`."""
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array(
            [readable(chunk, sql) for chunk in array.chunks] or [readable(_none(array), sql)]
        )
    if sql == "JSON" and not isinstance(array, pa.ExtensionArray):
        # Marked as JSON it is taken over as it is; cast from text it would be parsed, and a text that the
        # source accepts and DuckDB's parser does not (a lone surrogate) would stop the sink.
        return pa.ExtensionArray.from_storage(pa.json_(), array.cast(pa.string()))
    if pa.types.is_decimal256(array.type):
        return _decimal_text(array) if sql == "VARCHAR" else array.cast(_narrow(array.type))
    target = _scannable(array.type)
    return array if target == array.type else array.cast(target)


def _none(column: Any) -> Any:
    return (
        pa.array([], column.type)
        if not isinstance(column.type, pa.BaseExtensionType)
        else pa.nulls(0, column.type)
    )


def _scannable(kind: pa.DataType) -> pa.DataType:
    """Wide decimals within lists as text, half floats as floats; all else as it is."""
    if pa.types.is_list(kind):
        return pa.list_(_scannable(kind.value_type))
    if pa.types.is_decimal256(kind):
        return pa.string() if kind.precision > WIDEST_DECIMAL else _narrow(kind)
    return pa.float32() if kind == pa.float16() else kind


def _narrow(kind: pa.DataType) -> pa.DataType:
    return pa.decimal128(kind.precision, kind.scale)


def _decimal_text(array: Any) -> Any:
    """Plain digits; Arrow writes small numbers as 1E-10, so those few are written again."""
    text = array.cast(pa.string())
    odd = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(text, "E"), fill_value=False)))
    if len(odd) == 0:
        return text
    plain = pa.array([format(array[i].as_py(), "f") for i in odd.tolist()], pa.string())
    mask = np.zeros(len(text), np.bool_)
    mask[odd] = True
    return pc.replace_with_mask(text, pa.array(mask), plain)
