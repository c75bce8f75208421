"""Decides for every column its Arrow type and how it is decoded, once, the same for snapshot and stream, and
which columns are left out.

Lossless first; what Arrow can't hold follows the policy `unrepresentable`. docs/types/mysql.md has the table.

Generated columns that a server leaves out of its binlog are left out of the copies too. From version 11 on
the UPDATE and DELETE events of MariaDB lack all generated columns, VIRTUAL and STORED, with full row images
too; 10.11 and MySQL send them. Nothing shows what they hold after such an update, so there they are no part
of the table: not in its schema, not in a snapshot's rows, and where an event has them they are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.model import Column, TableId, TableSchema, shown
from cdc.model.batch import RESERVED_PREFIX, Envelope
from cdc.model.schema import Identity
from cdc_source_mysql.connection import ServerFacts
from cdc_source_mysql.schema import column_types as types
from cdc_source_mysql.schema.charsets import wire_charset
from cdc_source_mysql.schema.column_types import ParsedType, character_bytes, event_forms, parse_type
from cdc_source_mysql.schema.definitions import HASH_PREFIX, ColumnDefinition, TableDefinition, is_hash
from cdc_source_mysql.schema.table_map import TableMap

# What decimal128 holds; MySQL's decimals end at 65 digits, decimal256 at 76.
DECIMAL128_DIGITS = 38
# MySQL's name, Arrow signed and unsigned.
_INTEGERS = {
    "tinyint": ("int8", pa.int8(), pa.uint8()),
    "smallint": ("int16", pa.int16(), pa.uint16()),
    "mediumint": ("int24", pa.int32(), pa.uint32()),
    "int": ("int32", pa.int32(), pa.uint32()),
    "bigint": ("int64", pa.int64(), pa.uint64()),
}
_SIMPLE: dict[str, tuple[str, pa.DataType]] = {
    "float": ("float32", pa.float32()),
    "double": ("float64", pa.float64()),
    "year": ("year", pa.int16()),
    "date": ("date", pa.date32()),
    "datetime": ("datetime", pa.timestamp("us")),
    "timestamp": ("timestamp", pa.timestamp("us", "UTC")),
    "time": ("time", pa.string()),
    "json": ("json", pa.json_()),
    "vector": ("vector", pa.list_(pa.float32())),
    "uuid": ("uuid", pa.uuid()),
    "inet4": ("inet4", pa.string()),
    "inet6": ("inet6", pa.string()),
    "enum": ("enum", pa.string()),
    "set": ("set", pa.string()),
    **dict.fromkeys(types.GEOMETRIES, ("geometry", pa.binary())),
    "binary": ("binary", pa.binary()),
    **dict.fromkeys(("varbinary", *types.BLOBS), ("bytes", pa.binary())),
    **dict.fromkeys(("char", "varchar", *types.TEXTS), ("string", pa.string())),
}
_MAY_BE_UNREPRESENTABLE = frozenset({"date", "datetime", "timestamp"})
_WITH_FSP = frozenset({"datetime", "timestamp", "time"})
_LABELLED = frozenset({"enum", "set"})
_SIZED = frozenset({"varchar", "varbinary", "char", "binary"})
# Lengths of CHAR and VARCHAR values take two bytes from this maximum on.
_LONG_STRING_BYTES = 256
_SHORT_STRINGS = frozenset({types.STRING, types.VAR_STRING, types.VARCHAR, types.VARCHAR_COMPRESSED})
_BLOBS = frozenset({types.BLOB, types.BLOB_COMPRESSED, types.GEOMETRY, types.JSON, types.VECTOR})
_FOLLOW_LATER = "Exclude the table, or report the type."


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One column's decoding, decided.

    `kind` is one of:
      int8 int16 int24 int32 int64 (see `unsigned`)    float32 float64
      decimal (`precision`, `scale`)                   year
      bool (bit(1)), bit (uint64; `size` bytes, BE)    date
      datetime, timestamp, time (`fsp`)                datetime_old, timestamp_old, time_old (pre-5.6, fsp 0)
      enum (`size` 1|2 bytes, `labels`)                set (`size` bytes, `labels`)
      string (char, varchar, text: `charset`)          bytes (varbinary, blob)
      binary (fixed: right-pad with zeros to `size`)   uuid (16 bytes, padded; pa.uuid())
      inet4, inet6 (4/16 bytes, padded; rendered)      json (MySQL's binary JSON)
      geometry (u32 SRID + WKB)                        vector (float32s, little endian)
    `prefix_bytes` is the width of the length in front of a value in the binlog: 1 to 4 for string, bytes,
    binary, uuid, inet4, inet6, json, geometry, vector; 0 for the others. `type_code` and `meta` are those of
    TableMap (made from the definition where no event is given). `size` of string and bytes is the declared
    number of bytes (0: unlimited). `charset` is 'utf8', 'ascii', 'latin1', 'binary', or the server's name of
    a set that `charsets.decode_text` reads; '' for types without characters. `arrow` of kind string is
    pa.json_() for MariaDB's JSON. `compressed`: MariaDB's COMPRESSED column (kinds string and bytes).
    `as_text`: kinds date, datetime, timestamp under policy `string`: `arrow` is string, the value as the
    server renders it (timestamp in UTC). `omitted`: a generated column that isn't delivered: null
    wherever it is decoded, and no part of the schema.
    """

    name: str
    arrow: pa.DataType
    source_type: str
    kind: str
    type_code: int
    meta: int
    unsigned: bool = False
    charset: str = ""
    labels: tuple[str, ...] = ()
    precision: int = 0
    scale: int = 0
    fsp: int = 0
    size: int = 0
    prefix_bytes: int = 0
    compressed: bool = False
    as_text: bool = False
    omitted: bool = False


