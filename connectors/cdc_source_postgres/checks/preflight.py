"""The preflight check: everything that would keep a source from working, each finding with the statement that
mends it.

Nothing is created or changed on the server; at most three short connections are made.
"""

from __future__ import annotations

from cdc.errors import CdcError, ConfigError
from cdc.kit.report import Report
from cdc.spi.finding import Finding
from cdc.spi.source import LogIdentity
from cdc_source_postgres.checks.ddl import check_ddl
from cdc_source_postgres.checks.login import explain
from cdc_source_postgres.checks.publication import check_publication
from cdc_source_postgres.checks.report import describe_server
from cdc_source_postgres.checks.server import check_connections, check_server, is_too_old
from cdc_source_postgres.checks.slot import check_slot
from cdc_source_postgres.checks.tables import check_money, check_tables
from cdc_source_postgres.checks.waits import check_waits
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.limits import DEFAULTS, Limits
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.catalog import Connection, read_infos, read_relations, select_relations


def run_checks(
    options: PostgresOptions, name: str, owner: LogIdentity | None = None, limits: Limits = DEFAULTS
) -> list[Finding]:
    """All findings for the source of that name in the config, in the order in which one would mend them."""
    report = Report()
    try:
        options.slot_name(name)
        options.publication_name(name)
    except ConfigError as error:
        report.error("name", str(error), error.remedy)
        return report.findings
    connector = Connector(options, name, limits)
    try:
        conn = connector.connect("to check it")
    except CdcError as error:
        report.findings.append(explain(error, options))
        return report.findings
    with report.until_error(), conn, connector.translated("checking"):
        _check(conn, connector, options, owner, report)
    return report.findings


def _check(
    conn: Connection,
    connector: Connector,
    options: PostgresOptions,
    owner: LogIdentity | None,
    report: Report,
) -> None:
    server = describe_server(conn, options, connector.source, connector.application_name)
    where = f"the database '{server.database}' as '{server.role}'"
    report.ok("connection", f"connected to {where}")
    check_server(server, report)
    if is_too_old(server):
        return
    check_connections(server, report)
    if server.can_replicate:
        _check_replication(connector, options, report)
    relations = read_relations(conn)
    chosen = select_relations(relations, options.selection, via_root=options.publish_via_partition_root)
    infos = read_infos(conn, chosen, relations)
    check_tables(server, infos, relations, report)
    check_publication(server, infos, relations, report)
    check_slot(server, owner, report, connector.where)
    check_ddl(server, report)
    check_waits(server, report, connector.limits)
    check_money(conn, connector, infos, report)


def _check_replication(connector: Connector, options: PostgresOptions, report: Report) -> None:
    """A pooler or pg_hba.conf can let ordinary connections through and replication not."""
    try:
        connector.replicate().close()
    except CdcError as error:
        found = explain(error, options)
        report.error("replication-connection", found.message, found.fix)
    else:
        report.ok("replication-connection", "a replication connection works")
