"""One form for a value, whether it comes from a database, from DuckDB or from a Parquet file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import pyarrow as pa

NAN = "NaN"


class SourceColumn(Protocol):
    """A column as the source has it now."""

    @property
    def name(self) -> str: ...

    def from_source(self, values: Sequence[Any]) -> list[Any]:
        """Canonical values of what the server gave."""

    def from_arrow(self, array: Any) -> list[Any]:
        """Canonical values of an Arrow column, chunked or not."""


def plain(value: Any) -> Any:
    """A value that hashes and equals what the other side gives."""
    if isinstance(value, float):
        return NAN if math.isnan(value) else value
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return value


def integers(array: pa.Array) -> pa.Array:
    """Dates as days, times and timestamps as microseconds."""
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    if pa.types.is_time(array.type):
        return array.cast(pa.time64("us")).cast(pa.int64())
    if pa.types.is_date32(array.type):
        return array.cast(pa.int32())
    message = f"a date or time column has the Arrow type {array.type}"
    raise AssertionError(message)
