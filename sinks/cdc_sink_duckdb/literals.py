"""Single values as SQL expressions: the fill of an added column (DDL takes only literals), a commit time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa

from cdc_sink_duckdb.names import literal

_EPOCH_DATE = "date '1970-01-01'"


def expression(value: Any, sql_type: str) -> str:
    """A SQL expression with exactly this value, of this DuckDB type; `value` is an Arrow scalar or None."""
    if value is None or not value.is_valid:
        return f"cast(null as {sql_type})"
    return f"cast({_bare(value)} as {sql_type})"


def moment(at: datetime | None) -> str:
    """A commit time as a SQL expression."""
    value = pa.scalar(at, pa.timestamp("us", "UTC"))
    return f"make_timestamptz({value.value})" if value.is_valid else "cast(null as timestamptz)"


def _bare(value: Any) -> str:
    kind = value.type
    if isinstance(kind, pa.BaseExtensionType):
        return literal(str(value.as_py()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        elements = (_bare(v) if v.is_valid else "null" for v in value.values)
        return "[" + ", ".join(elements) + "]"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "'" + "".join(f"\\x{byte:02X}" for byte in value.as_py()) + "'::blob"
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        maker = "make_timestamptz" if kind.tz else "make_timestamp"
        return f"{maker}({value.cast(pa.int64()).as_py()})"
    if pa.types.is_date32(kind):
        return f"({_EPOCH_DATE} + ({value.cast(pa.int32()).as_py()}))"
    if pa.types.is_decimal(kind):
        return literal(format(value.as_py(), "f"))
    if pa.types.is_floating(kind):
        return literal(repr(float(value.as_py())))
    return literal(str(value.as_py()))
