"""The source's tables in its current catalog: names, columns, keys, identities, partitions.

Every function takes an open connection and only reads; no statement takes a lock on a user's table, so a
table under `access exclusive` never holds up discovery. psycopg errors are left to the caller's boundary. The
SQL works on Postgres 13 to 18.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pyarrow as pa
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, dict_row

from cdc.errors import UnsupportedSchema
from cdc.kit.selection import TableSelection
from cdc.model import Column, TableId, TableSchema, shown
from cdc.model.batch import RESERVED_PREFIX
from cdc_source_postgres.schema.tables import PARTITIONED, TABLE, CatalogRelation, ColumnInfo, Leaf, TableInfo
from cdc_source_postgres.schema.type_catalog import CATALOG_QUERY, PgType, types_from_rows
from cdc_source_postgres.schema.type_plan import ColumnPlan
from cdc_source_postgres.statements import identifier, table_name

__all__ = [
    "CatalogRelation",
    "ColumnInfo",
    "Leaf",
    "TableInfo",
    "build_schema",
    "leaf_relations",
    "one_view",
    "read_infos",
    "read_relations",
    "read_table",
    "read_tables",
    "read_types",
    "select_relations",
    "server_version",
]

Connection = psycopg.Connection[TupleRow]

_RELATIONS = """
    select c.oid::int8 as relid, n.nspname as schema, c.relname as name, c.relkind::text as kind,
           c.relpersistence::text as persistence, c.relreplident::text as replica_identity,
           coalesce(pg_relation_filenode(c.oid), 0)::int8 as filenode,
           greatest(c.reltuples, 0)::int8 as estimated_rows, c.relpages::int8 as pages,
           c.relrowsecurity as row_security, c.relforcerowsecurity as forced_row_security,
           c.relowner::int8 as owner,
           coalesce((select inhparent::int8 from pg_inherits where inhrelid = c.oid and c.relispartition), 0)
               as parent,
           exists (select from pg_depend d
                    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
                      and d.deptype = 'e') as of_extension
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'f', 'm', 'v')
       and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp_)'
"""
_IN_NAME_ORDER = " order by n.nspname, c.relname"
# A table and all partitions under it.
_OF_TREE = """
       and c.oid in (
           with recursive tree(oid) as (
               select %s::oid
               union all
               select i.inhrelid from tree
                 join pg_inherits i on i.inhparent = tree.oid
                 join pg_class p on p.oid = i.inhrelid and p.relispartition
           )
           select oid from tree
       )
"""
# A stored expression names its functions by oid; one that is volatile makes ADD COLUMN rewrite the table.
_COLUMNS = r"""
    select a.attrelid::int8 as relid, a.attname as name, a.attnum::int as attnum,
           a.atttypid::int8 as type_oid, a.atttypmod as typmod, a.attndims::int as ndims,
           a.attnotnull as not_null, a.attgenerated::text as generated,
           a.atthasmissing as has_missing, a.attmissingval::text as missing, a.xmin::text::int8 as xmin,
           a.attidentity <> '' or exists (
               select from pg_attrdef d, regexp_matches(d.adbin::text, ':(?:op)?funcid (\d+)', 'g') called
                 join pg_proc p on p.oid = called[1]::oid
                where d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
                  and p.provolatile = 'v'
           ) as default_volatile
      from pg_attribute a
     where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped
     order by a.attrelid, a.attnum
"""
# A partitioned table has no rows, so only its partitions know what rows older than a column have.
_LEAF_FILLS = """
    select a.attrelid::int8 as relid, a.attname as name, a.attmissingval::text as missing
      from pg_attribute a
     where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped and a.atthasmissing
"""
# Expression columns of an index have attnum 0; neither a primary key nor an identity index can have one.
_KEYS = """
    select i.indrelid::int8 as relid, i.indisprimary as is_primary, i.indisreplident as is_identity,
           i.indimmediate as is_immediate,
           array(select k from unnest(i.indkey::int2[]) with ordinality as u(k, at) where at <= i.indnkeyatts)
               ::int[] as attnums
      from pg_index i
     where i.indrelid = any(%s) and (i.indisprimary or i.indisreplident) and i.indisvalid
"""


def server_version(conn: Connection) -> int:
    """server_version_num: 150018 is 15.18."""
    return conn.info.server_version


def read_types(conn: Connection) -> list[PgType]:
    """Every type that is not built in."""
    return types_from_rows(conn.execute(CATALOG_QUERY.encode()).fetchall())


def read_relations(conn: Connection) -> list[CatalogRelation]:
    """Everything outside the system schemas that looks like a table, in name order."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return [_relation(row) for row in cursor.execute(_RELATIONS + _IN_NAME_ORDER)]