def plan_table(
    definition: TableDefinition,
    table_map: TableMap | None,
    flavour: str,
    unrepresentable: str,
    *,
    leaves_generated_out: bool = False,
) -> tuple[ColumnPlan, ...]:
    """Plan every column, in the order of the row images; `table_map` None: for a snapshot.

    `table_map` must fit the definition (`fits`). `unrepresentable` is the policy. `leaves_generated_out`: the
    server leaves generated columns out of updates (cdc_source_mysql.schema.type_plan).

    Raises:
        UnsupportedSchema: a column's type or character set can't be delivered, or its name is one of ours.
    """
    plans = tuple(
        _plan(definition.table, column, _form(column, table_map, at, flavour), flavour, unrepresentable)
        for at, column in enumerate(definition.columns)
    )
    names = {column.name for column in definition.columns if is_hash(column)}
    names |= {*omitted_columns(definition)} if leaves_generated_out else set()
    if not names:
        return plans
    return tuple(replace(plan, omitted=plan.name in names) for plan in plans)


def omitted_columns(definition: TableDefinition) -> tuple[str, ...]:
    """The columns without which a table is delivered where the server leaves out generated ones; not those
    of its key, without which no row could be identified.
    """
    needed = {*definition.key, *definition.period}
    shown = [column for column in definition.columns if not is_hash(column)]
    names = tuple(c.name for c in shown if c.generated and c.name not in needed)
    return names if len(names) < len(shown) else ()


def schema_of(
    definition: TableDefinition, plans: Sequence[ColumnPlan], identity: Identity = "full"
) -> TableSchema:
    """The engine's schema of the planned table."""
    nullable = {column.name: column.nullable for column in definition.columns}
    columns = tuple(
        Column(name=plan.name, type=plan.arrow, source_type=plan.source_type, nullable=nullable[plan.name])
        for plan in plans
        if not plan.omitted
    )
    return TableSchema(definition.table, columns, definition.key, identity)


def _form(column: ColumnDefinition, table_map: TableMap | None, at: int, flavour: str) -> tuple[int, int]:
    if table_map is not None:
        return table_map.types[at], table_map.metas[at]
    forms = event_forms(column)
    if column.column_type.startswith("vector") and flavour == "mariadb":
        return forms[-1]
    return forms[0] if forms else (0, 0)


def _plan(
    table: TableId, column: ColumnDefinition, form: tuple[int, int], flavour: str, unrepresentable: str
) -> ColumnPlan:
    parsed = parse_type(column.column_type)
    _refuse(table, column, parsed, flavour)
    kind, arrow = _kind(column, parsed)
    as_text = unrepresentable == "string" and parsed.base in _MAY_BE_UNREPRESENTABLE
    plan = ColumnPlan(
        name=column.name,
        arrow=pa.string() if as_text else arrow,
        source_type=_source_type(column),
        kind=kind,
        type_code=form[0],
        meta=form[1],
        unsigned=parsed.unsigned,
        labels=column.labels if parsed.base in _LABELLED else (),
        prefix_bytes=_prefix_bytes(*form),
        compressed=column.compressed,
        as_text=as_text,
    )
    return _with_sizes(_with_charset(plan, table, column), column, parsed)


