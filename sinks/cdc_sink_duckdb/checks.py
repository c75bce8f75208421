"""Preflight: whether the file can be opened and written, without creating anything."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from cdc.errors import CdcError
from cdc.spi import Finding, Severity, StateHolder
from cdc.sql.file_sink import check_access, check_folder
from cdc.sql.own_tables import all_set_aside
from cdc_sink_duckdb.database import connect_to_read, translated
from cdc_sink_duckdb.dialect import DuckDBDialect
from cdc_sink_duckdb.options import Options

DOCS = "docs/sinks/duckdb.md"


def findings(options: Options, daemon: StateHolder | None) -> list[Finding]:
    """Return the findings of `cdc check`; `daemon` is the one that runs and has this sink open."""
    found = [check_folder(options.path, "duckdb-folder", DOCS)]
    if options.path.exists():
        found += _file(options.path, daemon.local_pid if daemon else 0)
    if options.publish is not None:
        found.append(check_folder(options.publish.path, "duckdb-publish", DOCS))
    return found


def _file(path: Path, daemon_pid: int) -> list[Finding]:
    code = "duckdb-file"
    if (refused := check_access(path, code, DOCS)) is not None:
        return [refused]
    try:
        with (
            translated("opening the database", path),
            closing(connect_to_read(path)) as connection,
        ):
            schemas, aside = {place.schema for place in connection.places()}, all_set_aside(connection)
    except CdcError as error:
        if daemon_pid and f"(PID {daemon_pid})" in str(error.__cause__):
            message = f"the file {path} is open in the running daemon (process {daemon_pid})"
            return [Finding(Severity.OK, code, message)]
        return [Finding(Severity.ERROR, code, f"{path}: {error.message}", error.remedy, DOCS)]
    free = Finding(Severity.OK, code, f"the file {path} is a DuckDB database and not in use")
    return [free, *named_like(path, schemas), *(one.finding(DOCS) for one in aside)]


def named_like(path: Path, schemas: Iterable[str]) -> list[Finding]:
    """Warn if a schema is named like the database, whose name is the file's: SQL can't distinguish them."""
    folded = DuckDBDialect(path.stem).folded
    if folded(path.stem) not in map(folded, schemas):
        return []
    other = path.with_name(f"{path.stem}_mirror{path.suffix}")
    message = (
        f"the file {path} has the name of a schema in it, {path.stem!r}: DuckDB names the database after the "
        f"file, so a query on `{path.stem}.TABLE` is ambiguous"
    )
    fix = f"Set `path: {other}` for this sink."
    if path.exists():
        fix = f"mv {path} {other}   # with the daemon stopped; then set `path: {other}`"
    return [Finding(Severity.WARNING, "duckdb-file-name", message, fix, DOCS)]
