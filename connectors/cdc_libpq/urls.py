"""URLs of Postgres, and the settings that they contain."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from cdc.kit.urls import REMOVE, UrlRules

URL_SHAPE = "postgresql://user:password@host:port/database"
URL_SCHEMES = ("postgresql", "postgres")
# NAMEDATALEN - 1: the part of a name that Postgres keeps.
MAX_NAME_BYTES = 63
# Half-open connections (a firewall that forgot us, a host that lost power) are noticed within a minute: 20 +
# 4 * 10 s.
LIVENESS: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MODES = "remove it, and set sslmode=verify-full (or sslmode=require, which checks no certificate)"
# Parameters that other tools read from the URLs of Postgres: whose they are, and what does the same here.
_FOREIGN: Mapping[str, tuple[str, str]] = {
    "sslaccept": ("Prisma", _MODES),
    "sslfactory": ("JDBC", _MODES),
    "uselibpqcompat": ("node-postgres", REMOVE),
    "applicationname": ("JDBC", "write application_name"),
    "logintimeout": ("JDBC", "write connect_timeout"),
    "timeout": ("SQLAlchemy", "write connect_timeout"),
    "targetservertype": ("JDBC", "write target_session_attrs=primary"),
    "preparethreshold": ("JDBC", REMOVE),
    "stringtype": ("JDBC", REMOVE),
    "min_messages": ("Rails", REMOVE),
    "variables": ("Rails", "write options=-c%20name%3Dvalue"),
    "prepared_statement_cache_size": ("SQLAlchemy", REMOVE),
    "command_timeout": ("SQLAlchemy", REMOVE),
    "async_fallback": ("SQLAlchemy", REMOVE),
    "default_query_exec_mode": ("pgx", REMOVE),
    "pool_max_conns": ("pgx", REMOVE),
}


def search_path_parameters(instead: str) -> Mapping[str, tuple[str, str]]:
    """Return the parameters by which other tools set a search path, with what to do `instead` of them."""
    names = {"schema": "Prisma", "currentschema": "JDBC", "search_path": "pgx", "schema_search_path": "Rails"}
    return {name: (tool, instead) for name, tool in names.items()}


def parse_settings(url: str, foreign: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return the settings in a connection string. `foreign` adds parameters of other tools that mean
    something of their own to the caller.

    Raises:
        ValueError: the URL is not usable. The message repeats none of it, for it may hold a password.
    """
    # libpq allows ? and # in a password.
    rules = UrlRules(URL_SCHEMES, URL_SHAPE, "@/", {**_FOREIGN, **foreign})
    rules.check(url, _known_parameters())
    try:
        settings = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.Error:
        message = f"the url is not a connection string: expected {URL_SHAPE} or key=value pairs"
        raise ValueError(message) from None
    if settings.get("sslmode", "prefer") not in _SSL_MODES:
        message = f"sslmode in the url must be one of {', '.join(_SSL_MODES)}"
        raise ValueError(message)
    return settings


def check_complete(settings: Mapping[str, str], reserved: tuple[str, ...]) -> None:
    """Raise ValueError for settings without a database, and for settings that the daemon sets itself."""
    for name in reserved:
        if name in settings:
            message = f"the url must not set {name}: the daemon sets it itself"
            raise ValueError(message)
    if not settings.get("dbname") and not settings.get("service"):
        raise ValueError("the url must name the database: postgresql://user@host/DATABASE")


@functools.cache
def _known_parameters() -> frozenset[str]:
    """Return the parameters that libpq accepts; `ssl` is its alias of `sslmode`, for JDBC."""
    return frozenset(each.keyword.decode() for each in pq.Conninfo.get_defaults()) | {"ssl"}
