"""Spells types as the server's own `format_type` does when nothing but `pg_catalog` is on its search path."""

from __future__ import annotations

import re
from collections.abc import Callable

from cdc_source_postgres.schema.type_catalog import PgType, TypeCatalog

# Type modifiers count from here: atttypmod holds 4 more than what was declared (the size of a length word).
TYPMOD_BASE = 4
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_SQL_NAMES = {
    "bool": "boolean",
    "bpchar": "character",
    "char": '"char"',
    "float4": "real",
    "float8": "double precision",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "varbit": "bit varying",
    "varchar": "character varying",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
# The bits of an interval's typmod that name its fields, by the mask of the fields (pgtypes: INTERVAL_MASK).
_INTERVAL_FIELDS = {
    1 << 2: " year",
    1 << 1: " month",
    1 << 3: " day",
    1 << 10: " hour",
    1 << 11: " minute",
    1 << 12: " second",
    1 << 2 | 1 << 1: " year to month",
    1 << 3 | 1 << 10: " day to hour",
    1 << 3 | 1 << 10 | 1 << 11: " day to minute",
    1 << 3 | 1 << 10 | 1 << 11 | 1 << 12: " day to second",
    1 << 10 | 1 << 11: " hour to minute",
    1 << 10 | 1 << 11 | 1 << 12: " hour to second",
    1 << 11 | 1 << 12: " minute to second",
    0x7FFF: "",
}


def format_type(type_oid: int, typmod: int, catalog: TypeCatalog) -> str:
    """`numeric(10,2)`, `character varying(20)[]`, `public.mood`; `oid 12345` when the catalog has no such
    type.
    """
    type_ = catalog.get(type_oid)
    if type_ is None:
        return f"oid {type_oid}"
    if type_.element:
        return format_type(type_.element, typmod, catalog) + "[]"
    return _scalar_name(type_, typmod)


def numeric_typmod(typmod: int) -> tuple[int, int]:
    """Precision and scale of a numeric's typmod; the scale is a signed number of 11 bits."""
    value = typmod - TYPMOD_BASE
    scale = value & 0x7FF
    return (value >> 16) & 0xFFFF, scale - 0x800 if scale & 0x400 else scale


def _scalar_name(type_: PgType, typmod: int) -> str:
    if not type_.is_builtin:
        prefix = "" if type_.schema == "pg_catalog" else f"{quote(type_.schema)}."
        return f"{prefix}{quote(type_.name)}{_extension_modifier(type_, typmod)}"
    if typmod < 0:
        return "bpchar" if type_.name == "bpchar" else _bit_name(type_.name)
    name = _SQL_NAMES.get(type_.name, type_.name)
    modifier = _MODIFIERS.get(type_.name)
    if modifier is None:
        return name
    head, space, tail = name.partition(" ") if type_.name.startswith("time") else (name, "", "")
    return f"{head}{modifier(typmod)}{space}{tail}"


def _bit_name(name: str) -> str:
    return '"bit"' if name == "bit" else _SQL_NAMES.get(name, name)


def quote(name: str) -> str:
    """An identifier as SQL, quoted where that is needed (keywords are not known here and stay as they
    are).
    """
    return name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"'


def _length(typmod: int) -> str:
    return f"({typmod - TYPMOD_BASE})"


def _plain(typmod: int) -> str:
    return f"({typmod})"


def _numeric(typmod: int) -> str:
    precision, scale = numeric_typmod(typmod)
    return f"({precision},{scale})"


def _interval(typmod: int) -> str:
    fields = _INTERVAL_FIELDS.get(typmod >> 16 & 0x7FFF, "")
    precision = typmod & 0xFFFF
    return fields if precision == 0xFFFF else f"{fields}({precision})"


_MODIFIERS: dict[str, Callable[[int], str]] = {
    "bit": _plain,
    "varbit": _plain,
    "bpchar": _length,
    "varchar": _length,
    "numeric": _numeric,
    "interval": _interval,
    "time": _plain,
    "timetz": _plain,
    "timestamp": _plain,
    "timestamptz": _plain,
}


def _extension_modifier(type_: PgType, typmod: int) -> str:
    # pgvector's typmod is the number of dimensions; those of other extensions mean nothing to us.
    return _plain(typmod) if typmod >= 0 and type_.name in {"vector", "halfvec", "sparsevec"} else ""