def read_tables(conn: Connection, selection: TableSelection, *, via_root: bool = True) -> list[TableInfo]:
    """The selected tables that can be followed, in name order.

    Members of extensions (PostGIS' spatial_ref_sys) are left out unless named without a glob. With `via_root`
    a partition belongs to the topmost selected table above it; without, partitioned tables are left out and
    their partitions are tables of their own.
    """
    with one_view(conn):
        relations = read_relations(conn)
        return read_infos(conn, select_relations(relations, selection, via_root=via_root), relations)


def read_table(conn: Connection, relid: int) -> TableInfo | None:
    """The table with that oid, selected or not; None when it is gone or nothing that can be followed."""
    with one_view(conn):
        with conn.cursor(row_factory=dict_row) as cursor:
            tree = [
                _relation(row) for row in cursor.execute(_RELATIONS + _OF_TREE + _IN_NAME_ORDER, (relid,))
            ]
        infos = read_infos(conn, [r for r in tree if r.relid == relid and r.can_be_followed], tree)
    return infos[0] if infos else None


def select_relations(
    relations: Sequence[CatalogRelation], selection: TableSelection, *, via_root: bool = True
) -> list[CatalogRelation]:
    """The relations that `read_tables` gives."""
    chosen = [r for r in relations if r.can_be_followed and _is_selected(r, selection)]
    if not via_root:
        return [r for r in chosen if r.kind == TABLE]
    by_relid = {r.relid: r for r in relations}
    roots = {r.relid for r in chosen}
    return [r for r in chosen if not roots.intersection(_ancestors(r, by_relid))]


def root_among(
    relation: CatalogRelation,
    followed: Collection[CatalogRelation],
    by_relid: Mapping[int, CatalogRelation],
) -> CatalogRelation | None:
    """Return the followed table that this one is a partition of."""
    above = set(_ancestors(relation, by_relid))
    return next((one for one in followed if one.relid in above), None)


def read_infos(
    conn: Connection, wanted: Sequence[CatalogRelation], relations: Sequence[CatalogRelation]
) -> list[TableInfo]:
    """Columns, keys and leaves of some of the relations."""
    if not wanted:
        return []
    leaves = {r.relid: leaf_relations(r, relations) for r in wanted}
    relids = [r.relid for r in wanted]
    columns = _group(_fetch(conn, _COLUMNS, relids))
    every = sorted({*relids, *(leaf.relid for group in leaves.values() for leaf in group)})
    keys = _group(_fetch(conn, _KEYS, every))
    _fill_from_leaves(conn, columns, leaves)
    return [_info(r, columns.get(r.relid, []), keys, leaves[r.relid]) for r in wanted]


def build_schema(
    info: TableInfo, plans: Sequence[ColumnPlan], fills: Mapping[str, pa.Scalar] | None = None
) -> TableSchema:
    """The schema of the planned columns; `fills` gives, by column, what rows older than the column have.

    UnsupportedSchema for a column named like the envelope's, or when the plans leave out a column of the
    replica identity.
    """
    by_name = {column.name: column for column in info.columns}
    for plan in plans:
        if plan.name.startswith(RESERVED_PREFIX):
            raise _reserved(info.table, plan.name)
    columns = tuple(
        Column(
            name=plan.name,
            type=plan.arrow,
            source_type=plan.source_type,
            nullable=not by_name[plan.name].not_null,
            id=by_name[plan.name].attnum,
            fill=(fills or {}).get(plan.name),
        )
        for plan in plans
    )
    return TableSchema(info.table, columns, _key(info, [p.name for p in plans]), info.identity, info.relid)


def missing_element(text: str) -> str | None:
    """The one element of an array literal such as attmissingval's; None for a null element."""
    body = text[1:-1]
    if body.startswith('"'):
        out, escaped = [], False
        for character in body[1:-1]:
            if escaped or character != "\\":
                out.append(character)
                escaped = False
            else:
                escaped = True
        return "".join(out)
    return None if body.upper() == "NULL" else body


def _is_selected(relation: CatalogRelation, selection: TableSelection) -> bool:
    if relation.of_extension:
        return selection.names(relation.table)
    return selection.matches(relation.table)


def _ancestors(relation: CatalogRelation, by_relid: Mapping[int, CatalogRelation]) -> Iterable[int]:
    parent = relation.parent
    while parent:
        yield parent
        parent = by_relid[parent].parent if parent in by_relid else 0


def leaf_relations(root: CatalogRelation, relations: Sequence[CatalogRelation]) -> list[CatalogRelation]:
    """The physical tables of a table: itself, or the partitions at the bottom of its tree."""
    if root.kind == TABLE:
        return [root]
    children: dict[int, list[CatalogRelation]] = {}
    for relation in relations:
        children.setdefault(relation.parent, []).append(relation)
    leaves: list[CatalogRelation] = []
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop().relid, []):
            (waiting if child.kind == PARTITIONED else leaves).append(child)
    return sorted((leaf for leaf in leaves if leaf.kind == TABLE), key=lambda leaf: leaf.table)


