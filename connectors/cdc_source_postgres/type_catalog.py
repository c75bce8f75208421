"""What types exist: the built-in ones, and those that a database adds.

A catalog is given to the decoders; it never asks a server itself. Types once seen stay, so that changes of
a table whose type was dropped meanwhile can still be decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_source_postgres.builtin_types import BASE, MULTIRANGES, NO_BINARY_FORM, RANGES

# From here on oids differ between databases.
FIRST_UNPINNED_OID = 10_000


@dataclass(frozen=True, slots=True)
class PgType:
    """One row of `pg_type`, with what belongs to it.

    `kind` is typtype: b base, d domain, e enum, c composite, r range, m multirange, p pseudo. `element` is
    the element type of an array, else 0. `base`, `base_typmod` and `ndims` describe a domain. `fields` are
    a composite's (name, type oid, typmod). `subtype` is the type of a range's bounds, or the range type of
    a multirange. `has_send` says whether the server can send it in binary.
    """

    oid: int
    name: str
    schema: str
    kind: str
    element: int = 0
    base: int = 0
    base_typmod: int = -1
    fields: tuple[tuple[str, int, int], ...] = ()
    subtype: int = 0
    delimiter: str = ","
    has_send: bool = True
    ndims: int = 0

    @property
    def is_builtin(self) -> bool:
        return self.oid < FIRST_UNPINNED_OID


class TypeCatalog:
    """Types by oid; the built-in ones are known from the start.

    `money_scale` is the number of fraction digits of the server's currency.
    """

    def __init__(self, money_scale: int = 2) -> None:
        self._types = dict(_BUILTIN)
        self.money_scale = money_scale

    def add(self, types: Iterable[PgType]) -> None:
        """Take in types; a type with a known oid replaces it."""
        self._types.update((type_.oid, type_) for type_ in types)

    def get(self, oid: int) -> PgType | None:
        return self._types.get(oid)


# One row a type that a user's table may have and that is not built in. Row types of tables (and their
# arrays) count only where a column, an array or a domain uses them: a database may have 100,000 tables.
# rngmultitypid is read through JSON because PostgreSQL 13 has no such column.
CATALOG_QUERY = """
with used as (
    select atttypid as oid from pg_catalog.pg_attribute where attnum > 0
    union
    select typbasetype from pg_catalog.pg_type where typbasetype <> 0
), ranges as (
    select rngtypid, rngsubtype, (to_jsonb(r) ->> 'rngmultitypid')::oid as rngmultitypid from
    pg_catalog.pg_range r
), row_types as (
    select t.oid, t.typarray
    from pg_catalog.pg_type t join pg_catalog.pg_class c on c.oid = t.typrelid
    where t.typtype = 'c' and c.relkind <> 'c'
      and t.oid not in (select oid from used) and t.typarray not in (select oid from used)
)
select t.oid::bigint, t.typname::text, n.nspname::text, t.typtype::text,
       case when t.typcategory = 'A' and t.typlen = -1 then t.typelem else 0 end::bigint,
       t.typbasetype::bigint, t.typtypmod, t.typndims,
       coalesce(r.rngsubtype, m.rngtypid, 0)::bigint,
       coalesce(e.typdelim, t.typdelim)::text,
       t.typsend <> 0,
       case when t.typtype = 'c' then (
           select json_agg(json_build_array(a.attname, a.atttypid::bigint, a.atttypmod) order by a.attnum)
           from pg_catalog.pg_attribute a
           where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
       ) end
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A' and t.typlen = -1
left join ranges r on r.rngtypid = t.oid
left join ranges m on m.rngmultitypid = t.oid
where t.oid >= 10000 and t.typtype in ('b', 'c', 'd', 'e', 'm', 'r')
  and (t.oid >= 16384 or n.nspname not in ('pg_catalog', 'pg_toast'))
  and t.oid not in (select oid from row_types)
  and t.oid not in (select typarray from row_types)
"""


def types_from_rows(rows: Iterable[Sequence[Any]]) -> list[PgType]:
    """The types that the rows of CATALOG_QUERY describe."""
    return [_type_from_row(row) for row in rows]


def _type_from_row(row: Sequence[Any]) -> PgType:
    oid, name, schema, kind, element, base, base_typmod, ndims, subtype, delimiter, has_send, fields = row
    listed = json.loads(fields) if isinstance(fields, str | bytes) else fields
    return PgType(
        oid=int(oid),
        name=name,
        schema=schema,
        kind=kind,
        element=int(element),
        base=int(base),
        base_typmod=int(base_typmod),
        fields=tuple((str(f[0]), int(f[1]), int(f[2])) for f in listed or ()),
        subtype=int(subtype),
        delimiter=delimiter,
        has_send=bool(has_send),
        ndims=int(ndims),
    )


def _builtin() -> dict[int, PgType]:
    types: list[PgType] = []
    for name, oid, array_oid in BASE:
        delimiter = ";" if name == "box" else ","
        has_send = name not in NO_BINARY_FORM
        types.append(PgType(oid, name, "pg_catalog", "b", delimiter=delimiter, has_send=has_send))
        types.append(PgType(array_oid, f"_{name}", "pg_catalog", "b", element=oid, delimiter=delimiter))
    for kind, rows in (("r", RANGES), ("m", MULTIRANGES)):
        for name, oid, array_oid, subtype in rows:
            types.append(PgType(oid, name, "pg_catalog", kind, subtype=subtype))
            types.append(PgType(array_oid, f"_{name}", "pg_catalog", "b", element=oid))
    return {type_.oid: type_ for type_ in types}


_BUILTIN = _builtin()
