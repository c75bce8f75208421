"""The publication: what it sends of which table, its creation, and how tables come into it.

It is made before the slot, in a transaction of its own: servers up to 17 look it up in the catalog as it was
at the change that they decode, and 18 skips a missing one in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cdc.errors import CdcError, SourceRefused, UnsupportedSchema
from cdc.kit.selection import entry_for, exclusion_of
from cdc.model import TableId
from cdc_source_postgres.connection import Connection, Connector
from cdc_source_postgres.errors import publication_missing
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.tables import TableInfo
from cdc_source_postgres.statements import (
    add_tables,
    create_publication,
    identifier,
    replica_identity_default,
    replica_identity_full,
    set_via_root,
)

# Column lists and row filters came with this server version.
LISTS_SINCE = 150000

_PUBLICATION = """
    select p.oid::int8 as oid, p.puballtables as all_tables, p.pubupdate or p.pubdelete as changes_rows,
           p.pubviaroot as via_root,
           to_jsonb(p) ? 'pubgencols' as lists_generated,
           coalesce(to_jsonb(p) ->> 'pubgencols', 'n') = 's' as sends_generated
      from pg_publication p
     where p.pubname = %s
"""
# pg_publication_tables would do, but opens every table since 16, and waits for who alters it.
_TABLES = """
    with recursive p as (
        select * from pg_publication where pubname = %(name)s
    ), chosen (relid, listed) as (
        select m.prrelid, true from p join pg_publication_rel m on m.prpubid = p.oid
         union
        select c.oid, false
          from p
          join pg_class c on {by_schema} or (p.puballtables and not (p.pubviaroot and c.relispartition))
         where c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.oid >= 16384
    ), tree (relid, root) as (
        select relid, relid from chosen
         union
        select i.inhrelid, t.root
          from tree t
          join pg_inherits i on i.inhparent = t.relid
          join pg_class c on c.oid = i.inhrelid and c.relispartition
    ), published (relid) as (
        select distinct t.relid
          from p cross join tree t join pg_class c on c.oid = t.relid
         where case when p.pubviaroot
               then not exists (select from tree above where above.relid = t.relid and above.root <> t.relid)
               else c.relkind = 'r' end
    )
    select n.nspname as schema, c.relname as name, {columns} as columns, {row_filter} as row_filter
      from published
      join pg_class c on c.oid = published.relid
      join pg_namespace n on n.oid = c.relnamespace
      cross join p
      left join pg_publication_rel m on m.prpubid = p.oid and m.prrelid = c.oid and not ({by_schema})
"""
_ABOVE = """
    select r.relid::int8, n.nspname, c.relname
      from unnest(%s::oid[]) as r (relid)
     cross join lateral pg_partition_ancestors(r.relid) as a (relid)
      join pg_class c on c.oid = a.relid
      join pg_namespace n on n.oid = c.relnamespace
     where a.relid <> r.relid
"""
_BY_SCHEMA = "c.relnamespace in (select s.pnnspid from pg_publication_namespace s where s.pnpubid = p.oid)"
_COLUMNS = """
    (select jsonb_agg(a.attname order by a.attnum)
       from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and case when m.prattrs is null
            then a.attgenerated = '' or (a.attgenerated = 's' and to_jsonb(p) ->> 'pubgencols' = 's')
            else a.attnum = any(m.prattrs) end)
"""


@dataclass(frozen=True, slots=True)
class Published:
    """Columns and rows of one table that a publication sends: None for columns means all that are sent by
    default.
    """

    columns: frozenset[str] | None
    row_filter: str | None


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the catalog has it; `oid` distinguishes it from a later one of the same name.

    Before Postgres 18 generated columns are never sent, although pg_publication_tables lists them.
    """

    oid: int
    all_tables: bool
    changes_rows: bool
    via_root: bool
    lists_generated: bool
    sends_generated: bool
    tables: Mapping[TableId, Published]


def read_published(conn: Connection, name: str) -> list[dict[str, Any]]:
    """The tables of the publication: schema, name, columns (None before lists came) and row_filter."""
    has_lists = conn.info.server_version >= LISTS_SINCE
    query = _TABLES.format(
        by_schema=_BY_SCHEMA if has_lists else "false",
        columns=_COLUMNS if has_lists else "null",
        row_filter="pg_get_expr(m.prqual, m.prrelid)" if has_lists else "null",
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), {"name": name}).fetchall()


