"""The preflight check: everything that would keep a source from working, each finding with the statement that
mends it.

Nothing is created or changed on the server; one short connection is made.
"""

from __future__ import annotations

import ssl
from contextlib import closing
from typing import Any

from cdc.errors import CdcError, ConfigError
from cdc.kit.report import UNREACHABLE
from cdc.spi.finding import Finding, Severity
from cdc.spi.source import LogIdentity
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.privileges import (
    check_connections,
    check_privileges,
    check_roles,
    read_grants,
    unreadable_tables,
)
from cdc_source_mysql.checks.replication import check_replication
from cdc_source_mysql.checks.report import DOCS, MysqlReport, describe_server
from cdc_source_mysql.checks.server import check_server
from cdc_source_mysql.checks.tables import check_tables, tables_to_lock
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.errors import number_of
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.schema.catalog import list_tables, read_tables
from cdc_source_mysql.statements import identifier, literal


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
    check_connections(server, report)
    check_privileges(
        server, grants, tables_to_lock(server, infos), unreadable_tables(server, grants, infos), report
    )
    check_tables(server, infos, known, report)


_CLOSED_DATABASE = 1044
_RENEW = "alter user {user}@'%' identified by '...';"
_UNLOCK = "alter user {user}@'%' account unlock;"
_TLS = ("tls", "Set ssl-mode and ssl-ca in url to what the server offers.")
_METHOD = (
    "login",
    "Give the account a supported login method: alter user {user}@'%' identified with "
    "caching_sha2_password by"
    " '...'; (MariaDB: identified via mysql_native_password).",
)
_LOGIN = ("login", "Correct user and password in url; to set a new one: " + _RENEW)
# Error number → code, and what to do; `{user}` and `{database}` are those of the url, quoted.
_REASONS = {
    _CLOSED_DATABASE: (
        "database",
        "Correct the database in url, or run: grant select on {database}.* to {user}@'%';",
    ),
    1045: _LOGIN,
    1698: _LOGIN,
    1049: ("database", "Correct the database in url; show databases lists the existing ones."),
    1130: (
        "host",
        "Allow the account to log in from this host: create user {user}@'<our address>' identified by '...';",
    ),
    1129: ("host", "On the server, run: flush hosts; or truncate table performance_schema.host_cache;"),
    # MySQL, MariaDB.
    3118: ("login", _UNLOCK),
    4151: ("login", _UNLOCK),
    1820: ("login", _RENEW),
    1862: ("login", _RENEW),
    1040: ("connections", "Close unused connections, or raise max_connections."),
    1203: ("connections", "set global max_user_connections = 0;"),
    1226: (
        "connections",
        "alter user {user}@'%' with max_user_connections 0"
        " max_connections_per_hour 0 max_queries_per_hour 0;",
    ),
    1251: _METHOD,
    1275: _METHOD,
    1524: _METHOD,
    2059: _METHOD,
    2026: _TLS,
    2061: _TLS,
    3159: _TLS,
}


def is_closed_database(error: CdcError) -> bool:
    """Return whether the account was let in, but not into the url's database."""
    return number_of(error) == _CLOSED_DATABASE


def explain(error: CdcError, options: MysqlOptions) -> Finding:
    """The finding for a connection that was not made."""
    if isinstance(error, ConfigError):
        return Finding(Severity.ERROR, "tls", error.message, error.remedy, DOCS)
    code, fix = _reason(error)
    user, database = literal(options.address.user), identifier(options.address.database)
    remedy = fix.format(user=user, database=database)
    return Finding(Severity.ERROR, code, error.message, remedy, DOCS)


def _reason(error: CdcError) -> tuple[str, str]:
    cause = error.__cause__
    if isinstance(getattr(cause, "original_exception", cause), ssl.SSLError):
        return _TLS
    if isinstance(cause, RuntimeError):  # A package for the login's kind of password is missing.
        return _METHOD
    return _REASONS.get(number_of(error), ("connection", UNREACHABLE))
