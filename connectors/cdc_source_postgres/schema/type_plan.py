"""Decides for every column its Arrow type and how it is decoded: once, the same for snapshot and stream.

Lossless first; what Arrow can't hold follows the policy `unrepresentable`. docs/types/postgres.md has the
table.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.model import shown
from cdc_source_postgres.schema.codec import Codec, arrow_list
from cdc_source_postgres.schema.type_catalog import PgType, TypeCatalog
from cdc_source_postgres.schema.type_names import format_type, numeric_typmod
from cdc_source_postgres.wire.render.render import renderer

# What decimal128 and decimal256 hold.
DECIMAL128_DIGITS = 38
DECIMAL256_DIGITS = 76
# money is 64 bits of a currency's smallest unit; how many of them make one is up to the server's lc_monetary.
MONEY_DIGITS = 19
MAX_DIMENSIONS = 6
MAX_DOMAIN_DEPTH = 64

_SIMPLE: dict[str, tuple[str, pa.DataType]] = {
    "bool": ("bool", pa.bool_()),
    "int2": ("int2", pa.int16()),
    "int4": ("int4", pa.int32()),
    "int8": ("int8", pa.int64()),
    "xid8": ("uint8", pa.uint64()),
    "float4": ("float4", pa.float32()),
    "float8": ("float8", pa.float64()),
    "date": ("date", pa.date32()),
    "time": ("time", pa.time64("us")),
    "timestamp": ("timestamp", pa.timestamp("us")),
    "timestamptz": ("timestamp", pa.timestamp("us", "UTC")),
    "uuid": ("uuid", pa.uuid()),
    "bytea": ("bytes", pa.binary()),
    "char": ("char", pa.string()),
    "json": ("text", pa.json_()),
    "jsonb": ("jsonb", pa.json_()),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "xml", "refcursor"), ("text", pa.string())),
    **dict.fromkeys(
        (
            *(
                "oid",
                "xid",
                "cid",
                "regclass",
                "regproc",
                "regprocedure",
                "regoper",
                "regoperator",
                "regtype",
            ),
            *("regconfig", "regdictionary", "regnamespace", "regrole", "regcollation"),
        ),
        ("uint4", pa.uint32()),
    ),
}
_EXTENSIONS: dict[str, tuple[str, pa.DataType]] = {
    "citext": ("text", pa.string()),
    "geometry": ("bytes", pa.binary()),
    "geography": ("bytes", pa.binary()),
}
_MAY_BE_UNREPRESENTABLE = frozenset({"date", "time", "timestamp", "numeric", "list"})


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One column's decoding, decided.

    `text_only`: no binary form that we read; the stream must send it as text, and COPY must select it cast
    to text. `needs_text_stream`: in a stream with `binary 'true'` the server would send it in a binary form
    that we don't read, or stop with an error, so the whole stream must be text. (A type without any binary
    form is sent as text even there.)
    """

    name: str
    arrow: pa.DataType
    source_type: str
    type_oid: int
    text_only: bool
    needs_text_stream: bool
    codec: Codec


def plan_column(
    name: str, type_oid: int, typmod: int, ndims: int, catalog: TypeCatalog, unrepresentable: str
) -> ColumnPlan:
    """Plan one column; `ndims` is attndims (0 where unknown), `unrepresentable` the policy.

    Raises:
        UnsupportedSchema: the type is not in the catalog.
    """
    source_type = format_type(type_oid, typmod, catalog)
    type_ = catalog.get(type_oid)
    if type_ is None:
        message = f"its type (oid {type_oid}) is not supported"
        where = f"column {shown(name)}"
        raise UnsupportedSchema(message, where=where, remedy="Exclude the table, or report the type.")
    codec = _codec(type_oid, typmod, ndims, catalog)
    if unrepresentable == "string" and codec.kind in _MAY_BE_UNREPRESENTABLE:
        codec = _as_text(codec, type_oid, catalog)
    text_only = _is_text_only(codec)
    sends_text_anyway = not _resolved(type_, catalog).has_send
    return ColumnPlan(
        name=name,
        arrow=codec.arrow,
        source_type=source_type,
        type_oid=type_oid,
        text_only=text_only,
        needs_text_stream=text_only and not sends_text_anyway,
        codec=codec,
    )


def _codec(oid: int, typmod: int, ndims: int, catalog: TypeCatalog, depth: int = 0) -> Codec:
    type_ = catalog.get(oid)
    if type_ is None or depth > MAX_DOMAIN_DEPTH:
        return Codec("render", pa.string(), oid)
    if type_.kind == "d":
        return _codec(type_.base, type_.base_typmod, ndims or type_.ndims, catalog, depth + 1)
    if type_.element:
        return _list(type_, typmod, ndims, catalog, depth)
    if type_.name == "numeric" and type_.is_builtin:
        return _numeric(oid, typmod)
    if type_.name == "money" and type_.is_builtin:
        scale = catalog.money_scale
        return Codec("money", pa.decimal128(MONEY_DIGITS, scale), oid, scale=scale)
    if type_.kind == "e":
        return Codec("text", pa.string(), oid)
    known = _SIMPLE if type_.is_builtin else _EXTENSIONS
    if type_.kind == "b" and type_.name in known:
        kind, arrow = known[type_.name]
        return Codec(kind, arrow, oid)
    return Codec("render", pa.string(), oid, render=renderer(oid, catalog))


def _numeric(oid: int, typmod: int) -> Codec:
    if typmod < 0:
        return Codec("numtext", pa.string(), oid)
    precision, scale = numeric_typmod(typmod)
    precision, scale = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
    if precision > DECIMAL256_DIGITS:
        return Codec("numtext", pa.string(), oid)
    make = pa.decimal128 if precision <= DECIMAL128_DIGITS else pa.decimal256
    return Codec("numeric", make(precision, scale), oid, scale=scale, precision=precision)


def _list(type_: PgType, typmod: int, ndims: int, catalog: TypeCatalog, depth: int) -> Codec:
    element = _codec(type_.element, typmod, 0, catalog, depth + 1)
    dims = min(max(ndims, 1), MAX_DIMENSIONS)
    return Codec(
        "list",
        arrow_list(element.arrow, dims),
        type_.oid,
        element=element,
        element_oid=type_.element,
        dims=dims,
        delimiter=type_.delimiter,
    )


def _as_text(codec: Codec, type_oid: int, catalog: TypeCatalog) -> Codec:
    if codec.kind == "numeric":
        return Codec("numtext", pa.string(), codec.oid)
    return Codec("render", pa.string(), codec.oid, render=renderer(type_oid, catalog))


def _is_text_only(codec: Codec) -> bool:
    leaf = codec.leaf
    return leaf.kind == "render" and leaf.render is None


def _resolved(type_: PgType, catalog: TypeCatalog) -> PgType:
    """The type under a domain: the server looks there for a binary form."""
    for _ in range(MAX_DOMAIN_DEPTH):
        base = catalog.get(type_.base) if type_.kind == "d" else None
        if base is None:
            break
        type_ = base
    return type_
