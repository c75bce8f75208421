"""Writes a first configuration for a server (`cdc init`), and reads one from a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pymysql
from pydantic import SecretStr

from cdc.errors import CdcError
from cdc.kit.selection import quoted_part
from cdc.kit.starter import (
    Starter,
    entry,
    looking_once,
    note,
    source_name,
    table_lines,
    url_without_password,
    usable_url,
)
from cdc.model import TableId, shown
from cdc.spi import UrlEntry
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.preflight import explain, is_closed_database
from cdc_source_mysql.checks.report import describe_server
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import URL_SHAPE, Address, MysqlOptions, parse_url
from cdc_source_mysql.schema.catalog import TableInfo, list_tables, read_tables
from cdc_source_mysql.statements import table_name


def describe(url: str) -> str:
    """A starter config as YAML text, comments included; the url itself stays out of it, for it may hold a
    password.

    Raises:
        ConfigError: the url is not one.
        SourceUnavailable, SourceRefused: the server can't be read.
    """
    with usable_url(URL_SHAPE):
        address = parse_url(url)
        options = MysqlOptions(url=SecretStr(url))
    name = source_name(address.database or address.host)
    with looking_once(lambda error: explain(error, options)):
        product, infos, empty = _look(Connector(options, name), options)
    origin = f"database {shown(address.database)}" if address.database else f"server {address.shown}"
    none_yet = entry(
        f"{quoted_part(address.database) if address.database else '*'}.*",
        "this account cannot read any table yet",
    )
    return Starter(
        name,
        "mysql",
        f"{origin} ({product})",
        _without_password(url.partition(":")[0], address),
        [*table_lines(infos, lambda info: _rows_of(info, empty), _notes)] or [none_yet],
        {address.database, *(info.table.schema for info in infos)},
    ).text()


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    address = MysqlOptions(url=SecretStr(url)).address
    return UrlEntry(source_name(address.database or address.host), {"url": url})


def _look(connector: Connector, options: MysqlOptions) -> tuple[str, list[TableInfo], frozenset[TableId]]:
    """The server's product and version, the selected tables, and those of them that hold no row."""
    with (
        closing(_connect(connector, options.address.database)) as conn,
        connector.translated("reading the tables"),
    ):
        server = describe_server(conn, options, connector.source)
        with conn.cursor() as cursor:
            selection = options.selection(ignores_case=server.ignores_case)
            chosen = [table for table in list_tables(cursor) if selection.matches(table)]
            infos = read_tables(cursor, chosen, server.flavour)
            empty = frozenset(
                table for table, info in infos.items() if not info.rows and _is_empty(cursor, table)
            )
    return f"{server.product} {server.number}", [infos[table] for table in sorted(infos)], empty


def _is_empty(cursor: Any, table: TableId) -> bool:
    """Return whether a table for which the server estimates no row has none; False if this account may not
    look.
    """
    try:
        cursor.execute(f"select 1 from {table_name(table)} limit 1")
        return cursor.fetchone() is None
    except pymysql.Error:
        return False


def _rows_of(info: TableInfo, empty: frozenset[TableId]) -> int | None:
    """The server's estimate; None where it says 0 of a table that has rows, or may have."""
    return 0 if info.table in empty else info.rows or None


def _connect(connector: Connector, database: str) -> Connection:
    """A connection. An account that may not read the database yet gets a file nevertheless: `cdc check` then
    says which grants are missing.
    """
    purpose = "to look at its tables"
    try:
        return connector.connect(purpose, database=database or None)
    except CdcError as error:
        if not is_closed_database(error):
            raise
    return connector.connect(purpose)


def _without_password(scheme: str, address: Address) -> str:
    """The url without its password; one over a unix socket or with settings has too many forms to show."""
    host = "" if address.socket or address.ssl_mode or address.ssl_ca else address.host
    return url_without_password(scheme, address.user, host, address.port, address.database)


def _notes(info: TableInfo) -> Iterator[str]:
    if not info.definition.key:
        yield note(f"{info.table} has no key: mirrors identify its rows by all their values.")