def _refuse(table: TableId, column: ColumnDefinition, parsed: ParsedType, flavour: str) -> None:
    """Raise UnsupportedSchema for a column that the source cannot follow."""
    quoted = column.name.replace("`", "``")
    message, remedy = "", ""
    if column.name.startswith(RESERVED_PREFIX):
        message = f"the name begins with {RESERVED_PREFIX}, which the envelope of changes uses"
        renamed = f"alter table `{table.schema}`.`{table.name}` rename column `{quoted}` to ...;"
        remedy = f"Exclude the table from tables, or run: {renamed}"
    elif column.legacy_temporal and flavour == "mariadb":
        message = (
            "it is stored in the temporal format of MariaDB 5.3, whose width the binlog does not contain"
        )
        remedy = f"Run: alter table `{table.schema}`.`{table.name}` force; with mysql56_temporal_format=ON."
    elif column.column_type == types.YEAR_OF_TWO_DIGITS:
        message = "a year of two digits has no century"
        remedy = f"Run: alter table `{table.schema}`.`{table.name}` modify `{quoted}` year(4);"
    elif (
        parsed.base not in _INTEGERS and parsed.base not in _SIMPLE and parsed.base not in ("decimal", "bit")
    ):
        message = f"its type ({column.column_type}) is not supported"
        remedy = _FOLLOW_LATER
    if message:
        raise UnsupportedSchema(message, where=f"{table}, column {shown(column.name)}", remedy=remedy)


def _kind(column: ColumnDefinition, parsed: ParsedType) -> tuple[str, pa.DataType]:
    base = parsed.base
    if base in _INTEGERS:
        kind, signed, unsigned = _INTEGERS[base]
        return kind, unsigned if parsed.unsigned else signed
    if base == "decimal":
        precision, scale = parsed.args
        make = pa.decimal128 if precision <= DECIMAL128_DIGITS else pa.decimal256
        return "decimal", make(precision, scale)
    if base == "bit":
        return ("bool", pa.bool_()) if parsed.first == 1 else ("bit", pa.uint64())
    kind, arrow = _SIMPLE[base]
    if column.legacy_temporal:
        kind = f"{kind}_old"
    return kind, pa.json_() if column.is_json else arrow


def _source_type(column: ColumnDefinition) -> str:
    """The type as people know it: MariaDB's json is a longtext in the catalog."""
    return "json" if column.is_json else column.column_type


def _with_charset(plan: ColumnPlan, table: TableId, column: ColumnDefinition) -> ColumnPlan:
    if plan.kind not in ("string", "enum", "set"):
        return plan
    try:
        charset = wire_charset(column.charset or "binary")
    except UnsupportedSchema as error:
        where = f"{table}, column {shown(column.name)}"
        raise UnsupportedSchema(error.message, where=where, remedy=error.remedy) from error
    return replace(plan, charset=charset)


