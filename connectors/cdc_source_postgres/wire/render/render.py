"""Finds for a type the function that renders its binary form as the server's text.

A type without one (None) must travel as text: an extension's type that we don't know, one that the server
can't send in binary, or one whose text needs the server's catalog (regclass and its like are names).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cdc_source_postgres.schema.codec import Renderer
from cdc_source_postgres.schema.type_catalog import OID_OF, PgType, TypeCatalog
from cdc_source_postgres.wire.render import extension, geometric, network, scalar, search
from cdc_source_postgres.wire.render.nested import (
    array_renderer,
    composite_renderer,
    multirange_renderer,
    range_renderer,
    vector_renderer,
)

_BUILTIN: Mapping[str, Renderer] = {
    "bool": scalar.bool_text,
    "bytea": scalar.bytea_text,
    "char": scalar.char_text,
    "int8": scalar.int8_text,
    "int2": scalar.int2_text,
    "int2vector": vector_renderer(scalar.int2_text),
    "int4": scalar.int4_text,
    "oid": scalar.uint4_text,
    "tid": extension.tid_text,
    "xid": scalar.uint4_text,
    "cid": scalar.uint4_text,
    "oidvector": vector_renderer(scalar.uint4_text),
    "point": geometric.point_text,
    "lseg": geometric.lseg_text,
    "path": geometric.path_text,
    "box": geometric.box_text,
    "polygon": geometric.polygon_text,
    "line": geometric.line_text,
    "circle": geometric.circle_text,
    "cidr": network.cidr_text,
    "inet": network.inet_text,
    "macaddr": network.macaddr_text,
    "macaddr8": network.macaddr8_text,
    "float4": scalar.float4_binary_text,
    "float8": scalar.float8_binary_text,
    "money": scalar.money_text,
    "date": scalar.date_binary_text,
    "time": scalar.time_text,
    "timetz": scalar.timetz_text,
    "timestamp": scalar.timestamp_text,
    "timestamptz": scalar.timestamptz_text,
    "interval": scalar.interval_text,
    "bit": scalar.bit_text,
    "varbit": scalar.bit_text,
    "numeric": scalar.numeric_text,
    "uuid": scalar.uuid_text,
    "txid_snapshot": extension.snapshot_text,
    "pg_snapshot": extension.snapshot_text,
    "pg_lsn": extension.pg_lsn_text,
    "tsvector": search.tsvector_text,
    "tsquery": search.tsquery_text,
    "jsonb": scalar.versioned_text,
    "jsonpath": scalar.versioned_text,
    "xid8": scalar.uint8_text,
    **dict.fromkeys(
        ("name", "text", "json", "xml", "bpchar", "varchar", "refcursor"),
        scalar.text_text,
    ),
}
# By name: only a superuser can create a base type, and the names are those of the extensions.
_EXTENSIONS: Mapping[str, Renderer] = {
    "citext": scalar.text_text,
    "hstore": extension.hstore_text,
    "ltree": scalar.versioned_text,
    "lquery": scalar.versioned_text,
    "ltxtquery": scalar.versioned_text,
    "vector": extension.vector_text,
    "halfvec": extension.halfvec_text,
    "sparsevec": extension.sparsevec_text,
}
_BUILTIN_BY_OID = {OID_OF[name]: renderer for name, renderer in _BUILTIN.items()}
# Postgres refuses types that contain themselves, a damaged catalog may not.
_MAX_NESTING = 64


def renderer(type_oid: int, catalog: TypeCatalog, depth: int = 0) -> Renderer | None:
    """The renderer of a type, or None where only its text form is readable."""
    known = _BUILTIN_BY_OID.get(type_oid)
    if known is not None:
        return known
    type_ = catalog.get(type_oid)
    if type_ is None or not type_.has_send or depth > _MAX_NESTING:
        return None
    if type_.element:
        element = renderer(type_.element, catalog, depth + 1)
        return None if element is None else array_renderer(element, type_.delimiter)
    make = _MAKERS.get(type_.kind)
    return None if make is None else make(type_, catalog, depth + 1)


def _base(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    return _EXTENSIONS.get(type_.name)


def _domain(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    return renderer(type_.base, catalog, depth)


def _enum(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    return scalar.text_text


def _composite(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    if any(renderer(oid, catalog, depth) is None for _, oid, _ in type_.fields):
        return None
    return composite_renderer(lambda oid: renderer(oid, catalog, depth))


def _range(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    bound = renderer(type_.subtype, catalog, depth)
    return None if bound is None else range_renderer(bound)


def _multirange(type_: PgType, catalog: TypeCatalog, depth: int) -> Renderer | None:
    inner = renderer(type_.subtype, catalog, depth)
    return None if inner is None else multirange_renderer(inner)


_MAKERS: Mapping[str, Callable[[PgType, TypeCatalog, int], Renderer | None]] = {
    "b": _base,
    "d": _domain,
    "e": _enum,
    "c": _composite,
    "r": _range,
    "m": _multirange,
}