@contextmanager
def one_view(conn: Connection) -> Iterator[None]:
    """All reads inside see the same catalog; inside a transaction of the caller's, that one decides."""
    if conn.info.transaction_status != TransactionStatus.IDLE or not conn.autocommit:
        yield
        return
    conn.execute("begin isolation level repeatable read read only")
    try:
        yield
    finally:
        if not conn.broken:
            conn.execute("rollback")


def _fill_from_leaves(
    conn: Connection,
    columns: Mapping[int, Sequence[dict[str, Any]]],
    leaves: Mapping[int, Sequence[CatalogRelation]],
) -> None:
    """Give partitioned tables' columns the missing values of their partitions, matched by name."""
    under = {leaf.relid: root for root, group in leaves.items() for leaf in group if leaf.relid != root}
    if not under:
        return
    by_name = {(relid, row["name"]): row for relid, rows in columns.items() for row in rows}
    for fill in _fetch(conn, _LEAF_FILLS, sorted(under)):
        row = by_name.get((under[fill["relid"]], fill["name"]))
        if row is not None:
            row.update(has_missing=True, missing=fill["missing"])


def _fetch(conn: Connection, query: LiteralString, relids: Sequence[int]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, (list(relids),)).fetchall()


def _group(rows: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["relid"], []).append(row)
    return grouped


def _relation(row: Mapping[str, Any]) -> CatalogRelation:
    values = dict(row)
    return CatalogRelation(table=TableId(values.pop("schema"), values.pop("name")), **values)


def _info(
    relation: CatalogRelation,
    columns: Sequence[Mapping[str, Any]],
    keys: Mapping[int, Sequence[Mapping[str, Any]]],
    leaves: Sequence[CatalogRelation],
) -> TableInfo:
    own = keys.get(relation.relid, [])
    primary = next((key for key in own if key["is_primary"]), None)
    primary_attnums: list[int] = primary["attnums"] if primary else []
    identity = _identity_attnums(relation.replica_identity, own)
    return TableInfo(
        relation=relation,
        columns=tuple(_column(row) for row in columns),
        pk=tuple(row["name"] for row in columns if row["attnum"] in primary_attnums),
        pk_is_immediate=primary is None or primary["is_immediate"],
        identity_columns=tuple(row["name"] for row in columns if row["attnum"] in identity),
        leaves=tuple(_leaf(leaf, keys.get(leaf.relid, [])) for leaf in leaves),
        attribute_xmins={row["attnum"]: row["xmin"] for row in columns},
    )


def _identity_attnums(replica_identity: str, keys: Sequence[Mapping[str, Any]]) -> list[int]:
    for key in keys:
        # A deferrable primary key identifies no row in the WAL: `default` is then as good as `nothing`.
        by_default = replica_identity == "d" and key["is_primary"] and key["is_immediate"]
        if by_default or (replica_identity == "i" and key["is_identity"]):
            return list(key["attnums"])
    return []


def _leaf(leaf: CatalogRelation, keys: Sequence[Mapping[str, Any]]) -> Leaf:
    has_identity = bool(_identity_attnums(leaf.replica_identity, keys))
    return Leaf(leaf.relid, leaf.table, leaf.filenode, leaf.pages, leaf.replica_identity, has_identity)


def _column(row: Mapping[str, Any]) -> ColumnInfo:
    missing = missing_element(row["missing"]) if row["missing"] is not None else None
    return ColumnInfo(
        name=row["name"],
        attnum=row["attnum"],
        type_oid=row["type_oid"],
        typmod=row["typmod"],
        ndims=row["ndims"],
        not_null=row["not_null"],
        generated=row["generated"],
        has_missing=row["has_missing"],
        missing_text=missing,
        default_volatile=row["default_volatile"],
    )


def _key(info: TableInfo, names: Collection[str]) -> tuple[str, ...]:
    """Return the columns that the server sends of old rows; under `full` the primary key, if all of it is
    published.
    """
    if info.replica_identity == "f":
        return info.immediate_pk if set(info.immediate_pk) <= set(names) else ()
    left_out = [column for column in info.identity_columns if column not in names]
    if left_out:
        listed = ", ".join(identifier(column) for column in left_out)
        message = f"the published columns leave out {listed}, which identifies a row in updates and deletes"
        raise UnsupportedSchema(
            message, where=str(info.table), remedy=f"Add {listed} to the table's column list."
        )
    return info.identity_columns


def _reserved(table: TableId, column: str) -> UnsupportedSchema:
    message = f"the column {shown(column)} has a name that is reserved for the envelope ({RESERVED_PREFIX}*)"
    rename = f"alter table {table_name(table)} rename column {identifier(column)} to ..."
    return UnsupportedSchema(
        message, where=str(table), remedy=f"Exclude the table from tables, or run: {rename};"
    )