def _with_sizes(plan: ColumnPlan, column: ColumnDefinition, parsed: ParsedType) -> ColumnPlan:
    base = parsed.base
    if base == "decimal":
        return replace(plan, precision=parsed.args[0], scale=parsed.args[1])
    if base == "bit":
        return replace(plan, size=-(-parsed.first // 8))
    if base in _WITH_FSP:
        return replace(plan, fsp=parsed.first)
    if base in types.FIXED_BINARIES:
        return replace(plan, size=types.FIXED_BINARIES[base])
    if base in _LABELLED:
        return replace(plan, size=plan.meta)
    if base in _SIZED:
        return replace(plan, size=parsed.first * character_bytes(column))
    return plan


def _prefix_bytes(code: int, meta: int) -> int:
    """The width of the length in front of a value."""
    if code in _SHORT_STRINGS:
        return 1 if meta < _LONG_STRING_BYTES else 2
    return meta if code in _BLOBS else 0


# The values of a system-versioned table's row end that say "still there", as they lie in the binlog:
# TIMESTAMP(6) 2038-01-19 03:14:07.999999, from MariaDB 11.5 on 2106-02-07 06:28:15.999999, and the largest
# transaction number.
LIVE_ROW_ENDS = frozenset({b"\x7f\xff\xff\xff\x0f\x42\x3f", b"\xff\xff\xff\xff\x0f\x42\x3f", b"\xff" * 8})


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One plan per column of its table map, in that order; `key` are indices of columns.

    `handle` is the caller's own number: batches come out of `take` under it. A batch ends where another
    plan of the same `table` begins. `row_end` is the column that ends a row of a MariaDB system-versioned
    table: rows of history are dropped, and an update that ends a row is a delete. `defaults` are scalars of
    the plans' Arrow types, one per column: what an INSERT put into a column that it left out; None where that
    isn't known, () where it isn't of any column. `derived` are MariaDB's generated columns: a new image may
    lack a virtual one that has changed. `is_annotated`: partial new images need the statement that they come
    from (MariaDB). `omitted` are those that aren't delivered: whether an image has them
    or not, they are null and count as there.
    """

    handle: int
    table: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[int, ...] = ()
    row_end: int | None = None
    defaults: tuple[Any, ...] = ()
    derived: tuple[int, ...] = ()
    omitted: tuple[int, ...] = ()
    is_annotated: bool = False


# Measured: 10.11 sends them, 11.8 doesn't.
WITHOUT_GENERATED_SINCE = (11,)
# The memory of a source whose copies lack generated columns: a server that sends them has them copied again.
MEMORY_GENERATED = "generated"
_OMITTED = "left out"


class _Told(Protocol):
    """Server facts that the reading of columns depends on."""

    @property
    def is_mariadb(self) -> bool: ...

    @property
    def version(self) -> tuple[int, int, int]: ...


def leaves_generated_out(server: _Told) -> bool:
    return server.is_mariadb and server.version >= WITHOUT_GENERATED_SINCE


def planned(definition: TableDefinition, facts: ServerFacts, unrepresentable: str) -> tuple[ColumnPlan, ...]:
    """The plans of all columns, for a snapshot."""
    leaves_out = leaves_generated_out(facts)
    return plan_table(definition, None, facts.flavour, unrepresentable, leaves_generated_out=leaves_out)


def delivered(plans: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The columns that the table's schema has."""
    return tuple(plan for plan in plans if not plan.omitted)


def remembered(memory: Mapping[str, str], facts: ServerFacts) -> dict[str, str | None]:
    """Return the facts that a stream which begins on this server keeps."""
    if leaves_generated_out(facts) == (MEMORY_GENERATED in memory):
        return {}
    return {MEMORY_GENERATED: None if MEMORY_GENERATED in memory else _OMITTED}


def sent_again(kept: Mapping[str, str | None]) -> str:
    """Why all is to be copied again, when `remembered` gave this; '' when it isn't."""
    if kept.get(MEMORY_GENERATED, _OMITTED) is not None:
        return ""
    return "this server sends generated columns, which the copies lack"


def without_omitted(record: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """A decoder's batch without these columns, in its rows and in the old images."""
    if not names:
        return record
    kept = [name for name in record.schema.names if name not in names]
    arrays = [record.column(name) for name in kept]
    if Envelope.BEFORE in kept:
        at = kept.index(Envelope.BEFORE)
        arrays[at] = _narrowed(arrays[at], names)
    return pa.RecordBatch.from_arrays(arrays, names=kept)


def _narrowed(before: pa.StructArray, names: Collection[str]) -> pa.StructArray:
    fields = [field for field in before.type if field.name not in names]
    if not fields:
        buffer = before.is_valid().buffers()[1] if before.null_count else None
        return pa.Array.from_buffers(pa.struct([]), len(before), [buffer])
    return pa.StructArray.from_arrays(
        [before.field(field.name) for field in fields], fields=fields, mask=before.is_null()
    )


class OmittedColumns:
    """Says once per table, and again when the columns change, that its generated columns are left out."""

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._warned: dict[TableId, tuple[str, ...]] = {}

    def warn(self, table: TableId, plans: Sequence[ColumnPlan]) -> None:
        names = tuple(plan.name for plan in plans if plan.omitted and not plan.name.startswith(HASH_PREFIX))
        if names and self._warned.get(table) != names:
            self._warned[table] = names
            self._log(
                "generated columns are not copied: the updates in the binary log omit them",
                level="warning",
                table=str(table),
                columns=", ".join(names),
            )
