"""Changes as JSON lines, for people and scripts: without loss, so that what JSON has no number for is text.

Decimals are text with all their digits, dates and times ISO 8601 text (in UTC where the column has a zone,
beyond the year 9999 too), bytes hexadecimal text as Postgres prints it, NaN and infinities text, JSON columns
the text that the source sent, uuids their usual text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch
from cdc.native.iso import iso_text, with_text_times

TABLE = "_cdc_table"
SOURCE = "_cdc_source"


def to_lines(batch: ChangeBatch, source: str) -> Iterator[bytes]:
    """One line a change: source and table, then the row's columns and the envelope."""
    head = {SOURCE: source, TABLE: str(batch.table)}
    columns = [(name, _values(batch.data.column(name))) for name in batch.data.schema.names]
    for index in range(batch.row_count):
        row = head | {name: values[index] for name, values in columns}
        yield orjson.dumps(row, default=_encode, option=orjson.OPT_APPEND_NEWLINE)


def _values(column: pa.Array) -> list[Any]:
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary.take(column.indices)
    column = with_text_times(column, lambda times: pc.replace_substring(iso_text(times), " ", "T"))
    values: list[Any] = column.to_pylist()
    return [_finite(value) for value in values] if _has_floats(column.type) else values


def _has_floats(kind: pa.DataType) -> bool:
    if pa.types.is_floating(kind):
        return True
    return any(_has_floats(kind.field(index).type) for index in range(kind.num_fields))


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as text, however deep."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError(type(value).__name__)
