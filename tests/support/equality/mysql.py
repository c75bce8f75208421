"""Tables of MySQL and MariaDB in canonical form.

Dates and timestamps become integers (days, microseconds), decimals `Decimal`, vectors tuples, geometries
EWKB; TIME and JSON are the server's text.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.support.equality.tables import SourceTable
from tests.support.equality.values import integers, plain
from tests.support.mysql.server import MysqlServer

# Type → how the server is asked for the canonical form; `{}` is the column. Others are asked for as they are.
_EXPRESSIONS = {
    "float": "({}) + 0e0",
    "bit": "cast({} as unsigned)",
    "date": "to_days({}) - 719528",
    "datetime": "timestampdiff(microsecond, '1970-01-01', {})",
    "timestamp": "timestampdiff(microsecond, '1970-01-01', {})",
    "time": "cast({} as char)",
    "vector": "hex({})",
    "json": "cast({} as char)",
}
_INTEGER_TIMES = frozenset({"date", "datetime", "timestamp"})
_GEOMETRIES = frozenset({"geometry", "point", "linestring", "polygon", "multipoint"})
_GEOMETRIES |= {"multilinestring", "multipolygon", "geometrycollection", "geomcollection"}
# The flag in the type of a geometry that says that an SRID follows.
EWKB_SRID = 0x20000000
_COLUMNS = """
    select column_name, data_type, column_type from information_schema.columns
     where table_schema = %s and table_name = %s{} order by ordinal_position
"""
# What MariaDB 11's binlog has not in its updates is no part of the copies.
_WITHOUT_GENERATED = " and extra not like '%%GENERATED%%'"


@dataclass(frozen=True)
class MysqlColumn:
    """A column as the source has it now; `base` is information_schema's DATA_TYPE, `type` its COLUMN_TYPE."""

    name: str
    base: str
    type: str

    @property
    def expression(self) -> str:
        return _EXPRESSIONS.get(self.base, "{}").format("`" + self.name.replace("`", "``") + "`")

    def from_source(self, values: Sequence[Any]) -> list[Any]:
        convert: Callable[[Any], Any] = plain
        if self.type == "bit(1)":
            convert = bool
        elif self.base == "vector":
            convert = _vector
        elif self.base in _GEOMETRIES:
            convert = ewkb
        return [None if value is None else convert(value) for value in values]

    def from_arrow(self, array: Any) -> list[Any]:
        """Canonical values of an Arrow column, chunked or not."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if self.base in _INTEGER_TIMES:
            return list(integers(array).to_pylist())
        values = array.to_pylist()
        if self.base == "decimal":
            return [None if value is None else Decimal(value) for value in values]
        return [plain(value) for value in values]


def ewkb(value: bytes) -> bytes:
    """What the server stores (SRID, then WKB) as EWKB; without SRID as WKB."""
    (srid,) = struct.unpack_from("<I", value)
    if not srid:
        return value[4:]
    (kind,) = struct.unpack_from("<I", value, 5)
    return value[4:5] + struct.pack("<II", kind | EWKB_SRID, srid) + value[9:]


def _vector(digits: str) -> tuple[float, ...]:
    data = bytes.fromhex(digits)
    return struct.unpack(f"<{len(data) // 4}f", data)


def source_columns(cursor: Any, schema: str, name: str, *, has_generated: bool = True) -> list[MysqlColumn]:
    """The columns of a table now, in order."""
    cursor.execute(_COLUMNS.format("" if has_generated else _WITHOUT_GENERATED), [schema, name])
    return [MysqlColumn(str(n), str(b).lower(), str(k).lower()) for n, b, k in cursor.fetchall()]


def read_source(server: MysqlServer, table: str, key: Sequence[str]) -> SourceTable:
    """`table` as `schema.name`."""
    schema, _, name = table.partition(".")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set session time_zone = '+00:00'")
        has_generated = server.name != "mariadb11"
        columns = source_columns(cursor, schema, name, has_generated=has_generated)
        names = ", ".join(column.expression for column in columns)
        cursor.execute(f"select {names} from {table}")
        fetched = cursor.fetchall()
    by_column = [c.from_source([row[i] for row in fetched]) for i, c in enumerate(columns)]
    rows = Counter(zip(*by_column, strict=True)) if columns else Counter({(): len(fetched)})
    return SourceTable(table, tuple(columns), tuple(key), rows)
