"""Whether the publication is there, or can be created, and sends what the config wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row

from cdc.kit.report import Report, listed, named
from cdc.model import TableId, shown
from cdc_source_postgres.checks.report import Server
from cdc_source_postgres.schema.catalog import read_infos
from cdc_source_postgres.schema.tables import CatalogRelation, TableInfo
from cdc_source_postgres.statements import (
    add_tables,
    create_publication,
    grant_create,
    identifier,
    publish_everything,
    set_via_root,
    table_names,
)
from cdc_source_postgres.stream.publication import read_published, sent_as_others

# Column lists and row filters of publications came with this version.
LISTS_SINCE = 150000

_PUBLICATION = """
    select p.puballtables as all_tables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot as
    via_root, pg_has_role(p.pubowner, 'usage') as is_ours, pg_get_userbyid(p.pubowner) as owner from
    pg_publication p where p.pubname = %s
"""
_OPERATIONS = {"pubinsert": "insert", "pubupdate": "update", "pubdelete": "delete", "pubtruncate": "truncate"}

Row = Mapping[str, Any]


def check_publication(
    server: Server, infos: Sequence[TableInfo], relations: Sequence[CatalogRelation], report: Report
) -> None:
    """Everything that concerns the publication."""
    options = server.options
    if (options.columns or options.where) and server.version < LISTS_SINCE:
        message = f"columns and where need Postgres 15 or newer, the server is {server.major}"
        report.error(
            "publication-lists", message, "Remove columns and where from the config, or upgrade the server."
        )
    for info in infos:
        _check_list_columns(info, options.column_lists.get(info.table), report)
    with server.conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_PUBLICATION, (server.publication,)).fetchone()
    rows = read_published(server.conn, server.publication)
    if found is None:
        _check_creation(server, infos, report)
        return
    published = {TableId(row["schema"], row["name"]): row for row in rows}
    _check_operations(server, found, report)
    _check_via_root(server, found, infos, report)
    _check_members(server, found, infos, published, report)
    _check_lists(server, infos, published, report)
    if found["all_tables"]:
        _check_everything(server, infos, relations, report)


def _check_creation(server: Server, infos: Sequence[TableInfo], report: Report) -> None:
    name, tables = server.publication, [info.table for info in _publishable(infos)]
    if tables:
        statement = create_publication(name, tables, via_root=server.options.publish_via_partition_root)
    else:
        statement = f"create publication {identifier(name)} for table ..."
    if server.is_standby:
        message = f"the publication '{name}' does not exist, and a standby cannot create it"
        report.error("publication", message, f"On the primary, run: {statement};")
    elif not server.options.create_publication:
        message = f"the publication '{name}' does not exist, and create_publication is false"
        report.error("publication", message, f"{statement};")
    else:
        _check_create_privileges(server, infos, statement, report)


def _check_create_privileges(
    server: Server, infos: Sequence[TableInfo], statement: str, report: Report
) -> None:
    foreign = _not_owned(server, infos)
    if foreign:
        # Who owns the tables creates the publication: this role then needs no privilege for it.
        report.error(
            "publication-owner",
            f"the publication '{server.publication}' does not exist, and only the owner of a table can "
            "publish it:"
            f" '{server.role}' does not own {listed(foreign)}",
            f"As their owner or a superuser: {statement};",
        )
        return
    row = server.conn.execute("select has_database_privilege(current_database(), 'create')").fetchone()
    if row == (True,):
        report.ok("publication", f"the publication '{server.publication}' does not exist and will be created")
        return
    report.error(
        "publication-privilege",
        f"the publication '{server.publication}' does not exist, and the role '{server.role}'"
        f" may not create it in the database '{server.database}'",
        f"{grant_create(server.role, server.database)};",
    )


def _publishable(infos: Sequence[TableInfo]) -> list[TableInfo]:
    """Those that a statement may publish: updates of the others would fail, and `replica-identity` names
    them.
    """
    return [info for info in infos if not info.without_identity()]


def _not_owned(server: Server, infos: Sequence[TableInfo]) -> list[TableId]:
    owned = {
        int(relid)
        for (relid,) in server.conn.execute(
            "select r from unnest(%s::int8[]) r join pg_class c on c.oid = r where"
            " pg_has_role(c.relowner, 'usage')",
            ([info.relid for info in infos],),
        )
    }
    return [info.table for info in infos if info.relid not in owned]


def _check_operations(server: Server, found: Row, report: Report) -> None:
    missing = [word for column, word in _OPERATIONS.items() if not found[column]]
    if missing:
        message = (
            f"the publication '{server.publication}' does not send {', '.join(missing)},"
            " so sinks do not receive them"
        )
        report.warn("publication-operations", message, f"{publish_everything(server.publication)};")


def _check_via_root(server: Server, found: Row, infos: Sequence[TableInfo], report: Report) -> None:
    wanted = server.options.publish_via_partition_root
    if found["via_root"] == wanted or not any(info.is_partitioned for info in infos):
        return
    message = (
        f"the publication '{server.publication}' has publish_via_partition_root ="
        f" {str(found['via_root']).lower()},"
        f" the config {str(wanted).lower()}"
    )
    report.error("publication-partitions", message, f"{set_via_root(server.publication, via_root=wanted)};")


def _check_members(
    server: Server, found: Row, infos: Sequence[TableInfo], published: Mapping[TableId, Row], report: Report
) -> None:
    name = server.publication
    under = sent_as_others(server.conn, name, infos, published)
    for message, remedy in under.values():
        report.error("publication-root", message, f"{remedy}.")
    infos = [info for info in infos if info.table not in under]
    able = _publishable(infos)
    missing = [info for info in able if info.table not in published]
    tables = [info.table for info in missing]
    if missing:
        foreign = _not_owned(server, missing)
        may = server.options.create_publication and not server.is_standby and found["is_ours"] and not foreign
        if may:
            report.ok("publication", f"the publication '{name}' exists; {listed(tables)} will be added to it")
            return
        if not server.options.create_publication:
            why = "create_publication is false"
        elif server.is_standby:
            why = "a standby cannot add them"
        elif not found["is_ours"]:
            why = f"it belongs to '{found['owner']}', not to '{server.role}'"
        else:
            why = f"only the owner of a table can add it: '{server.role}' does not own {listed(foreign)}"
        message = f"the publication '{name}' lacks {listed(tables)}, and {why}"
        report.error("publication-tables", message, f"{add_tables(name, tables)};")
        return
    lacking = any(info.table not in published for info in infos)
    which = " that has a replica identity" if lacking else ""
    which += " under its own name" if under else ""
    report.ok("publication", f"the publication '{name}' exists and sends every selected table{which}")
    left_out = sorted(set(published) - {info.table for info in infos} - _leaves(infos))
    if left_out and not found["all_tables"]:
        message = f"the publication '{name}' also sends {listed(left_out)}, which this source does not select"
        fix = f"alter publication {identifier(name)} drop table {table_names(left_out)};"
        others = _other_readers(server)
        if others:
            message += f"; other slots may read it: {listed(others)}"
        report.ok("publication-extra", message, "" if others else fix)


def _other_readers(server: Server) -> list[str]:
    """The slots beside ours that may read this publication: a slot does not say with which it is read."""
    rows = server.conn.execute(
        "select slot_name from pg_replication_slots where plugin = 'pgoutput' and not temporary"
        " and database = current_database() and slot_name <> %s order by 1",
        (server.slot,),
    )
    return [str(name) for (name,) in rows]


def _leaves(infos: Sequence[TableInfo]) -> set[TableId]:
    return {leaf.table for info in infos for leaf in info.leaves}


def _check_lists(
    server: Server, infos: Sequence[TableInfo], published: Mapping[TableId, Row], report: Report
) -> None:
    columns, filters = server.options.column_lists, server.options.row_filters
    for info in infos:
        row = published.get(info.table)
        if row is None or server.version < LISTS_SINCE:
            continue
        wanted = columns.get(info.table)
        if wanted is not None and set(wanted) != set(row["columns"] or ()):
            _report_difference(server, info.table, "columns", report)
        if info.table in filters and row["row_filter"] is None:
            _report_difference(server, info.table, "where", report)


def _report_difference(server: Server, table: TableId, key: str, report: Report) -> None:
    message = f"{key} of {table} in the config is not what the publication '{server.publication}' sends"
    others = _other_readers(server)
    if others:
        message += f", which other slots may read: {listed(others)}"
        fix = "Correct the config, or set publication: to a name of this source's own."
    else:
        drop = f"alter publication {identifier(server.publication)} drop table {table_names([table])};"
        fix = f"Correct the config, or run: {drop} the daemon then adds it as configured."
    report.error("publication-lists", message, fix)


def _check_list_columns(info: TableInfo, columns: Sequence[str] | None, report: Report) -> None:
    if columns is None:
        return
    names = [column.name for column in info.columns]
    unknown = [column for column in columns if column not in names]
    if unknown:
        message = f"columns of {info.table} names {named(unknown)}, which the table does not have"
        report.error("column-list", message, f"It has: {', '.join(map(shown, names))}.")
    key = info.identity_columns if info.replica_identity != "f" else names
    lacking = [column for column in key if column not in columns]
    if lacking:
        message = (
            f"columns of {info.table} leaves out {named(lacking)} of its replica identity: its updates"
            " and deletes would fail"
        )
        report.error("column-list", message, f"Add {', '.join(map(shown, lacking))} to columns.")


def _check_everything(
    server: Server, infos: Sequence[TableInfo], relations: Sequence[CatalogRelation], report: Report
) -> None:
    """FOR ALL TABLES publishes what nobody selected, and breaks the updates of what has no identity."""
    selected = {info.relid for info in infos}
    leaves = _leaves(infos)
    others = [r for r in relations if r.can_be_followed and r.relid not in selected and r.table not in leaves]
    broken = [t for info in read_infos(server.conn, others, relations) for t in info.without_identity()]
    if broken:
        message = (
            f"the publication '{server.publication}' is for all tables, so updates and deletes fail"
            " on every table without a"
            f" key, selected or not: {listed(sorted(set(broken)))}"
        )
        report.error(
            "publication-all-tables",
            message,
            "Use a publication that lists its tables, or give these tables a primary key.",
        )
