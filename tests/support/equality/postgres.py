"""Tables of Postgres in canonical form.

Dates and times become integers (days, microseconds), decimals `Decimal`, NaN a word, lists tuples; types that
travel as the server's text are that text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa

from tests.support.equality.tables import SourceTable
from tests.support.equality.values import integers, plain
from tests.support.postgres.server import Database

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
class PostgresColumn:
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
        if self.element == "money":
            return f"{quoted}::numeric[]"
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
            return list(integers(array).to_pylist())
        values = array.to_pylist()
        if self.element is None and (self.base == "money" or (self.base == "numeric" and self.is_exact)):
            return [None if value is None else Decimal(value) for value in values]
        return [plain(value) for value in values]


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


def source_columns(connection: psycopg.Connection[Any], table: str) -> list[PostgresColumn]:
    """The columns of a table now, in order."""
    rows = connection.execute(_COLUMNS, {"table": table}).fetchall()
    return [PostgresColumn(*row) for row in rows]


def read_source(database: Database, table: str, key: Sequence[str]) -> SourceTable:
    """`table` as `schema.name`, already quoted where it needs it."""
    with database.connect(autocommit=False) as connection:
        connection.execute(SESSION)
        columns = source_columns(connection, table)
        names = ", ".join(c.expression for c in columns)
        fetched = connection.execute(f"select {names} from {table}".encode()).fetchall()
        by_column = [c.from_source([row[i] for row in fetched]) for i, c in enumerate(columns)]
        rows = Counter(zip(*by_column, strict=True)) if columns else Counter({(): len(fetched)})
    return SourceTable(table, tuple(columns), tuple(key), rows)
