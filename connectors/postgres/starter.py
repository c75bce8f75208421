"""Writes a first config from what is in a database: `cdc init`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from cdc.errors import SourceUnavailable
from cdc.spi.selection import entry_for
from cdc.spi.starter import Starter, entry, note, source_name, table_lines, unusable_url
from connectors.postgres.catalog import read_infos, read_relations, select_relations
from connectors.postgres.checks.login import explain
from connectors.postgres.connection import Connector
from connectors.postgres.options import URL_SHAPE, PostgresOptions, parse_url
from connectors.postgres.statements import replica_identity_full
from connectors.postgres.tables import TableInfo


def describe(url: str) -> str:
    """A starter config as YAML text, comments included; the url itself stays out of it, for it may hold a
    password.

    Raises:
        ConfigError: the url is not one.
        SourceUnavailable, SourceRefused: the database can't be read.
    """
    try:
        settings = parse_url(url)
        options = PostgresOptions(url=SecretStr(url), tables=("*.*",))
    except ValueError as error:
        raise unusable_url(error, URL_SHAPE) from error
    database = settings["dbname"]
    name = source_name(database)
    try:
        version, infos = _look(Connector(options, name), options)
    except SourceUnavailable as error:
        # The daemon would try again; this looks once.
        remedy = explain(error, options).fix
        raise SourceUnavailable(error.message, where=error.where, remedy=remedy) from error
    return Starter(
        name,
        "postgres",
        f"database {database} (Postgres {version})",
        _without_password(settings),
        [*table_lines(infos, lambda info: info.estimated_rows, _notes)]
        or [entry("public.*", "there is no table yet")],
        {info.table.schema for info in infos},
    ).text()


def _look(connector: Connector, options: PostgresOptions) -> tuple[str, list[TableInfo]]:
    """The server's version and its tables."""
    with connector.connect("to look at its tables") as conn, connector.translated("reading the tables"):
        version = (conn.info.parameter_status("server_version") or "?").split()[0]
        relations = read_relations(conn)
        return version, read_infos(conn, select_relations(relations, options.selection), relations)


def _without_password(settings: Mapping[str, str]) -> str:
    """The url without its password; one over a unix socket has too many forms to show."""
    host, user = settings.get("host", ""), settings.get("user", "")
    if not host or not user or host.startswith("/") or "," in host:
        return "the url given to cdc init"
    return f"postgresql://{user}:...@{host}:{settings.get('port', '5432')}/{settings['dbname']}"


def _notes(info: TableInfo) -> Iterator[str]:
    lacking = info.without_identity()
    if lacking:
        statements = " ".join(f"{replica_identity_full(table)};" for table in lacking)
        yield entry(f"!{entry_for(info.table)}", f"no primary key: to follow it, run {statements}")
    elif not info.identity_columns and info.replica_identity == "f" and not info.immediate_pk:
        which = "only a deferrable" if info.pk else "no"
        yield note(f"{info.table} has {which} primary key: mirrors find its rows by all their values.")
