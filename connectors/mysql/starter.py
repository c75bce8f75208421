"""Writes a first config from what is on a server: `cdc init`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing

from pydantic import SecretStr

from cdc.errors import CdcError, ConfigError, SourceUnavailable
from cdc.spi.selection import quoted_part
from connectors.mysql.catalog import TableInfo, list_tables, read_tables
from connectors.mysql.channel import Connection
from connectors.mysql.checks.login import explain, is_closed_database
from connectors.mysql.checks.report import describe_server
from connectors.mysql.connection import Connector
from connectors.mysql.options import URL_SHAPE, Address, MysqlOptions, parse_url

# The comments stand in one column where the entries are shorter than this.
COMMENT_COLUMN = 34


def describe(url: str) -> str:
    """A starter config as YAML text, comments included; the url itself stays out of it, for it may hold a
    password.

    Raises:
        ConfigError: the url is not one.
        SourceUnavailable, SourceRefused: the server can't be read.
    """
    try:
        address = parse_url(url)
        options = MysqlOptions(url=SecretStr(url))
    except ValueError as error:
        message = f"the url is not usable: expected {URL_SHAPE}"
        remedy = "Write @ : / % in the password as %40 %3A %2F %25."
        raise ConfigError(message, where="cdc init", remedy=remedy) from error
    shown = address.database or address.host
    name = re.sub(r"[^a-z0-9_]+", "_", shown.lower()).strip("_") or "source"
    if not name[0].isalpha():
        name = f"source_{name}"
    try:
        product, infos = _look(Connector(options, name), options)
    except SourceUnavailable as error:
        # The daemon would try again; this looks once.
        raise SourceUnavailable(
            error.message, where=error.where, remedy=explain(error, options).fix
        ) from error
    what = f"database {address.database}" if address.database else f"server {address.shown}"
    scheme = url.partition(":")[0]
    return (
        "\n".join(
            _lines(name, address.database, f"{what} ({product})", _without_password(scheme, address), infos)
        )
        + "\n"
    )


def _look(connector: Connector, options: MysqlOptions) -> tuple[str, list[TableInfo]]:
    """The server's product and version, and the selected tables."""
    with (
        closing(_connect(connector, options.address.database)) as conn,
        connector.translated("reading the tables"),
    ):
        server = describe_server(conn, options, connector.source)
        with conn.cursor() as cursor:
            selection = options.selection(ignores_case=server.ignores_case)
            chosen = [table for table in list_tables(cursor) if selection.matches(table)]
            infos = read_tables(cursor, chosen, server.flavour)
    return f"{server.product} {server.number}", [infos[table] for table in sorted(infos)]


def _connect(connector: Connector, database: str) -> Connection:
    """A connection. An account that may not read the database yet gets a file all the same: `cdc check` then
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
    if address.socket or address.ssl_mode or address.ssl_ca or not address.user:
        return "the url given to cdc init"
    return f"{scheme}://{address.user}:...@{address.host}:{address.port}/{address.database}"


def _lines(name: str, database: str, what: str, shown_url: str, infos: Sequence[TableInfo]) -> Iterator[str]:
    variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_URL"
    yield f"# Written by cdc init from the {what}."
    yield f"# Before the first run: export {variable}='{shown_url}'"
    yield "# Then: cdc check && cdc run"
    yield "state_dir: ./cdc-data"
    yield "sources:"
    yield f"  {name}:"
    yield "    type: mysql"
    yield f"    url: ${{{variable}}}"
    yield "    tables:"
    yield from _entries(database, infos)
    yield "sinks:"
    yield "  warehouse:"
    yield "    type: duckdb"
    yield f"    from: [{name}]"
    yield "    path: ./warehouse.duckdb"
    yield "    mode: mirror                  # the current state; append keeps every change"
    yield "  lake:"
    yield "    type: parquet"
    yield f"    from: [{name}]"
    yield "    url: ./lake                   # every change, as files that anything reads"


def _entries(database: str, infos: Sequence[TableInfo]) -> Iterator[str]:
    databases: dict[str, list[TableInfo]] = {}
    for info in infos:
        databases.setdefault(info.table.schema, []).append(info)
    if not databases:
        yield _entry(
            f"{quoted_part(database) if database else '*'}.*",
            "no table that this account may read is there yet",
        )
    for schema, tables in databases.items():
        rows = sum(info.rows for info in tables)
        count = "1 table" if len(tables) == 1 else f"{len(tables)} tables"
        yield _entry(f"{quoted_part(schema)}.*", f"{count}, about {rows:,} rows")
        for info in tables:
            if not info.definition.key:
                yield f"      # {info.table} has no key: mirrors find its rows by all their values."


def _entry(pattern: str, comment: str) -> str:
    text = f"      - {json.dumps(pattern, ensure_ascii=False)}"
    comment = " ".join(comment.split())
    return f"{text:<{COMMENT_COLUMN}}# {comment}" if len(text) < COMMENT_COLUMN else f"{text}  # {comment}"
