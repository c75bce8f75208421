"""ClickHouse's SQL: names, types, engines and single values.

Everything is lossless; docs/sinks/clickhouse.md has the table. A type that is not in it is refused, never
guessed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.errors import SinkRefused
from cdc.model import Column, TableId
from cdc.model.position import to_microseconds
from cdc.native.iso import iso_text
from cdc.sql import Dialect, OwnTypes
from cdc.sql.layout import VERSION
from cdc.sql.mapping import decimal_text, duration_text
from cdc.sql.stored import StoredTable
from cdc_sink_clickhouse.options import ClickHouseSinkOptions

_INTEGERS = {
    pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64",
    pa.uint8(): "UInt8", pa.uint16(): "UInt16", pa.uint32(): "UInt32", pa.uint64(): "UInt64",
}  # fmt: skip
_SCALARS = {
    **_INTEGERS, pa.bool_(): "Bool",
    pa.float16(): "Float32", pa.float32(): "Float32", pa.float64(): "Float64",
}  # fmt: skip
_DATETIME = "DateTime64(6, 'UTC')"
# The years that Date32 and DateTime64 have; beyond them, functions and formats clamp.
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2299, 12, 31)
_FIRST_MOMENT = to_microseconds(datetime.fromisoformat("1900-01-01T00:00:00+00:00"))
_LAST_MOMENT = to_microseconds(datetime.fromisoformat("2299-12-31T23:59:59.999999+00:00"))
# A name becomes that of a folder, where each byte of an odd character takes three.
_LONGEST_NAME = 64
# Blocks whose inserts a plain table remembers, to refuse the same one again. A replicated one has 10,000.
DEDUPLICATION_WINDOW = 1000
VIEW_SUFFIX = "__current"


class ClickHouseDialect(Dialect):
    """The SQL for the tables of a sink with these options."""

    product = "ClickHouse"
    container = "server"
    is_versioned = True
    rebuilds_images = False
    longest_name = _LONGEST_NAME
    system_schemas = frozenset({"system", "information_schema", "INFORMATION_SCHEMA"})
    types = OwnTypes(
        text="Nullable(String)",
        integer="Int32",
        bigint="Int64",
        flag="Bool",
        moment=f"Nullable({_DATETIME})",
        texts="Array(String)",
        json="Nullable(String)",
    )
    # Columns of the sink whose types differ from those above.
    _own_types = {"_cdc_end_seq": "Nullable(Int64)", "_cdc_op": "LowCardinality(String)"}  # noqa: RUF012

    def __init__(self, options: ClickHouseSinkOptions) -> None:
        self._options = options
        self.on_cluster = f" on cluster {self.quoted(options.cluster)}" if options.cluster else ""

    def quoted(self, name: str) -> str:
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def literal(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def folded(self, name: str) -> str:
        return name

    def create_schema(self, name: str) -> list[str]:
        return [f"create database if not exists {self.quoted(name)}{self.on_cluster}"]

    def create_table(self, target: str, columns: Sequence[tuple[str, str]], stored: StoredTable) -> str:
        listed = ", ".join(f"{self.quoted(name)} {self._own_types.get(name, kind)}" for name, kind in columns)
        return f"create table if not exists {target}{self.on_cluster} ({listed}) {self.storage(stored)}"

    def storage(self, stored: StoredTable) -> str:
        """The engine, the order of rows, and the settings of a table."""
        replicated = "Replicated" if self._options.engine == "replicated" else ""
        key = [self.quoted(name) for name in stored.key_columns]
        settings = " settings allow_nullable_key = 1"
        if stored.mode == "append":
            window = (
                ""
                if replicated
                else f" settings non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"
            )
            return f"engine = {replicated}MergeTree order by _cdc_seq{window}"
        if stored.mode == "history":
            order = ", ".join([*key, "_cdc_seq"])
            return f"engine = {replicated}ReplacingMergeTree({VERSION}) order by ({order}){settings}"
        version, order = ("_cdc_seq", ", ".join(key)) if key else (VERSION, "_cdc_seq")
        deleted = ", _cdc_deleted" if stored.deletes == "hard" else ""
        return f"engine = {replicated}ReplacingMergeTree({version}{deleted}) order by ({order}){settings}"

    def drop_table(self, target: str) -> str:
        return f"drop table if exists {target}{self.on_cluster} sync"

    def views(self, stored: StoredTable) -> list[str]:
        """The view of the current rows: in a changelog there are none."""
        if stored.mode == "append" or not stored.columns:
            return []
        hidden = {VERSION, "_cdc_deleted"}
        if stored.mode == "history":
            columns, condition = ["valid_from", "_cdc_seq"], f" where {VERSION} = 0"
        else:
            columns, condition = ["_cdc_seq", "_cdc_commit_at"], " where not _cdc_deleted"
        names = [c.name for c in stored.columns] + [c for c in columns if c not in hidden]
        listed = ", ".join(self.quoted(name) for name in names)
        view = self.qualified(_view_of(stored.place))
        origin = self.qualified(stored.place)
        made = f"create or replace view {view}{self.on_cluster} as select {listed} from {origin} final"
        if stored.mode != "history":
            return [f"{made}{condition}"]
        everything = [*names[:-2], "valid_from", "valid_to", "_cdc_seq", "_cdc_end_seq"]
        listed = ", ".join(self.quoted(name) for name in everything)
        versions = self.qualified(replace(stored.place, name=f"{stored.place.name}__versions"))
        return [
            f"{made}{condition}",
            f"create or replace view {versions}{self.on_cluster} as select {listed} from {origin} final",
        ]

    def drop_views(self, place: TableId) -> list[str]:
        names = (_view_of(place), replace(place, name=f"{place.name}__versions"))
        return [f"drop view if exists {self.qualified(name)}{self.on_cluster} sync" for name in names]

    def newest(self, target: str, condition: str) -> str:
        return f"(select * from {target} final where {condition})"

    def fingerprint(self, values: Sequence[str]) -> str:
        """Texts: a float's has all its digits, and NaN equals NaN."""
        texts = [f"ifNull(concat('v', toString({value})), 'n')" for value in values]
        return f"[{', '.join(texts) or repr('')}]"

    def constant(self, value: Any, kind: str) -> str:
        of = value.type
        if kind in ("String", "Nullable(String)") and not _is_bytes(of):
            return self.literal(str(self.readable(pa.repeat(value, 1), kind)[0].as_py()))
        if pa.types.is_timestamp(of):
            return f"fromUnixTimestamp64Micro({value.cast(pa.timestamp('us', of.tz)).value}, 'UTC')"
        if pa.types.is_date32(of):
            return self.literal(iso_text(pa.repeat(value, 1))[0].as_py())
        if _is_bytes(of):
            return f"unhex('{value.as_py().hex()}')"
        if pa.types.is_decimal(of):
            return self.literal(format(value.as_py(), "f"))
        return self.literal(str(value.as_py()).lower() if pa.types.is_boolean(of) else str(value.as_py()))

    def moment(self, at: datetime | None) -> str:
        return "null" if at is None else f"fromUnixTimestamp64Micro({to_microseconds(at)}, 'UTC')"

    def microseconds(self, moment: str) -> str:
        return f"toUnixTimestamp64Micro({moment})"

    def later(self, one: str, other: str) -> str:
        return f"if({other} is null, {one}, greatest({one}, {other}))"

    def column_type(self, column: Column, where: str) -> str:
        kind = self._kind(column.type)
        if kind is None:
            raise SinkRefused(
                f"the Arrow type {column.type} has no exact counterpart in ClickHouse",
                where=f"{where}.{column.name}",
                remedy="Exclude the column or the table in the source's configuration.",
            )
        return f"Nullable({kind})"

    def key_type(self, kind: str) -> str:
        return kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind

    def _kind(self, of: pa.DataType) -> str | None:
        """The type that holds all values of an Arrow type; None if there is none."""
        if pa.types.is_dictionary(of):
            return self._kind(of.value_type)
        if isinstance(of, pa.BaseExtensionType):
            return "UUID" if isinstance(of, pa.UuidType) else self._kind(of.storage_type)
        if of in _SCALARS:
            return _SCALARS[of]
        if pa.types.is_decimal(of):
            return f"Decimal({of.precision}, {of.scale})" if of.scale >= 0 else None
        is_native = self._options.timestamps == "native"
        if pa.types.is_timestamp(of):
            return None if of.unit == "ns" else _DATETIME if is_native else "String"
        if pa.types.is_date32(of):
            return "Date32" if is_native else "String"
        return "String" if _has_text(of) else None

    def readable(self, array: Any, kind: str) -> Any:
        """Arrow values that ClickHouse reads as they are.

        Raises:
            SinkRefused: a date or timestamp is outside of the years that ClickHouse has.
        """
        of = array.type
        if pa.types.is_dictionary(of):
            return self.readable(array.dictionary_decode(), kind)
        if isinstance(of, pa.UuidType):
            return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
        if isinstance(of, pa.BaseExtensionType):
            return self.readable(array.storage, kind)
        if "String" in kind and not (_is_text(of) or kind == self.types.texts):
            return _as_text(array)
        if pa.types.is_timestamp(of):
            moments = array.cast(pa.timestamp("us", of.tz))
            _check_range(moments.cast(pa.int64()), _FIRST_MOMENT, _LAST_MOMENT)
            return moments.cast(pa.timestamp("us", "UTC"))
        if pa.types.is_float16(of):
            return array.cast(pa.float32())
        if pa.types.is_date32(of):
            _check_range(array, pa.scalar(_FIRST_DAY), pa.scalar(_LAST_DAY))
        return array

    def is_not_castable(self, value: str, kind: str) -> str:
        """A value must come back from the new type: a cast drops digits silently."""
        cast = f"accurateCastOrNull({value}, {self.literal(kind)})"
        back = f"accurateCastOrNull({cast}, toTypeName({value}))"
        return f"({value} is not null and ({cast} is null or {back} is distinct from {value}))"

    def image(self, fields: Sequence[tuple[str, str]]) -> str:
        """JSON; bytes that are no text are hex digits behind a backslash and an x."""
        parts = [f"{self.literal(json.dumps(name) + ':')}, {_json(value)}" for name, value in fields]
        return f"concat('{{', {self._separated(parts)}, '}}')"

    @staticmethod
    def _separated(parts: Sequence[str]) -> str:
        return ", ',', ".join(parts) or "''"

    def image_field(self, image: str, name: str) -> str:
        return f"JSONExtractRaw({image}, {self.literal(name)})"

    def add_column(self, target: str, name: str, kind: str, fill: str | None = None) -> list[str]:
        """Rows that are there have the default as long as they are not merged, then in their parts."""
        default = "" if fill is None else f" default {fill}"
        added = f"add column if not exists {self.quoted(name)} {kind}{default}"
        return [f"alter table {target}{self.on_cluster} {added}"]

    def change_type(self, target: str, name: str, kind: str, value: str | None = None) -> list[str]:
        del value
        return [f"alter table {target}{self.on_cluster} modify column {self.quoted(name)} {kind}"]

    def drop_column(self, target: str, name: str) -> str:
        return f"alter table {target}{self.on_cluster} drop column if exists {self.quoted(name)}"

    def rename_column(self, target: str, old: str, new: str) -> str:
        named = f"{self.quoted(old)} to {self.quoted(new)}"
        return f"alter table {target}{self.on_cluster} rename column if exists {named}"

    def rename_table(self, place: TableId, name: str) -> str:
        return self._renamed(place, replace(place, name=name))

    def move_table(self, place: TableId, schema: str) -> str | None:
        return self._renamed(place, replace(place, schema=schema))

    def _renamed(self, place: TableId, to: TableId) -> str:
        names = f"{self.qualified(place)} to {self.qualified(to)}"
        return f"rename table if exists {names}{self.on_cluster}"

    def image_type(self, columns: Sequence[tuple[str, str]]) -> str:
        del columns
        return self.types.json


