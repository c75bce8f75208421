"""The preflight check: everything that would keep a source from working, each finding with the statement that
mends it.

Nothing is created or changed on the server; one short connection is made.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from cdc.errors import CdcError
from cdc.spi.finding import Finding
from cdc.spi.source import LogIdentity
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.login import explain
from cdc_source_mysql.checks.privileges import check_privileges, check_roles, read_grants, unreadable_tables
from cdc_source_mysql.checks.replication import check_replication
from cdc_source_mysql.checks.report import MysqlReport, describe_server
from cdc_source_mysql.checks.server import check_server
from cdc_source_mysql.checks.tables import check_tables, tables_to_lock
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.schema.catalog import list_tables, read_tables


def run_checks(options: MysqlOptions, name: str, owner: LogIdentity | None = None) -> list[Finding]:
    """All findings for the source of that name in the config, in the order in which one would mend them."""
    report = MysqlReport()
    connector = Connector(options, name)
    try:
        conn = _connect(connector, options, report)
    except CdcError as error:
        report.findings.append(explain(error, options))
        return report.findings
    with report.until_error(), closing(conn), connector.translated("checking"):
        _check(conn, options, name, owner, report)
    return report.findings


def _connect(connector: Connector, options: MysqlOptions, report: MysqlReport) -> Connection:
    """A connection. A database that can't be entered is a finding, and keeps none of the others back."""
    if options.address.database:
        try:
            return connector.connect("to check it", database=options.address.database)
        except CdcError as error:
            finding = explain(error, options)
            if finding.code != "database":
                raise
            report.findings.append(finding)
    return connector.connect("to check it")


def _check(
    conn: Any, options: MysqlOptions, name: str, owner: LogIdentity | None, report: MysqlReport
) -> None:
    server = describe_server(conn, options, name)
    report.ok("connection", f"connected to {options.address.shown} as {server.account}")
    if not check_server(server, report):
        return
    with conn.cursor() as cursor:
        known = list_tables(cursor)
        selection = options.selection(ignores_case=server.ignores_case)
        infos = read_tables(cursor, [table for table in known if selection.matches(table)], server.flavour)
    check_replication(server, owner, {table.schema for table in infos}, report)
    grants = read_grants(server)
    check_roles(server, report)
    check_privileges(
        server, grants, tables_to_lock(server, infos), unreadable_tables(server, grants, infos), report
    )
    check_tables(server, infos, known, report)
