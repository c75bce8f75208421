"""DuckDB's SQL: names, types, single values, and Arrow columns in a form that DuckDB reads.

Everything is lossless; docs/sinks/duckdb.md has the table. A type that is not in it is refused, never
guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from cdc.errors import SinkRefused
from cdc.model import Column, TableId
from cdc.sql import Dialect, OwnTypes
from cdc.sql.mapping import decimal_text

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
# The bytes of a value, for the types that may have many.
_LENGTHS = {"VARCHAR": "strlen({})", "JSON": "strlen({}::varchar)", "BLOB": "octet_length({})"}
# The types whose casts the extensions json and icu complete.
_OF_EXTENSIONS = ("JSON", "TIMESTAMPTZ")
_EPOCH_DATE = "date '1970-01-01'"


class DuckDBDialect(Dialect):
    """`catalog` is DuckDB's name of the file."""

    product = "DuckDB"
    container = "file"
    row_place = "rowid"
    types = OwnTypes(
        text="VARCHAR",
        integer="INTEGER",
        bigint="BIGINT",
        flag="BOOLEAN",
        moment="TIMESTAMPTZ",
        texts="VARCHAR[]",
        json="JSON",
    )
    # DuckDB fills them itself and refuses to create them.
    system_schemas = frozenset({"information_schema", "pg_catalog"})

    def __init__(self, catalog: str) -> None:
        self._catalog = self.quoted(catalog)

    def qualified(self, place: TableId) -> str:
        """Three parts: with two, a schema that is named like the file would be ambiguous."""
        return f"{self._catalog}.{self.quoted(place.schema)}.{self.quoted(place.name)}"

    def temporary(self, name: str) -> str:
        return f"temp.main.{name}"

    def create_schema(self, name: str) -> list[str]:
        return [f"create schema if not exists {self._catalog}.{self.quoted(name)}"]

    def constant(self, value: Any, kind: str) -> str:
        """Return the literal for DDL, in the form that DuckDB requires for some types."""
        of = value.type
        if isinstance(of, pa.BaseExtensionType):
            return self.literal(str(value.as_py()))
        if pa.types.is_list(of) or pa.types.is_large_list(of):
            elements = (self.constant(v, kind) if v.is_valid else "null" for v in value.values)
            return "[" + ", ".join(elements) + "]"
        if pa.types.is_binary(of) or pa.types.is_large_binary(of):
            return "'" + "".join(f"\\x{byte:02X}" for byte in value.as_py()) + "'::blob"
        if pa.types.is_timestamp(of) and of.unit == "us":
            maker = "make_timestamptz" if of.tz else "make_timestamp"
            return f"{maker}({value.cast(pa.int64()).as_py()})"
        if pa.types.is_date32(of):
            return f"({_EPOCH_DATE} + ({value.cast(pa.int32()).as_py()}))"
        if pa.types.is_decimal(of):
            return self.literal(format(value.as_py(), "f"))
        if pa.types.is_floating(of):
            return self.literal(repr(float(value.as_py())))
        return self.literal(str(value.as_py()))

    def cast(self, value: str, kind: str) -> str:
        """Without a cast to JSON, which needs an extension (`converted`): what is assigned to such a column
        needs none.
        """
        return value if "JSON" in kind else super().cast(value, kind)

    def converted(self, value: str, old: str, new: str) -> str | None:
        """DuckDB keeps the expressions of DDL in its WAL, and replays them without extensions. After a kill,
        casts of the types that extensions complete gave other values, or the file could not be opened.
        """
        needs_extension = any(name in kind for name in _OF_EXTENSIONS for kind in (old, new))
        return f"cast({value} as {new})" if needs_extension else None

    def change_type(self, target: str, name: str, kind: str, value: str | None = None) -> list[str]:
        """By an update where there is a `value`: an extension may have its functions too (`converted`)."""
        if value is None:
            # Rows that were deleted may hold anything (`Connection.casts_deleted_rows`).
            return super().change_type(target, name, kind, f"try_cast({self.quoted(name)} as {kind})")
        made = self.quoted("_cdc_retyped")
        return [
            f"alter table {target} add column {made} {kind}",
            f"update {target} set {made} = {value}",
            # The column stays in its place.
            *super().change_type(target, name, kind, made),
            f"alter table {target} drop column {made}",
        ]

    def moment(self, at: datetime | None) -> str:
        value = pa.scalar(at, pa.timestamp("us", "UTC"))
        return f"make_timestamptz({value.value})" if value.is_valid else "cast(null as timestamptz)"

    def microseconds(self, moment: str) -> str:
        """DuckDB would need the package pytz to make Python values of timestamps with a time zone."""
        return f"epoch_us({moment})"

    def column_type(self, column: Column, where: str) -> str:
        if column.source_type in ("json", "jsonb") and pa.types.is_string(column.type):
            return "JSON"
        return self._type(column.type, f"{where}.{column.name}")

    def readable(self, array: Any, kind: str) -> Any:
        if kind == "JSON" and not isinstance(array, pa.ExtensionArray):
            # Marked as JSON it is taken over as it is; cast from text it would be parsed, and a text that the
            # source accepts and DuckDB's parser does not (a lone surrogate) would stop the sink.
            return pa.ExtensionArray.from_storage(pa.json_(), array.cast(pa.string()))
        if pa.types.is_decimal256(array.type):
            return decimal_text(array) if kind == "VARCHAR" else array.cast(_narrow(array.type))
        target = _scannable(array.type)
        return array if target == array.type else array.cast(target)

    def byte_length(self, value: str, kind: str) -> str | None:
        return _LENGTHS[kind].format(value) if kind in _LENGTHS else None

    def image_type(self, columns: Sequence[tuple[str, str]]) -> str:
        return "STRUCT(" + ", ".join(f"{self.quoted(name)} {kind}" for name, kind in columns) + ")"

    def image(self, fields: Sequence[tuple[str, str]]) -> str:
        return "struct_pack(" + ", ".join(f"{self.quoted(name)} := {value}" for name, value in fields) + ")"

    def image_field(self, image: str, name: str) -> str:
        return f"{image}.{self.quoted(name)}"

    def _type(self, kind: pa.DataType, where: str) -> str:
        """The DuckDB type for an Arrow type; SinkRefused when there is none."""
        if kind in _SIMPLE:
            return _SIMPLE[kind]
        if isinstance(kind, pa.BaseExtensionType) and kind.extension_name in _EXTENSIONS:
            return _EXTENSIONS[kind.extension_name]
        if pa.types.is_decimal(kind):
            return (
                f"DECIMAL({kind.precision},{kind.scale})" if kind.precision <= WIDEST_DECIMAL else "VARCHAR"
            )
        if pa.types.is_fixed_size_binary(kind):
            return "BLOB"
        if pa.types.is_timestamp(kind) and kind.unit == "us":
            return "TIMESTAMPTZ"
        if pa.types.is_dictionary(kind):
            return self._type(kind.value_type, where)
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return f"{self._type(kind.value_type, where)}[]"
        if pa.types.is_struct(kind) and kind.num_fields:
            fields = ", ".join(f"{self.quoted(f.name)} {self._type(f.type, where)}" for f in kind)
            return f"STRUCT({fields})"
        raise SinkRefused(
            f"the Arrow type {kind} has no exact counterpart in DuckDB",
            where=where,
            remedy="Exclude the column or the table in the source's configuration.",
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