def _view_of(place: TableId) -> TableId:
    return replace(place, name=place.name + VIEW_SUFFIX)


def _json(value: str) -> str:
    text = f"ifNull(toString({value}), '')"
    raw = f"concat('\"\\\\\\\\x', lower(hex({text})), '\"')"
    return f"if(isValidUTF8({text}), ifNull(toJSONString({value}), 'null'), {raw})"


def _check_range(values: Any, first: Any, last: Any) -> None:
    if len(values) == 0:
        return
    wrong = pc.any(pc.or_(pc.less(values, first), pc.greater(values, last))).as_py()
    if wrong:
        raise SinkRefused(
            "a date or timestamp is outside of the years 1900 to 2299, which ClickHouse's types have",
            remedy="Set `timestamps: text` for this sink, or exclude the column at the source.",
        )


def _is_bytes(of: pa.DataType) -> bool:
    return (
        pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_binary_view(of)
        or pa.types.is_fixed_size_binary(of)
    )  # fmt: skip


def _is_text(of: pa.DataType) -> bool:
    is_characters = pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of)
    return is_characters or _is_bytes(of)


def _has_text(of: pa.DataType) -> bool:
    if pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of):
        inner = of.value_type
        is_plain = inner in _INTEGERS or pa.types.is_boolean(inner) or pa.types.is_floating(inner)
        is_stamp = pa.types.is_timestamp(inner) or pa.types.is_date32(inner) or isinstance(inner, pa.UuidType)
        return is_plain or is_stamp or pa.types.is_decimal(inner) or _has_text(inner)
    if isinstance(of, pa.BaseExtensionType):
        return isinstance(of, pa.UuidType) or _has_text(of.storage_type)
    return _is_text(of) or pa.types.is_time(of) or pa.types.is_duration(of)


