"""Whether the selected tables can be followed and copied: what matches, privileges, identities, shapes,
types.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cdc.errors import UnsupportedSchema
from cdc.kit.report import Report, counted, listed, named
from cdc.kit.selection import TableSelection, exclusion_of, nearest
from cdc.model import TableId, shown
from cdc.model.batch import RESERVED_PREFIX
from cdc_source_postgres.checks.identity import check_identities
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.schema.catalog import Connection, read_types
from cdc_source_postgres.schema.inheritance import heirs_outside
from cdc_source_postgres.schema.tables import TABLE, CatalogRelation, TableInfo
from cdc_source_postgres.schema.type_catalog import TypeCatalog
from cdc_source_postgres.schema.type_plan import plan_column
from cdc_source_postgres.statements import (
    bypass_row_security,
    grant_select,
    grant_usage,
    identifier,
    publish_generated,
    table_name,
)

# What can be selected by name and has no change stream, as an operator calls it.
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
# Generated columns can be published from this version on.
GENERATED_SINCE = 180000


def check_tables(
    server: Server, infos: Sequence[TableInfo], relations: Sequence[CatalogRelation], report: Report
) -> None:
    """Everything that concerns the selected tables; `relations` are all there are."""
    _check_selection(server.options.selection, infos, relations, report)
    if not infos:
        return
    _check_privileges(server, infos, report)
    _check_row_security(server, infos, report)
    check_identities(infos, report)
    _check_partitions(infos, relations, report)
    _check_inheritance(server, infos, relations, report)
    _check_reserved(infos, report)
    _check_generated(server, infos, report)
    _check_types(server, infos, report)


def _check_selection(
    selection: TableSelection,
    infos: Sequence[TableInfo],
    relations: Sequence[CatalogRelation],
    report: Report,
) -> None:
    tables = [relation.table for relation in relations]
    named = [r for r in relations if selection.names(r.table) and selection.matches(r.table)]
    for relation in named:
        _check_named(relation, report)
    _check_unlogged(selection, relations, report)
    if not infos and named and not any(relation.can_be_followed for relation in named):
        return  # What is named says why nothing is left.
    if not infos:
        near = next(filter(None, (nearest(entry, tables) for entry in selection.unmatched(tables))), "")
        fix = f"Did you mean {near}?" if near else "Write patterns of schema.table, such as public.*."
        message = "tables selects no table of this database that can be followed"
        report.error("tables-empty", message, f"{fix} To list the tables, run: cdc init")
        return
    for entry in selection.unmatched(tables):
        near = nearest(entry, tables)
        hint = (
            f"Did you mean {near}?" if near else "Correct it, or keep it for tables that are created later."
        )
        report.warn("tables-unmatched", f"tables: {entry} matches nothing in this database", hint)
    report.ok(
        "tables", f"{counted(len(infos), 'table')} will be followed: {listed([i.table for i in infos])}"
    )


def _check_unlogged(selection: TableSelection, relations: Sequence[CatalogRelation], report: Report) -> None:
    """Tables that a pattern selects and Postgres sends no changes of."""
    unlogged = [
        r.table
        for r in relations
        if r.persistence == "u" and r.kind == TABLE and r.parent == 0
        if selection.matches(r.table) and not selection.names(r.table)
    ]
    if unlogged:
        verb = "is unlogged, so it is" if len(unlogged) == 1 else "are unlogged, so they are"
        report.warn(
            "tables-unlogged",
            f"{listed(unlogged)} {verb} not followed: Postgres sends no changes of unlogged tables",
            " ".join(f"alter table {table_name(table)} set logged;" for table in unlogged),
        )


def _check_named(relation: CatalogRelation, report: Report) -> None:
    if relation.can_be_followed:
        return
    if relation.persistence == "u":
        message = f"{relation.table} is unlogged: Postgres sends no changes of it"
        report.error("table-kind", message, f"alter table {table_name(relation.table)} set logged;")
    else:
        message = (
            f"{relation.table} is {_KINDS.get(relation.kind, 'a temporary table')}: Postgres sends no"
            " changes of it"
        )
        report.error("table-kind", message, "Name the tables that it is made of, or remove it from tables.")


def _check_privileges(server: Server, infos: Sequence[TableInfo], report: Report) -> None:
    physical = {info.relid: info.table for info in infos} | {
        leaf.relid: leaf.table for info in infos for leaf in info.leaves
    }
    schemas = sorted({table.schema for table in physical.values()})
    hidden = [
        schema
        for (schema,) in server.conn.execute(
            "select s from unnest(%s::text[]) s where not has_schema_privilege(s, 'usage')", (schemas,)
        )
    ]
    if hidden:
        message = (
            f"the role '{server.role}' may not use"
            f" {'the schema' if len(hidden) == 1 else 'the schemas'} {named(hidden)}"
        )
        report.error("usage-privilege", message, f"{grant_usage(server.role, hidden)};")
    unreadable = [physical[relid] for relid in _unreadable(server, infos, list(physical))]
    if unreadable:
        unreadable.sort()
        message = (
            f"the role '{server.role}' may not read {counted(len(unreadable), 'table')}, which the"
            " first copy needs:"
            f" {listed(unreadable)}"
        )
        report.error("select-privilege", message, f"{grant_select(server.role, unreadable)};")
    else:
        report.ok("select-privilege", f"the role '{server.role}' may read every selected table")


def _unreadable(server: Server, infos: Sequence[TableInfo], relids: list[int]) -> list[int]:
    """The tables of which some column that is to be sent may not be read."""
    closed = {
        int(relid)
        for (relid,) in server.conn.execute(
            "select r from unnest(%s::int8[]) r where not has_table_privilege(r::oid, 'select')", (relids,)
        )
    }
    lists = server.options.column_lists
    for info in infos:
        columns = lists.get(info.table)
        if columns is None or info.relid not in closed or info.is_partitioned:
            continue
        row = server.conn.execute(
            "select bool_and(has_column_privilege(%s::oid, c, 'select')) from unnest(%s::text[]) c"
            " where c in (select attname from pg_attribute where attrelid = %s and attnum > 0)",
            (info.relid, list(columns), info.relid),
        ).fetchone()
        if row == (True,):
            closed.remove(info.relid)
    return sorted(closed)


def _check_row_security(server: Server, infos: Sequence[TableInfo], report: Report) -> None:
    relids = [leaf.relid for info in infos for leaf in info.leaves]
    active = {
        r
        for (r,) in server.conn.execute(
            "select r from unnest(%s::int8[]) r where row_security_active(r::oid)", (relids,)
        )
    }
    tables = [leaf.table for info in infos for leaf in info.leaves if leaf.relid in active]
    if tables:
        message = (
            f"row-level security hides rows of {listed(tables)} from the role '{server.role}',"
            " but the stream contains"
            " them all"
        )
        report.error("row-security", message, f"{bypass_row_security(server.role)};")


def _check_partitions(
    infos: Sequence[TableInfo], relations: Sequence[CatalogRelation], report: Report
) -> None:
    by_parent: dict[int, list[CatalogRelation]] = {}
    for relation in relations:
        by_parent.setdefault(relation.parent, []).append(relation)
    for info in infos:
        if not info.is_partitioned:
            continue
        partitions = counted(len(info.leaves), "partition")
        report.warn(
            "partitioned",
            f"{info.table} is delivered as one table with its {partitions}; Postgres does not send"
            " TRUNCATE, DETACH or"
            " DROP of a single partition, so the daemon copies the table again when that happens",
            "To avoid the copy, delete a partition's rows before it is detached or dropped.",
        )
        silent = [r.table for r in _under(info.relid, by_parent) if r.kind == "f" or r.persistence != "p"]
        if silent:
            message = (
                f"partitions of {info.table} are foreign or unlogged tables, whose changes Postgres"
                f" does not send: {listed(silent)}"
            )
            report.error("partition-kind", message, f"Exclude the table: {exclusion_of(info.table)}")


def _check_inheritance(
    server: Server, infos: Sequence[TableInfo], relations: Sequence[CatalogRelation], report: Report
) -> None:
    for outside in heirs_outside(server.conn, [info.relation for info in infos], relations):
        verb = "inherits from it and is" if len(outside.children) == 1 else "inherit from it and are"
        message = (
            f"{outside.parent} is followed without the rows of {listed(list(outside.children))}, which {verb}"
            " not selected"
        )
        entries = ", ".join(json.dumps(pattern, ensure_ascii=False) for pattern in outside.patterns)
        report.warn("inheritance", message, f"Add to tables: {entries}")


def _under(relid: int, by_parent: dict[int, list[CatalogRelation]]) -> list[CatalogRelation]:
    found: list[CatalogRelation] = []
    waiting = [relid]
    while waiting:
        children = by_parent.get(waiting.pop(), [])
        found += children
        waiting += [child.relid for child in children if child.kind != TABLE]
    return found


def _check_reserved(infos: Sequence[TableInfo], report: Report) -> None:
    for info in infos:
        for column in info.columns:
            if column.name.startswith(RESERVED_PREFIX):
                message = (
                    f"{info.table} has a column {shown(column.name)}; names that begin with {RESERVED_PREFIX}"
                    " are reserved"
                )
                rename = (
                    f"alter table {table_name(info.table)} rename column {identifier(column.name)} to ...;"
                )
                report.error(
                    "reserved-column", message, f"{rename} or exclude the table: {exclusion_of(info.table)}"
                )


def _check_generated(server: Server, infos: Sequence[TableInfo], report: Report) -> None:
    names = [
        (info.table, c)
        for info in infos
        for c in info.columns
        if c.generated and not _is_listed(server, info.table, c.name)
    ]
    sends = _sends_generated(server)
    if not names or sends:
        return
    stored = any(column.generated == "s" for _, column in names)
    fix = "Compute it when you read the data. Postgres 18 can send stored generated columns."
    if server.version >= GENERATED_SINCE and stored:
        when = "" if sends is not None else "Once the publication exists: "
        fix = f"{when}{publish_generated(server.publication)};"
    columns = listed([f"{table}.{shown(column.name)}" for table, column in names])
    report.warn("generated-columns", f"Postgres does not send generated columns: {columns}", fix)


def _is_listed(server: Server, table: TableId, column: str) -> bool:
    return column in server.options.column_lists.get(table, ()) and server.version >= GENERATED_SINCE


def _sends_generated(server: Server) -> bool | None:
    """None when there is no publication yet."""
    row = server.conn.execute(
        "select coalesce(to_jsonb(p) ->> 'pubgencols', 'n') = 's' from pg_publication p where p.pubname = %s",
        (server.publication,),
    ).fetchone()
    return None if row is None else bool(row[0])


def _check_types(server: Server, infos: Sequence[TableInfo], report: Report) -> None:
    catalog = TypeCatalog()
    catalog.add(read_types(server.conn))
    as_text: set[str] = set()
    refused = 0
    for info in infos:
        for column in info.sent_columns():
            if column.name.startswith(RESERVED_PREFIX):
                continue  # `reserved-column` says it.
            try:
                plan = plan_column(
                    column.name,
                    column.type_oid,
                    column.typmod,
                    column.ndims,
                    catalog,
                    server.options.unrepresentable,
                )
            except UnsupportedSchema as error:
                refused += 1
                fix = error.remedy or f"Exclude the table: {exclusion_of(info.table)}"
                report.error("column-type", f"{info.table}.{shown(column.name)}: {error.message}", fix)
            else:
                if plan.text_only:
                    as_text.add(plan.source_type)
    if as_text:
        report.ok("column-types", f"delivered as the server's text: {', '.join(sorted(as_text))}")
    elif not refused:
        report.ok("column-types", "every column's type is supported")


_MONEY_OIDS = (790, 791)
# What roles set for themselves, everywhere or in this database.
_ROLES = """
    select distinct r.rolname
      from pg_db_role_setting s
      join pg_roles r on r.oid = s.setrole
      cross join lateral unnest(s.setconfig) as setting
     where setting like 'lc\\_monetary=%%' and r.rolname <> current_user
       and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
     order by 1
"""


def check_money(conn: Connection, connector: Connector, infos: Sequence[TableInfo], report: Report) -> None:
    """One finding, when a selected table has such a column."""
    tables = [i.table for i in infos if any(c.type_oid in _MONEY_OIDS for c in i.columns)]
    if not tables:
        return
    digits = counted(connector.money_scale, "fraction digit")
    roles = [str(name) for (name,) in conn.execute(_ROLES.encode())]
    if roles:
        report.warn(
            "money",
            f"money of {listed(tables)} is read with {digits}, but lc_monetary is set for"
            f" {counted(len(roles), 'role')}: {', '.join(roles)}",
            "If a role writes these tables, add its setting to url, such as"
            " ?options=-c%20lc_monetary%3Dja_JP.UTF-8",
        )
    else:
        report.ok("money", f"money of {listed(tables)} is read with {digits}")
