"""Why there is no connection, and what to do about each reason: by SQLSTATE and by libpq's steps, in any
language of the server.
"""

from __future__ import annotations

import ipaddress
import re

from cdc.errors import CdcError
from cdc.kit.report import UNREACHABLE
from cdc.spi.finding import Finding, Severity
from cdc_libpq.connecting import ConnectionRefused, ConnectionStep, Refusal
from cdc_source_postgres.options import PostgresOptions, parse_url
from cdc_source_postgres.statements import identifier, raise_setting

_ADDRESS = re.compile(r"[0-9a-fA-F.:]{3,}")
# The functions in the server's source that refuse for lack of a line in pg_hba.conf, and because of the role.
_HBA, _ROLE, _DATABASE = "ClientAuthentication", "InitializeSessionUserId", "CheckMyDatabase"
_POOLER = "Give the address of the server itself in url: a connection pooler does not support replication."
_PASSWORD = "Correct the password in url; to set a new one: alter role {role} password '...';"  # noqa: S105
# SQLSTATE → code, and what to do. `{role}` and `{database}` are those of the url as identifiers.
_STATES = {
    "28P01": ("login", _PASSWORD),
    "28000": ("login", "Set user and password in url to what pg_hba.conf requires of this role."),
    "3D000": ("database", "Correct the database in url; psql --list shows the existing ones."),
    "53300": ("connections", "Close unused connections, or raise max_connections."),
    "57P03": ("connection", "The server is starting or shutting down: run cdc check again in a minute."),
    "08P01": ("pooler", _POOLER),
    "26000": ("pooler", _POOLER),
    "42601": ("pooler", _POOLER),
}
# The same by SQLSTATE and function.
_FUNCTIONS = {
    ("28000", _ROLE): (
        "login",
        "Correct the user in url, or run: alter role {role} login; or, if no such role exists:"
        " create role {role} login replication password '...';",
    ),
    ("53300", _ROLE): ("connections", "alter role {role} connection limit -1;"),
    ("53300", _DATABASE): ("connections", "alter database {database} connection limit -1;"),
    ("42501", _DATABASE): ("login", "grant connect on database {database} to {role};"),
    ("42501", "InitPostgres"): ("role-replication", "alter role {role} replication;"),
}
_STEPS = {
    ConnectionStep.REACH: ("connection", UNREACHABLE),
    ConnectionStep.TLS: ("tls", "Set sslmode and sslrootcert in url to what the server offers."),
    ConnectionStep.PASSWORD: ("login", _PASSWORD),
}


def explain(error: CdcError, options: PostgresOptions) -> Finding:
    """The finding for a connection that was not made."""
    settings = parse_url(options.url.get_secret_value())
    user, database = settings.get("user", ""), settings.get("dbname", "")
    cause = error.__cause__
    if not isinstance(cause, ConnectionRefused):
        return Finding(Severity.ERROR, "connection", error.message, error.remedy)
    refusal = cause.refusal
    if refusal.state == "28000" and refusal.function == _HBA:
        return Finding(Severity.ERROR, "pg-hba", error.message, _hba_line(refusal.message, user, database))
    code, fix = _diagnose(refusal, error)
    names = {"role": identifier(user or "<user>"), "database": identifier(database or "<database>")}
    return Finding(Severity.ERROR, code, error.message, fix.format(**names))


def _diagnose(refusal: Refusal, error: CdcError) -> tuple[str, str]:
    if not refusal.state:
        return _STEPS[refusal.step]
    if refusal.state == "53300" and "max_wal_senders" in refusal.message:
        return "connections", raise_setting("max_wal_senders")
    known = _FUNCTIONS.get((refusal.state, refusal.function)) or _STATES.get(refusal.state)
    return known or ("connection", error.remedy.replace("{", "{{").replace("}", "}}"))


def _hba_line(message: str, user: str, database: str) -> str:
    """The line that lets us in; our address is the one that the server names."""
    address = next((a for a in map(_address, _ADDRESS.findall(message)) if a), "<our address>/32")
    line = f"host {_quoted(database)} {_quoted(user)} {address} scram-sha-256"
    return f"Add this line to pg_hba.conf, then run: select pg_reload_conf();\n{line}"


def _address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return f"{found}/{found.max_prefixlen}"


def _quoted(name: str) -> str:
    """A name as pg_hba.conf has it."""
    return name if re.fullmatch(r"\w+", name) else '"' + name.replace('"', '""') + '"'