def _as_text(array: Any) -> Any:
    """Dates and times as ISO 8601 writes them (UTC, with a space), arrays as JSON."""
    of = array.type
    if pa.types.is_timestamp(of):
        return iso_text(array.cast(pa.timestamp("us")))
    if pa.types.is_date32(of):
        return iso_text(array)
    if pa.types.is_time(of):
        return array.cast(pa.string())
    if pa.types.is_duration(of):
        return duration_text(array)
    if pa.types.is_decimal(of):
        return decimal_text(array)
    if pa.types.is_nested(of):
        return pa.array([_array_json(value) for value in array], pa.string())
    return array.cast(pa.string())


def _array_json(value: Any) -> str | None:
    return (
        None if not value.is_valid else json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    )


def _plain(value: Any) -> Any:
    """A value of JSON: what its numbers cannot hold exactly is text."""
    if not value.is_valid:
        return None
    of = value.type
    if pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of):
        return [_plain(one) for one in value.values]
    if of in _INTEGERS or pa.types.is_boolean(of):
        return value.as_py()
    if pa.types.is_floating(of):
        number = float(value.as_py())
        return (
            number
            if number - number == 0
            else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(number), "NaN")
        )
    given = value.as_py()
    if isinstance(given, bytes):
        return f"\\x{given.hex()}"
    if isinstance(given, (str, uuid.UUID)):
        return str(given)
    return _as_text(pa.array([value.value if isinstance(value, pa.ExtensionScalar) else value], of))[
        0
    ].as_py()