def read_publication(conn: Connection, name: str) -> Publication | None:
    """The publication as this connection's snapshot sees it."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_PUBLICATION, (name,)).fetchone()
        if found is None:
            return None
    rows = read_published(conn, name)
    return Publication(**found, tables={TableId(r["schema"], r["name"]): _published(r) for r in rows})


def ensure_publication(conn: Connection, connector: Connector, options: PostgresOptions, name: str) -> bool:
    """Create the publication, without tables, when it is missing and we may; whether it was created."""
    if read_publication(conn, name) is not None:
        return False
    via_root = "true" if options.publish_via_partition_root else "false"
    statement = f"create publication {identifier(name)} with (publish_via_partition_root = {via_root})"
    if not options.create_publication or _is_standby(conn):
        raise publication_missing(connector.where, name, statement)
    with connector.changing(f"creating the publication {name}"):
        conn.execute(statement.encode())
    return True


def sent_columns(
    info: TableInfo, publication: Publication | None, options: PostgresOptions
) -> frozenset[str]:
    """The columns that the stream carries, or will carry once the table is followed."""
    plain = frozenset(column.name for column in info.columns if not column.generated)
    published = publication.tables.get(info.table) if publication else None
    if publication is not None and published is not None and published.columns is not None:
        return published.columns if publication.lists_generated else published.columns & plain
    wanted = options.column_lists.get(info.table)
    if published is None and wanted is not None:
        return frozenset(wanted)
    if publication is not None and publication.sends_generated:
        return plain | {column.name for column in info.columns if column.generated == "s"}
    return plain


def add_to_publication(
    conn: Connection, connector: Connector, options: PostgresOptions, name: str, infos: Sequence[TableInfo]
) -> list[TableId]:
    """Add what is missing, after checking that publishing it breaks nothing; the tables that were added.

    Raises:
        UnsupportedSchema: updates and deletes of the table would fail for its own application, or its columns
            or row filter differ.
        SourceRefused: the publication is not ours to alter, or this role may not.
    """
    publication = read_publication(conn, name)
    if publication is None:
        raise publication_missing(
            connector.where, name, create_publication(name, [info.table for info in infos])
        )
    _check_lists(conn, options, publication, infos)
    missing = [info for info in infos if info.table not in publication.tables]
    if not missing:
        return []
    for table, (message, remedy) in sent_as_others(conn, name, missing, publication.tables).items():
        raise UnsupportedSchema(message, where=str(table), remedy=remedy)
    if publication.changes_rows:
        _check_identity(missing)
    tables = [info.table for info in missing]
    if not options.create_publication or publication.all_tables or _is_standby(conn):
        listed = ", ".join(str(table) for table in tables)
        message = f"the publication {name} lacks {listed}"
        raise SourceRefused(message, where=connector.where, remedy=f"Run: {add_tables(name, tables)};")
    statement = sql.SQL("alter publication {} add table {}").format(
        sql.Identifier(name), sql.SQL(", ").join(_member(info.table, options) for info in missing)
    )
    with connector.changing(f"adding tables to the publication {name}"):
        _execute_once(conn, statement)
    return tables


def sent_as_others(
    conn: Connection, name: str, infos: Sequence[TableInfo], published: Collection[TableId]
) -> dict[TableId, tuple[str, str]]:
    """Those of the tables whose rows the publication sends as rows of a table that they are a partition of,
    so that they would be left out, each with a sentence and the remedy. `published` are the tables under
    whose names it sends rows.
    """
    by_relid = {info.relid: info.table for info in infos if info.table not in published}
    found: dict[TableId, tuple[str, str]] = {}
    for relid, *above in conn.execute(_ABOVE, (list(by_relid),)):
        table, root = by_relid[relid], TableId(*above)
        if root in published:
            found[table] = (
                f"the publication {name} sends the rows of {table} as rows of {root}, which `tables` does not"
                " select",
                f"Add to tables: {entry_for(root)}; or exclude the partition: {exclusion_of(table)}",
            )
    return found


def _execute_once(conn: Connection, statement: sql.Composed) -> None:
    try:
        conn.execute(statement)
    except psycopg.errors.DuplicateObject:
        return  # Another session has just added one of them; the next look adds the others.


def _published(row: Mapping[str, Any]) -> Published:
    columns = row["columns"]
    return Published(None if columns is None else frozenset(columns), row["row_filter"])


def _member(table: TableId, options: PostgresOptions) -> sql.Composed:
    """One entry of an `add table`, with its column list and row filter."""
    parts: list[sql.Composable] = [sql.SQL("only {}").format(sql.Identifier(table.schema, table.name))]
    columns = options.column_lists.get(table)
    if columns is not None:
        parts.append(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))))
    condition = options.row_filters.get(table)
    if condition is not None:
        # The operator's own SQL, from the config.
        parts.append(sql.SQL("where ({})").format(sql.SQL(condition)))
    return sql.SQL(" ").join(parts)


def _check_lists(
    conn: Connection, options: PostgresOptions, publication: Publication, infos: Sequence[TableInfo]
) -> None:
    """Check that the publication sends what the config asks for: it cannot be altered without a gap."""
    for info in infos:
        columns, condition = options.column_lists.get(info.table), options.row_filters.get(info.table)
        if columns is None and condition is None:
            continue
        if conn.info.server_version < LISTS_SINCE:
            message = "column lists and row filters need Postgres 15 or newer"
            raise SourceRefused(
                message, where=str(info.table), remedy="Remove columns and where from the config."
            )
        published = publication.tables.get(info.table)
        if published is None:
            continue
        if columns is not None and published.columns != frozenset(columns):
            raise _differs(info.table, "columns")
        if (condition is None) != (published.row_filter is None):
            raise _differs(info.table, "row filter")


def _differs(table: TableId, what: str) -> CdcError:
    remedy = (
        "Set the config to the publication's value, or drop the table from the publication: the "
        "daemon then adds it as configured and copies it again."
    )
    return UnsupportedSchema(
        f"the {what} in the config and in the publication differ", where=str(table), remedy=remedy
    )


def _check_identity(infos: Sequence[TableInfo]) -> None:
    for info in infos:
        for lacking in info.without_identity():
            identified = (
                f"Run: {replica_identity_default(lacking)}"
                if info.immediate_pk
                else f"Add a primary key, or run: {replica_identity_full(lacking)}"
            )
            remedy = f"{identified}; or exclude the table by the entry {exclusion_of(info.table)} in tables."
            message = "the table has no replica identity: publishing it would make updates and deletes fail"
            raise UnsupportedSchema(message, where=str(lacking), remedy=remedy)


def _is_standby(conn: Connection) -> bool:
    return bool(conn.execute("select pg_is_in_recovery()").fetchone() == (True,))


MEMORY_LAYOUT = "via_root"
SENT_ANOTHER_WAY = (
    "sends partitions in another way than when this log was started: their changes are not captured "
    "until it is"
    " set back, and copied then"
)


class Layout:
    """`via_root` is None until the publication was seen. Reads and writes of it are atomic."""

    def __init__(self, *, configured: bool) -> None:
        self._configured = configured
        self.via_root: bool | None = None
        self.unsaved: dict[str, str] = {}

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers."""
        text = memory.get(MEMORY_LAYOUT)
        if text is not None:
            self.via_root = text == "true"

    def decide(self, *, published: bool) -> bool:
        """The layout, given what the publication does now."""
        if self.via_root is None or (published == self._configured != self.via_root):
            self.via_root = published
            self.unsaved = {MEMORY_LAYOUT: "true" if published else "false"}
        return self.via_root

    def differs(self, *, via_root: bool) -> bool:
        """Return whether the publication, which has this setting now, sends partitions in another way."""
        return self.decide(published=via_root) != via_root

    def remedy(self, publication: str) -> str:
        """The statement that sets the publication back."""
        return f"{set_via_root(publication, via_root=bool(self.via_root))};"

    def delivered(self, memory: Mapping[str, str | None]) -> None:
        """The log has it."""
        if self.unsaved and memory.get(MEMORY_LAYOUT) == self.unsaved[MEMORY_LAYOUT]:
            self.unsaved = {}
