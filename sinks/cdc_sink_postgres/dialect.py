"""Postgres' SQL: names, types and single values.

Everything is lossless; docs/sinks/postgres.md has the table. A type that is not in it is refused, never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from cdc.errors import SinkRefused
from cdc.model import Column, TableId
from cdc.sql import Dialect, OwnTypes
from cdc.sql.keyed import KeyedRows, insert_on_conflict
from cdc_libpq.urls import MAX_NAME_BYTES
from cdc_sink_postgres.encoding import NUL_SYMBOL, given_kind, has_nul, simple
from cdc_sink_postgres.numerics import UINT64_PRECISION

# Types that the source delivers as the text that its server writes, and that this server reads from that
# text: name of the source's type → type here, both as `format_type` spells them. Only types of Postgres
# itself, whose text every version reads back as the same value.
_READ_FROM_TEXT = re.compile(
    r"""(?: numeric (?:\(\d+,-?\d+\))?
          | interval (?:\ [a-z ]+)? (?:\(\d\))?
          | (?:time|timestamp) (?:\(\d\))? \ with(?:out)? \ time \ zone
          | inet | cidr | macaddr8? | bit\ varying (?:\(\d+\))? | bit \(\d+\)
          | (?:int4|int8|num|ts|tstz|date) (?:multi)? range
          | point | line | lseg | box | path | polygon | circle
          | tsvector | tsquery | jsonpath | pg_lsn
        )""",
    re.VERBOSE,
)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_MICROSECONDS_A_DAY = 86_400_000_000
# From this version on, a function says whether a text is a value of a type.
FIRST_WITH_INPUT_CHECK = 160_000


class PostgresDialect(Dialect):
    """`version` is the server's `server_version_num`; `replaces_nul` as the option `nul`."""

    product = "PostgreSQL"
    types = OwnTypes(
        text="text",
        integer="integer",
        bigint="bigint",
        flag="boolean",
        moment="timestamptz",
        texts="text[]",
        json="jsonb",
    )
    system_schemas = frozenset({"information_schema"})
    system_columns = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
    longest_name = MAX_NAME_BYTES
    keeps_tables = True

    def __init__(self, version: int, *, replaces_nul: bool = False) -> None:
        self._version = version
        self._replaces_nul = replaces_nul

    def folded(self, name: str) -> str:
        return name

    def place(self, table: TableId) -> TableId:
        """Schemas whose name begins with pg_ belong to the server."""
        return TableId(f"_{table.schema}", table.name) if table.schema.startswith("pg_") else table

    def literal(self, text: str) -> str:
        if "\x00" in text and not self._replaces_nul:
            raise has_nul()
        return super().literal(text.replace("\x00", NUL_SYMBOL))

    def temporary(self, name: str) -> str:
        return f"pg_temp.{name}"

    def constant(self, value: Any, kind: str) -> str:
        of = value.type
        if pa.types.is_list(of) or pa.types.is_large_list(of):
            is_inner = pa.types.is_nested(of.value_type)
            write, element = (self.constant, kind) if is_inner else (self.value, kind.removesuffix("[]"))
            return "array[" + ", ".join(write(each, element) for each in value.values) + "]"
        if pa.types.is_temporal(of):
            return _temporal(value)
        if isinstance(value.as_py(), bytes):
            return f"'\\x{value.as_py().hex()}'"
        if pa.types.is_decimal(of):
            return self.literal(format(value.as_py(), "f"))
        if pa.types.is_floating(of):
            return self.literal(repr(float(value.as_py())))
        return self.literal(str(value.as_py()))

    def moment(self, at: datetime | None) -> str:
        return "cast(null as timestamptz)" if at is None else f"timestamptz '{at.isoformat()}'"

    def microseconds(self, moment: str) -> str:
        return f"cast(extract(epoch from {moment}) * 1000000 as bigint)"

    def column_type(self, column: Column, where: str) -> str:
        is_text = given_kind(column.type) == "text"
        if is_text and column.source_type in ("json", "jsonb"):
            return column.source_type
        if is_text and _READ_FROM_TEXT.fullmatch(column.source_type):
            return column.source_type
        kind = _exact(column.type)
        if kind is None:
            raise SinkRefused(
                f"the Arrow type {column.type} has no exact counterpart in PostgreSQL",
                where=f"{where}.{column.name}",
                remedy="Exclude the column or the table in the source's configuration.",
            )
        return kind

    def readable(self, array: Any, kind: str) -> Any:
        """Arrow values are encoded by their type, whatever column they are for."""
        del kind
        return array

    def write_keyed(self, rows: KeyedRows) -> list[str]:
        """The fastest of the three ways (docs/benchmarks/README.md)."""
        return insert_on_conflict(rows, self.delete)

    def rows_equal(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Compare texts: json and point have no equality, 1.50 equals 1.5, and only `=` can be hashed."""
        if not pairs:
            return "true"
        ours, theirs = (", ".join(side) for side in zip(*pairs, strict=True))
        return f"cast(row({ours}) as text) = cast(row({theirs}) as text)"

    def is_not_castable(self, value: str, kind: str) -> str:
        if self._version < FIRST_WITH_INPUT_CHECK:
            # Unknown until it is tried: the old rows are then kept apart.
            return f"{value} is not null"
        read = f"pg_input_is_valid(cast({value} as text), {self.literal(kind)})"
        return f"({value} is not null and not {read})"

    def image(self, fields: Sequence[tuple[str, str]]) -> str:
        """Every value as the text that the server writes: exact, and read back by a cast."""
        names = ", ".join(self.literal(name) for name, _ in fields)
        values = ", ".join(f"cast({value} as text)" for _, value in fields)
        return f"jsonb_object(array[{names}]::text[], array[{values}]::text[])"

    def image_field(self, image: str, name: str) -> str:
        return f"({image} ->> {self.literal(name)})"

    def change_type(self, target: str, name: str, kind: str, value: str | None = None) -> list[str]:
        using = value or f"cast({self.quoted(name)} as {kind})"
        return [f"alter table {target} alter column {self.quoted(name)} type {kind} using {using}"]

    def converted(self, value: str, old: str, new: str) -> str:
        """A cast of a stored value to a column's new type. Not every two types have a cast, but all have a
        text.
        """
        if {simple(old), simple(new)} <= _NUMBERS:
            return f"cast({value} as {new})"
        return f"cast(cast({value} as text) as {new})"

    def move_table(self, place: TableId, schema: str) -> str | None:
        return f"alter table {self.qualified(place)} set schema {self.quoted(schema)}"


def _temporal(value: Any) -> str:
    """Return a date, time, timestamp or duration of any year as an expression."""
    of = value.type
    if pa.types.is_timestamp(of):
        name, zone = ("timestamptz", "+00") if of.tz else ("timestamp", "")
        day, rest = divmod(value.cast(pa.timestamp("us", of.tz)).value, _MICROSECONDS_A_DAY)
        start = f"{name} '1970-01-01 00:00:00{zone}'"
        return f"({start} + make_interval(days => {day}) + interval '{rest} microseconds')"
    if pa.types.is_date32(of):
        return f"(date '1970-01-01' + ({value.value}))"
    if pa.types.is_duration(of):
        return f"interval '{value.cast(pa.duration('us')).value} microseconds'"
    seconds, rest = divmod(value.cast(pa.time64("us")).value, 1_000_000)
    # Not by Python's time, which has no 24:00.
    return f"time '{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:06}'"


def _exact(of: pa.DataType) -> str | None:
    """Return the type of a column for an Arrow type, with its modifier; None if there is none."""
    if pa.types.is_decimal(of):
        return f"numeric({of.precision},{of.scale})" if of.scale >= 0 else None
    if of == pa.uint64():
        return f"numeric({UINT64_PRECISION},0)"
    if pa.types.is_dictionary(of):
        return _exact(of.value_type)
    if pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of):
        leaf = of
        while pa.types.is_nested(leaf) and not pa.types.is_struct(leaf) and not pa.types.is_map(leaf):
            leaf = leaf.value_type
        kind = _exact(leaf) if given_kind(of) else None
        return None if kind is None else f"{kind}[]"
    kind = given_kind(of)
    return "json" if isinstance(of, pa.BaseExtensionType) and kind == "text" else kind
