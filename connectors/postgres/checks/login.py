"""Why there is no connection, and what to do about each reason."""

from __future__ import annotations

import re

from cdc.errors import CdcError
from cdc.spi.finding import Finding, Severity
from connectors.postgres.options import PostgresOptions, parse_url
from connectors.postgres.statements import identifier

_HBA = re.compile(r'(?:no pg_hba\.conf entry|pg_hba\.conf rejects).* host "(?P<host>[^"]*)"')
_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")
# What the server or libpq says → code, and what to do; the first that is found counts. `{role}` is the user
# of the url as an identifier.
_REASONS = (
    (
        r"authentication failed for user|no password supplied",
        "login",
        "Correct the password in url; to set a new one: alter role {role} password '...';",
    ),
    (
        r'role ".*" does not exist',
        "login",
        "Correct the user in url, or run: create role {role} login replication password '...';",
    ),
    (r'role ".*" is not permitted to log in', "login", "alter role {role} login;"),
    (
        r'database ".*" does not exist',
        "database",
        "Correct the database in url; psql --list shows those that there are.",
    ),
    (
        r"too many (?:connections|clients)|remaining connection slots|exceeds max_wal_senders",
        "connections",
        "Close connections that nobody needs, or raise max_connections (for wal senders: max_wal_senders).",
    ),
    (r"SSL|certificate", "tls", "Set sslmode and sslrootcert in url to what the server offers."),
    (
        r"unsupported startup parameter|no such database|no such user|syntax error",
        "pooler",
        "Give the address of the server itself in url: a connection pooler does not pass replication on.",
    ),
)
_UNREACHABLE = (
    "Start the server, or correct host and port in url (inside a container, localhost is the container)."
)


def explain(error: CdcError, options: PostgresOptions) -> Finding:
    """The finding for a connection that was not made."""
    settings = parse_url(options.url.get_secret_value())
    user = settings.get("user", "")
    code, fix = _diagnose(error.message, user, settings.get("dbname", ""))
    return Finding(Severity.ERROR, code, error.message, fix)


def _diagnose(message: str, user: str, database: str) -> tuple[str, str]:
    if match := _HBA.search(message):
        return "pg-hba", _hba_line(match["host"], user, database)
    for pattern, code, fix in _REASONS:
        if re.search(pattern, message):
            return code, fix.format(role=identifier(user or "<user>"))
    return "connection", _UNREACHABLE


def _hba_line(host: str, user: str, database: str) -> str:
    address = f"{host}/{128 if ':' in host else 32}" if _ADDRESS.fullmatch(host) else "<our address>/32"
    line = f"host {database} {user} {address} scram-sha-256"
    return f"Add this line to pg_hba.conf, then run: select pg_reload_conf();\n{line}"
