"""One form for a value, whether it comes from Postgres, from DuckDB or from a Parquet file.

Dates and times become integers (days, microseconds), decimals `Decimal`, NaN a word, lists tuples; types that
travel as the server's text are that text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pyarrow as pa

NAN = "NaN"
# Base type name → how Postgres is asked for the canonical form; `{}` is the column. Others are asked for
# their text.
_EXPRESSIONS = {
    "bool": "{}",
    "int2": "{}",
    "int4": "{}",
    "int8": "{}",
    "oid": "{}",
    "float4": "{}::float8",
    "float8": "{}",
    "bpchar": "{}",
    "bytea": "{}",
    "date": "({} - date '1970-01-01')",
    "time": "(extract(epoch from {}) * 1000000)::bigint",
    "timestamp": "(extract(epoch from {}) * 1000000)::bigint",
    "timestamptz": "(extract(epoch from {}) * 1000000)::bigint",
    "money": "{}::numeric",
}
# What the type's output function writes; a cast to text differs for inet, character(n) and others.
# A composite of nulls `is null`, though it is a value: hence the count.
_AS_OUTPUT = "case when num_nulls({0}) = 0 then format('%s', {0}) end"
# Elements that psycopg gives as Python values which compare; arrays of others are asked for as text[].
_PLAIN_ELEMENTS = frozenset({"bool", "int2", "int4", "int8", "bytea", "text", "varchar", "timestamptz"})
_DECIMALS = frozenset({"numeric", "money"})
_INTEGER_TIMES = frozenset({"date", "time", "timestamp", "timestamptz"})
SESSION = (
    "set datestyle = 'ISO'; set intervalstyle = 'postgres'; set timezone = 'UTC'; "
    "set bytea_output = 'hex'; set extra_float_digits = 3; set lc_monetary = 'C'"
)


@dataclass(frozen=True)
class SourceColumn:
    """A column as the source has it now: `base` is its type's name beneath domains, `is_exact` a
    numeric(p,s).
    """

    name: str
    base: str
    element: str | None
    is_exact: bool

    @property
    def expression(self) -> str:
        quoted = '"' + self.name.replace('"', '""') + '"'
        if self.element is not None:
            plain = self.element in _PLAIN_ELEMENTS or (self.element == "numeric" and self.is_exact)
            return quoted if plain else f"{quoted}::text[]"
        if self.base == "numeric" and self.is_exact:
            return quoted
        return _EXPRESSIONS.get(self.base, _AS_OUTPUT).format(quoted)

    def from_source(self, values: Sequence[Any]) -> list[Any]:
        return [plain(value) for value in values]

    def from_arrow(self, array: Any) -> list[Any]:
        """Canonical values of an Arrow column, chunked or not."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if self.element is None and self.base in _INTEGER_TIMES:
            return list(_integers(array).to_pylist())
        values = array.to_pylist()
        if self.element is None and (self.base == "money" or (self.base == "numeric" and self.is_exact)):
            return [None if value is None else Decimal(value) for value in values]
        return [plain(value) for value in values]


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


def _integers(array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    if pa.types.is_time(array.type):
        return array.cast(pa.time64("us")).cast(pa.int64())
    if pa.types.is_date32(array.type):
        return array.cast(pa.int32())
    message = f"a date or time column has the Arrow type {array.type}"
    raise AssertionError(message)


_COLUMNS = """
    with recursive base (attnum, oid, typmod) as (
        select attnum, atttypid, atttypmod from pg_attribute
        where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped
      union all
        select b.attnum, t.typbasetype, t.typtypmod
        from base b join pg_type t on t.oid = b.oid where t.typtype = 'd'
    )
    select a.attname, t.typname, e.typname, b.typmod >= 0
    from base b
    join pg_attribute a on a.attrelid = %(table)s::regclass and a.attnum = b.attnum
    join pg_type t on t.oid = b.oid and t.typtype <> 'd'
    left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
    order by a.attnum
"""


def source_columns(connection: psycopg.Connection[Any], table: str) -> list[SourceColumn]:
    """The columns of a table now, in order."""
    rows = connection.execute(_COLUMNS, {"table": table}).fetchall()
    return [SourceColumn(*row) for row in rows]
