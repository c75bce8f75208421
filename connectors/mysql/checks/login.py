"""Why there is no connection, and what to do about each reason."""

from __future__ import annotations

import re

from cdc.errors import CdcError, ConfigError
from cdc.spi.finding import Finding, Severity
from connectors.mysql.checks.report import DOCS
from connectors.mysql.options import MysqlOptions
from connectors.mysql.statements import identifier, literal

# What the server or the driver says → code, and what to do; the first that is found counts. `{user}` and
# `{database}` are those of the url, quoted.
_CLOSED_DATABASE = r"Access denied for user .* to database"
_REASONS = (
    (
        _CLOSED_DATABASE,
        "database",
        "Correct the database in url, or run: grant select on {database}.* to {user}@'%';",
    ),
    (
        r"Access denied for user",
        "login",
        "Correct user and password in url; to set a new one: alter user {user}@'%' identified by '...';",
    ),
    (
        r"Unknown database",
        "database",
        "Correct the database in url; show databases lists those that there are.",
    ),
    (
        r"is not allowed to connect",
        "host",
        "Let the account in from here: create user {user}@'<our address>' identified by '...';",
    ),
    (r"account is locked|Account is locked", "login", "alter user {user}@'%' account unlock;"),
    (r"password has expired|must reset your password", "login", "alter user {user}@'%' identified by '...';"),
    (
        r"[Tt]oo many connections|max_user_connections|max_connections",
        "connections",
        "Close connections that nobody needs, or raise max_connections.",
    ),
    (r"is blocked because of many connection errors", "host", "On the server, run: flush hosts;"),
    (
        r"SSL|TLS|certificate|secure transport",
        "tls",
        "Set ssl-mode and ssl-ca in url to what the server offers.",
    ),
    (
        r"[Aa]uthentication (?:plugin|method)",
        "login",
        "Give the account a method that is known: alter user {user}@'%' identified with"
        " caching_sha2_password by"
        " '...'; (MariaDB: identified via mysql_native_password).",
    ),
)
_UNREACHABLE = (
    "Start the server, or correct host and port in url (inside a container, localhost is the container)."
)


def is_closed_database(error: CdcError) -> bool:
    """Whether the account was let in, but not into the url's database."""
    return re.search(_CLOSED_DATABASE, error.message) is not None


def explain(error: CdcError, options: MysqlOptions) -> Finding:
    """The finding for a connection that was not made."""
    if isinstance(error, ConfigError):
        return Finding(Severity.ERROR, "tls", error.message, error.remedy, DOCS)
    user, database = literal(options.address.user), identifier(options.address.database)
    for pattern, code, fix in _REASONS:
        if re.search(pattern, error.message):
            remedy = fix.format(user=user, database=database)
            return Finding(Severity.ERROR, code, error.message, remedy, DOCS)
    return Finding(Severity.ERROR, "connection", error.message, _UNREACHABLE, DOCS)
