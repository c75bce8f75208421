"""Whether the selected tables can be followed and copied: what matches, keys, engines, cascades, types."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pymysql

from cdc.errors import UnsupportedSchema
from cdc.kit.report import counted, listed
from cdc.kit.selection import TableSelection, exclusion_of, nearest
from cdc.model import TableId, shown
from cdc.model.batch import RESERVED_PREFIX
from cdc_source_mysql.binlog.transactions import may_have_xa
from cdc_source_mysql.checks.report import MysqlReport, Server
from cdc_source_mysql.connection import read_facts
from cdc_source_mysql.schema.catalog import TableInfo
from cdc_source_mysql.schema.definitions import BLACKHOLE, keeps_rows
from cdc_source_mysql.schema.dependents import MERGE, read_dependents
from cdc_source_mysql.schema.type_plan import leaves_generated_out, omitted_columns, plan_table
from cdc_source_mysql.statements import add_key, force, grant_select, identifier, table_name, use_innodb

_KINDS = {
    "VIEW": "a view",
    "SYSTEM VIEW": "a view",
    "SEQUENCE": "a sequence",
    "TEMPORARY": "a temporary table",
}
_OTHERS = (
    "select table_schema, table_name, table_type from information_schema.tables where table_type not in %s"
)
# Engines of which the binlog tells other rows than a SELECT.
_STRANGE = {
    BLACKHOLE: "which keeps no rows: append and history sinks get the rows that are written, and mirrors"
    " stay empty"
}
_ELSEWHERE = "whose rows may change elsewhere: the binlog contains only those that this server changes"
_TRANSACTIONAL = "select engine from information_schema.engines where transactions = 'YES'"

Infos = Mapping[TableId, TableInfo]


def check_tables(server: Server, infos: Infos, known: Collection[TableId], report: MysqlReport) -> None:
    """Everything that concerns the selected tables; `known` are all that there are."""
    selection = server.options.selection(ignores_case=server.ignores_case)
    _check_selection(server, selection, infos, known, report)
    if not infos:
        return
    _check_keys(infos, report)
    _check_engines(server, infos, report)
    _check_versioning(infos, report)
    _check_generated(server, infos, report)
    _check_dependents(server, infos, report)
    _check_reserved(infos, report)
    _check_formats(infos, report)
    _check_types(server, infos, report)


def _check_selection(
    server: Server, selection: TableSelection, infos: Infos, known: Collection[TableId], report: MysqlReport
) -> None:
    others = _others(server)
    for entry in selection.unmatched([*known, *others]):
        near = nearest(entry, known)
        hint = (
            f"Did you mean {near}?"
            if near
            else "Correct it, or keep it for tables that are created later; a table on which"
            f" {server.account} has no privilege does not show."
        )
        report.warn("tables-unmatched", f"tables: {entry} matches nothing on this server", hint)
    for table, kind in others.items():
        if selection.names(table) and selection.matches(table):
            message = f"{table} is {_KINDS.get(kind, kind.lower())}: the binlog contains no changes of it"
            report.error(
                "table-kind", message, "Name the tables that it is made of, or remove it from tables."
            )
    if infos:
        tables = listed(sorted(infos))
        report.ok("tables", f"{counted(len(infos), 'table')} will be followed: {tables}")
    else:
        fix = "Write patterns of database.table, such as shop.*; cdc init lists what is there."
        report.error("tables-empty", "tables selects no table that can be followed", fix)


def _others(server: Server) -> dict[TableId, str]:
    """Return name → kind of the objects that a pattern can select but that have no changes."""
    rows = server.query(_OTHERS, (("BASE TABLE", "SYSTEM VERSIONED"),))
    return {TableId(str(schema), str(name)): str(kind).upper() for schema, name, kind in rows}


def _check_keys(infos: Infos, report: MysqlReport) -> None:
    without = [table for table, info in sorted(infos.items()) if not info.definition.key]
    if not without:
        report.ok("key", "every selected table has a key")
        return
    fix = " ".join(f"{add_key(table)};" for table in without)
    message = (
        f"without primary key or unique index of NOT NULL columns: {listed(without)}; a mirror identifies"
        " rows by all their values, and counts equal rows"
    )
    report.warn("no-key", message, f"If their rows have a unique key, declare it: {fix}")


def _check_engines(server: Server, infos: Infos, report: MysqlReport) -> None:
    safe = _transactional(server)
    for table, info in sorted(infos.items()):
        engine = info.definition.engine
        if engine.lower() == MERGE:
            continue  # `merge` says it.
        if not keeps_rows(engine):
            message = f"{table} is stored by {engine}, {_STRANGE.get(engine.lower(), _ELSEWHERE)}"
            report.warn("engine", message, f"{use_innodb(table)}; {_or_exclude(table)}")
        elif engine and engine.lower() not in safe:
            message = (
                f"{table} is stored by {engine}, which has no transactions: what a failed statement did there"
                " stays, and a copy sees changes that other tables do not show yet"
            )
            if not info.definition.key:
                message += "; without a key, it is locked for writers until it is copied"
            report.warn("engine", message, f"{use_innodb(table)};")


def _transactional(server: Server) -> set[str]:
    """The engines that have transactions, in lower case."""
    return {str(engine).lower() for (engine,) in server.query(_TRANSACTIONAL)}


def _check_versioning(infos: Infos, report: MysqlReport) -> None:
    tables = [
        t for t, info in sorted(infos.items()) if info.definition.period or info.kind == "SYSTEM VERSIONED"
    ]
    for table in [table for table in tables if infos[table].definition.has_versions_by_transaction]:
        message = (
            f"{table} has versions by transaction: MariaDB logs its changes as statements, so it is copied"
            " again after them, at growing intervals"
        )
        report.warn("system-versioning", message, f"Give it versions by timestamp(6), {_or_exclude(table)}")
        tables.remove(table)
    if tables:
        report.ok(
            "system-versioning",
            "system-versioned tables are delivered as their current rows, without the history:"
            f" {listed(tables)}",
        )


def _check_generated(server: Server, infos: Infos, report: MysqlReport) -> None:
    if not leaves_generated_out(server):
        return
    for table, info in sorted(infos.items()):
        names = omitted_columns(info.definition)
        if names:
            message = (
                f"MariaDB 11 omits generated columns from the updates in its binlog, so the copy of {table}"
                f" lacks {', '.join(names)}"
            )
            report.warn("generated", message, "Compute them when you read the data.")


def _check_dependents(server: Server, infos: Infos, report: MysqlReport) -> None:
    selection = server.options.selection(ignores_case=server.ignores_case)
    with server.conn.cursor(pymysql.cursors.Cursor) as cursor:
        facts = read_facts(cursor)
    found = read_dependents(server.conn, facts, selection.matches)
    groups: dict[str, set[TableId]] = {}
    for one in sorted((o for each in found.by_source.values() for o in each), key=lambda o: o.how):
        if one.table not in infos:
            continue
        if one.cascade is None:
            groups.setdefault(one.how, set()).add(one.table)
            continue
        message = (
            f"{one.table} changes with {shown(one.source.name)} through its foreign key"
            f" {shown(one.cascade.name)} ({one.cascade.rules}), and the binlog does not contain these"
            " changes: it is copied again after them, at growing intervals"
        )
        report.warn("cascade", message, one.remedy)
    remedies = {one.how: one.remedy for each in found.by_source.values() for one in each}
    for how, tables in groups.items():
        message = (
            f"{how} shares its rows with others, and the binlog names only the table that a statement"
            f" changes: {listed(sorted(tables))} are copied again after changes of the others, at growing"
            " intervals"
        )
        report.warn("merge", message[:1].upper() + message[1:], remedies[how])
    for table in found.hidden:
        message = (
            f"{server.account} may not see the foreign keys of {table}, which may change selected tables"
        )
        report.warn("cascade", message, f"{grant_select(server.account, [table])};")


def _check_reserved(infos: Infos, report: MysqlReport) -> None:
    for table, info in sorted(infos.items()):
        for column in info.definition.columns:
            if column.name.lower().startswith(RESERVED_PREFIX):
                message = (
                    f"{table} has a column {shown(column.name)}; names that begin with {RESERVED_PREFIX} are"
                    " reserved"
                )
                rename = f"alter table {table_name(table)} rename column {identifier(column.name)} to ...;"
                report.error("reserved-column", message, f"{rename} {_or_exclude(table)}")


def _check_formats(infos: Infos, report: MysqlReport) -> None:
    for table, info in sorted(infos.items()):
        old = [column.name for column in info.definition.columns if column.legacy_temporal]
        if old:
            message = (
                f"{table} stores {listed(old)} in the format of MariaDB 5.3 or MySQL 5.5, whose values the"
                " binlog does not contain exactly"
            )
            report.error("old-temporal", message, f"{force(table)};")


def _check_types(server: Server, infos: Infos, report: MysqlReport) -> None:
    refused = 0
    for table, info in sorted(infos.items()):
        if any(column.legacy_temporal for column in info.definition.columns):
            continue  # `old-temporal` says it.
        if any(column.name.lower().startswith(RESERVED_PREFIX) for column in info.definition.columns):
            continue  # `reserved-column` says it.
        try:
            plan_table(info.definition, None, server.flavour, server.options.unrepresentable)
        except UnsupportedSchema as error:
            refused += 1
            where = error.where or str(table)
            fix = error.remedy or _or_exclude(table)
            report.error("column-type", f"{where}: {error.message}", fix)
    if not refused:
        report.ok("column-types", "every column's type is supported")


def tables_to_lock(server: Server, infos: Infos) -> Sequence[TableId]:
    """Those of which a copy takes the exact position under a lock held for an instant."""
    keyless = sorted(table for table, info in infos.items() if not info.definition.key)
    if server.is_mariadb:
        with server.conn.cursor() as cursor:
            if may_have_xa(cursor):
                return sorted(infos)
        safe = _transactional(server)
        return [table for table in keyless if infos[table].definition.engine.lower() not in safe]
    return keyless if server.value("gtid_mode").upper() == "ON" else sorted(infos)


def _or_exclude(table: TableId) -> str:
    return f"or exclude the table: {exclusion_of(table)}"
