"""Writes a first configuration for a database (`cdc init`), and reads one from a URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from cdc.kit.selection import entry_for
from cdc.kit.starter import (
    Starter,
    entry,
    looking_once,
    note,
    option,
    source_name,
    table_lines,
    url_without_password,
    usable_url,
)
from cdc.model import shown
from cdc.spi import UrlEntry
from cdc_libpq.urls import URL_SHAPE
from cdc_source_postgres.checks.login import explain
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.options import PostgresOptions, parse_url
from cdc_source_postgres.schema.catalog import read_infos, read_relations, select_relations
from cdc_source_postgres.schema.ddl_setup import summary
from cdc_source_postgres.schema.tables import TableInfo
from cdc_source_postgres.statements import replica_identity_full

# A table that was never analysed has reltuples -1 (before Postgres 14: 0), and may have any number of rows.
# So may one that was empty when it was analysed.
_ROWS = """
    select c.oid::int8,
           case when pg_relation_size(c.oid) = 0 then 0
                when c.reltuples > 0 then c.reltuples::int8
            end
      from pg_class c where c.oid = any(%s::int8[]::oid[])
"""


def describe(url: str) -> str:
    """A starter config as YAML text, comments included; the url itself stays out of it, for it may hold a
    password.

    Raises:
        ConfigError: the url is not one.
        SourceUnavailable, SourceRefused: the database can't be read.
    """
    with usable_url(URL_SHAPE):
        settings = parse_url(url)
        options = PostgresOptions(url=SecretStr(url), tables=("*.*",))
    database = settings["dbname"]
    name = source_name(database)
    with looking_once(lambda error: explain(error, options)):
        version, infos, rows, ddl = _look(Connector(options, name), options)
    return Starter(
        name,
        "postgres",
        f"database {shown(database)} (Postgres {version})",
        _without_password(settings),
        [*table_lines(infos, lambda info: _rows_of(info, rows), _notes)]
        or [entry("public.*", "there is no table yet")],
        {info.table.schema for info in infos},
        [option("ddl", options.ddl, ddl)],
    ).text()


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    PostgresOptions(url=SecretStr(url))
    settings = parse_url(url)
    return UrlEntry(source_name(settings.get("dbname") or settings["service"]), {"url": url})


def _look(
    connector: Connector, options: PostgresOptions
) -> tuple[str, list[TableInfo], dict[int, int | None], str]:
    """The server's version, its tables, estimates of their rows by oid, and how DDL will be learned."""
    with connector.connect("to look at its tables") as conn, connector.translated("reading the tables"):
        version = (conn.info.parameter_status("server_version") or "?").split()[0]
        relations = read_relations(conn)
        infos = read_infos(conn, select_relations(relations, options.selection), relations)
        relids = [leaf.relid for info in infos for leaf in info.leaves]
        return version, infos, dict(conn.execute(_ROWS, (relids,)).fetchall()), summary(conn)


def _rows_of(info: TableInfo, rows: Mapping[int, int | None]) -> int | None:
    """The estimate for a table with all its partitions; None where the server has none for one of them."""
    counts = [rows.get(leaf.relid) for leaf in info.leaves]
    return None if None in counts else sum(count or 0 for count in counts)


def _without_password(settings: Mapping[str, str]) -> str:
    """The url without its password; one over a unix socket has too many forms to show."""
    host = settings.get("host", "")
    shown_host = "" if host.startswith("/") or "," in host else host
    user, port = settings.get("user", ""), settings.get("port", "5432")
    return url_without_password("postgresql", user, shown_host, port, settings["dbname"])


def _notes(info: TableInfo) -> Iterator[str]:
    lacking = info.without_identity()
    if lacking:
        statements = " ".join(f"{replica_identity_full(table)};" for table in lacking)
        yield entry(f"!{entry_for(info.table)}", f"no primary key: to follow it, run {statements}")
    elif not info.identity_columns and info.replica_identity == "f" and not info.immediate_pk:
        which = "only a deferrable" if info.pk else "no"
        yield note(f"{info.table} has {which} primary key: mirrors identify its rows by all their values.")
