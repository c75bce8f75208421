"""Writes a first config from what is in a database: `cdc init`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import SecretStr

from cdc.errors import ConfigError, SourceUnavailable
from cdc.spi.selection import entry_for, quoted_part
from connectors.postgres.catalog import read_infos, read_relations, select_relations
from connectors.postgres.checks.login import explain
from connectors.postgres.connection import Connector
from connectors.postgres.options import PostgresOptions, parse_url
from connectors.postgres.statements import replica_identity_full
from connectors.postgres.tables import TableInfo

# The comments stand in one column where the entries are shorter than this.
COMMENT_COLUMN = 34


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
        message = "the url is not usable: expected postgresql://user:password@host:port/database"
        raise ConfigError(
            message, where="cdc init", remedy="Nothing else may be set in it but libpq's settings."
        ) from error
    database = settings["dbname"]
    name = re.sub(r"[^a-z0-9_]+", "_", database.lower()).strip("_") or "source"
    try:
        version, infos = _look(Connector(options, name), options)
    except SourceUnavailable as error:
        # The daemon would try again; this looks once.
        remedy = explain(error, options).fix
        raise SourceUnavailable(error.message, where=error.where, remedy=remedy) from error
    shown = _without_password(settings)
    return "\n".join(_lines(name, f"{database} (Postgres {version})", shown, infos)) + "\n"


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


def _lines(name: str, what: str, shown_url: str, infos: Sequence[TableInfo]) -> Iterator[str]:
    variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()) + "_URL"
    yield f"# Written by cdc init from the database {what}."
    yield f"# Before the first run: export {variable}='{shown_url}'"
    yield "# Then: cdc check && cdc run"
    yield "state_dir: ./cdc-data"
    yield "sources:"
    yield f"  {name}:"
    yield "    type: postgres"
    yield f"    url: ${{{variable}}}"
    yield "    tables:"
    yield from _entries(infos)
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


def _entries(infos: Sequence[TableInfo]) -> Iterator[str]:
    schemas: dict[str, list[TableInfo]] = {}
    for info in infos:
        schemas.setdefault(info.table.schema, []).append(info)
    if not schemas:
        yield _entry("public.*", "there is no table yet")
    for schema, tables in schemas.items():
        rows = sum(info.estimated_rows for info in tables)
        count = "1 table" if len(tables) == 1 else f"{len(tables)} tables"
        yield _entry(f"{quoted_part(schema)}.*", f"{count}, about {rows:,} rows")
        for info in tables:
            yield from _notes(info)


def _notes(info: TableInfo) -> Iterator[str]:
    lacking = info.without_identity()
    if lacking:
        statements = " ".join(f"{replica_identity_full(table)};" for table in lacking)
        yield _entry(f"!{entry_for(info.table)}", f"no primary key: to follow it, run {statements}")
    elif not info.identity_columns and info.replica_identity == "f" and not info.immediate_pk:
        which = "only a deferrable" if info.pk else "no"
        yield f"      # {info.table} has {which} primary key: mirrors find its rows by all their values."


def _entry(pattern: str, comment: str) -> str:
    text = f"      - {json.dumps(pattern, ensure_ascii=False)}"
    comment = " ".join(comment.split())
    return f"{text:<{COMMENT_COLUMN}}# {comment}" if len(text) < COMMENT_COLUMN else f"{text}  # {comment}"
