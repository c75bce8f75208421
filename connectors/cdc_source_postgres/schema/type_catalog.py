"""Types: the built-in ones, and those that a database adds.

A catalog is given to the decoders; it never asks a server itself. Types once seen stay, so that changes of
a table whose type was dropped meanwhile can still be decoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Name, oid, oid of its array type; all have a binary form but NO_BINARY_FORM, and "," between array
# elements but box, which has ";".
BASE: tuple[tuple[str, int, int], ...] = (
    ("bool", 16, 1000),
    ("bytea", 17, 1001),
    ("char", 18, 1002),
    ("name", 19, 1003),
    ("int8", 20, 1016),
    ("int2", 21, 1005),
    ("int2vector", 22, 1006),
    ("int4", 23, 1007),
    ("regproc", 24, 1008),
    ("text", 25, 1009),
    ("oid", 26, 1028),
    ("tid", 27, 1010),
    ("xid", 28, 1011),
    ("cid", 29, 1012),
    ("oidvector", 30, 1013),
    ("json", 114, 199),
    ("xml", 142, 143),
    ("point", 600, 1017),
    ("lseg", 601, 1018),
    ("path", 602, 1019),
    ("box", 603, 1020),
    ("polygon", 604, 1027),
    ("line", 628, 629),
    ("cidr", 650, 651),
    ("float4", 700, 1021),
    ("float8", 701, 1022),
    ("circle", 718, 719),
    ("macaddr8", 774, 775),
    ("money", 790, 791),
    ("macaddr", 829, 1040),
    ("inet", 869, 1041),
    ("aclitem", 1033, 1034),
    ("bpchar", 1042, 1014),
    ("varchar", 1043, 1015),
    ("date", 1082, 1182),
    ("time", 1083, 1183),
    ("timestamp", 1114, 1115),
    ("timestamptz", 1184, 1185),
    ("interval", 1186, 1187),
    ("timetz", 1266, 1270),
    ("bit", 1560, 1561),
    ("varbit", 1562, 1563),
    ("numeric", 1700, 1231),
    ("refcursor", 1790, 2201),
    ("regprocedure", 2202, 2207),
    ("regoper", 2203, 2208),
    ("regoperator", 2204, 2209),
    ("regclass", 2205, 2210),
    ("regtype", 2206, 2211),
    ("uuid", 2950, 2951),
    ("txid_snapshot", 2970, 2949),
    ("pg_lsn", 3220, 3221),
    ("tsvector", 3614, 3643),
    ("tsquery", 3615, 3645),
    ("gtsvector", 3642, 3644),
    ("regconfig", 3734, 3735),
    ("regdictionary", 3769, 3770),
    ("jsonb", 3802, 3807),
    ("jsonpath", 4072, 4073),
    ("regnamespace", 4089, 4090),
    ("regrole", 4096, 4097),
    ("regcollation", 4191, 4192),
    ("pg_snapshot", 5038, 5039),
    ("xid8", 5069, 271),
)
NO_BINARY_FORM = frozenset({"aclitem", "gtsvector"})

# Name, oid, oid of its array type, oid of the type of its bounds.
RANGES: tuple[tuple[str, int, int, int], ...] = (
    ("int4range", 3904, 3905, 23),
    ("numrange", 3906, 3907, 1700),
    ("tsrange", 3908, 3909, 1114),
    ("tstzrange", 3910, 3911, 1184),
    ("daterange", 3912, 3913, 1082),
    ("int8range", 3926, 3927, 20),
)

# Name, oid, oid of its array type, oid of its range type (PostgreSQL 14 and later).
MULTIRANGES: tuple[tuple[str, int, int, int], ...] = (
    ("int4multirange", 4451, 6150, 3904),
    ("nummultirange", 4532, 6151, 3906),
    ("tsmultirange", 4533, 6152, 3908),
    ("tstzmultirange", 4534, 6153, 3910),
    ("datemultirange", 4535, 6155, 3912),
    ("int8multirange", 4536, 6157, 3926),
)

OID_OF: dict[str, int] = {
    **{name: oid for name, oid, _ in BASE},
    **{name: oid for name, oid, _, _ in (*RANGES, *MULTIRANGES)},
}


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
