"""Preflight: whether the file can be opened and written, without creating anything."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from cdc.errors import CdcError
from cdc.spi import Finding, Severity
from sinks.duckdb.database import translated
from sinks.duckdb.options import Options

DOCS = "docs/sinks/duckdb.md"


def findings(options: Options, daemon_pid: int) -> list[Finding]:
    """What `cdc check` shows of this sink; `daemon_pid` is the running daemon's process, or 0."""
    found = [_folder(options.path, "duckdb-folder")]
    if options.path.exists():
        found.append(_file(options.path, daemon_pid))
    if options.publish is not None:
        found.append(_folder(options.publish.path, "duckdb-publish"))
    return found


def _folder(path: Path, code: str) -> Finding:
    folder = path.parent
    if not folder.is_dir():
        return Finding(
            Severity.ERROR, code, f"the folder {folder} does not exist", f"mkdir -p {folder}", DOCS
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            Severity.ERROR, code, f"the folder {folder} can't be written", f"chown or chmod {folder}", DOCS
        )
    return Finding(Severity.OK, code, f"the folder {folder} can be written")


def _file(path: Path, daemon_pid: int) -> Finding:
    code = "duckdb-file"
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(
            Severity.ERROR, code, f"the file {path} can't be written", f"chown or chmod {path}", DOCS
        )
    try:
        with translated("opening the database", path):
            duckdb.connect(str(path), read_only=True).close()
    except CdcError as error:
        if daemon_pid and f"(PID {daemon_pid})" in str(error.__cause__):
            message = f"the file {path} is open in the running daemon (process {daemon_pid})"
            return Finding(Severity.OK, code, message)
        return Finding(Severity.ERROR, code, f"{path}: {error.message}", error.remedy, DOCS)
    return Finding(Severity.OK, code, f"the file {path} is a DuckDB database and free")
