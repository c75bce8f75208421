"""The connection to the file: how it is opened, who may use it when, and what its errors mean.

One process holds the file. Within it two sinks (two sources into one file) share DuckDB's instance, and a
lock per file lets one of them write, checkpoint or copy at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cdc.errors import CdcError, SinkRefused, SinkUnavailable
from cdc.files import sink_error
from cdc.model import TableId
from cdc.sql import Connection
from cdc.sql.file_sink import create_whole
from cdc_sink_duckdb.dialect import DuckDBDialect
from cdc_sink_duckdb.options import Options

# DuckDB checkpoints inside a commit when the write-ahead log passes this: at its default of 16 MB every other
# commit of 100,000 rows took 0.3 to 1.2 s instead of 0.1 s. We do it when idle (`IDLE_WAL_BYTES`), so this is
# only the bound under a load that never pauses: some 1.7 million rows, 2 s. More would make the start after a
# crash slow: replaying 250 MB took 2 s here, 900 MB took 20 s.
CHECKPOINT_WAL_BYTES = 256 * 2**20
# A checkpoint of this much took 0.1 s here; after a crash replaying it takes as long.
IDLE_WAL_BYTES = 32 * 2**20
# Any commit is larger: DuckDB then makes a checkpoint instead of writing its log.
SMALLEST_WAL_BYTES = 1

_OUT_OF_MEMORY = ("failed to pin block", "failed to allocate", "Out of Memory", "could not allocate block")
# What DuckDB's errors mean: the first row of which its text has a sign, or that names its class.
_MEANINGS: tuple[tuple[tuple[Any, ...], type[CdcError], str, str], ...] = (
    (
        ("Could not set lock",),
        SinkUnavailable,
        "{operation} is not possible while another process holds the file",
        "Close it there. To read while the daemon runs, set `publish` and open the copy.",
    ),
    (
        _OUT_OF_MEMORY,
        SinkUnavailable,
        "{operation} needs more memory than DuckDB may use",
        "Raise `memory_limit` of this sink, or free disk space next to the database file.",
    ),
    (("No space left",), SinkUnavailable, "{operation} needs disk space", "Free space on that disk."),
    (
        ("not a valid DuckDB database", "Corrupt", "checksum"),
        SinkRefused,
        "the file is not a DuckDB database, or is damaged",
        "Restore it from a backup, or move it away: the daemon then builds a new one.",
    ),
    (
        ("version number",),
        SinkRefused,
        "the file was written by another version of DuckDB",
        "Upgrade the Python package duckdb to the version that wrote it.",
    ),
    (
        (duckdb.TransactionException, duckdb.FatalException, duckdb.InternalException),
        SinkUnavailable,
        "{operation} was cancelled by DuckDB ({error})",
        "Retried on a new connection.",
    ),
    (
        (duckdb.IOException,),
        SinkRefused,
        "{operation} is not possible: the file cannot be read or written",
        "Check that the folder exists and that the daemon's user can write to it.",
    ),
)


def settings(options: Options) -> dict[str, str]:
    """The same for every connection to a file: DuckDB refuses two instances of one file that differ."""
    return {
        "memory_limit": f"{options.memory_limit}B",
        "threads": str(options.threads),
        "temp_directory": f"{options.path}.spill",
        "checkpoint_threshold": f"{CHECKPOINT_WAL_BYTES}B",
        # A commit that makes a checkpoint need not write the log too, where wide values take memory twice.
        "auto_checkpoint_skip_wal_threshold": "0",
        # Rows of a mirror have no order of their own; keeping one costs memory in large inserts.
        "preserve_insertion_order": "false",
        # The daemon needs nothing beyond the core, and must not go to the network on its own.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }


class DuckDBConnection(Connection):
    """A connection to the file at `path`."""

    Error = duckdb.Error
    casts_deleted_rows = True

    def __init__(self, handle: Any, path: Path) -> None:
        self.handle = handle
        self._path = path
        self.dialect = DuckDBDialect(handle.execute("select current_database()").fetchall()[0][0])

    def run(self, statement: str, given: pa.Table | None = None) -> int:
        """Run a statement to its end: DuckDB streams results.

        The statement finds the Arrow table among the variables of this function. A registered view would keep
        the table in memory until the transaction ends, and with it all parts of a large delivery.
        """
        _cdc_given = given
        rows = self.handle.execute(statement).fetchall()
        return int(rows[0][0]) if rows and rows[0] and isinstance(rows[0][0], int) else 0

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return list(self.handle.execute(statement, list(values)).fetchall())

    def places(self) -> Collection[TableId]:
        found = self.query(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
            "union all "
            "select schema_name, view_name from duckdb_views() where database_name = current_database()"
        )
        return [TableId(*row) for row in found]

    def close(self) -> None:
        self.handle.close()

    def table_refusal(self, error: Exception) -> CdcError | None:
        kinds = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.IntegrityError)
        if not isinstance(error, kinds) or is_fatal(error):
            return None
        return translation(error, "applying its changes", self._path)

    def is_conversion(self, error: Exception) -> bool:
        return isinstance(error, duckdb.ConversionException)

    def indexes_of(self, place: TableId) -> Collection[str]:
        found = self.query(
            "select sql from duckdb_indexes() where database_name = current_database() "
            "and schema_name = ? and table_name = ? and sql is not null",
            [place.schema, place.name],
        )
        return [statement for (statement,) in found]

    def limit_memory(self, limit: int) -> None:
        """Set what DuckDB may use. Even with the present limit, DuckDB's allocator then gives the system what
        is free; left to itself it keeps as much as a wide value takes for some time.
        """
        self.run(f"set memory_limit = '{limit}B'")

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file; False when another transaction is in the way."""
        try:
            self.run("checkpoint")
        except duckdb.TransactionException:
            return False
        return wal_bytes(self._path) == 0

    def commit_by_checkpoint(self) -> None:
        """Commit by a checkpoint at once, instead of through the write-ahead log."""
        self.run(f"set checkpoint_threshold = '{SMALLEST_WAL_BYTES}B'")
        try:
            self.commit()
        finally:
            self.run(f"set checkpoint_threshold = '{CHECKPOINT_WAL_BYTES}B'")
        if wal_bytes(self._path):
            self.checkpoint()


def connect(options: Options) -> DuckDBConnection:
    """Open the file, creating it when missing.

    Raises:
        SinkUnavailable: another process has it, or there is no space.
        SinkRefused: it is not a DuckDB file, is damaged, or may not be opened.
    """
    with translated("opening the database", options.path):
        if not options.path.exists():
            create_whole(options.path, lambda new: duckdb.connect(str(new)).close())
        handle = duckdb.connect(str(options.path), config=settings(options))
        handle.execute("set TimeZone = 'UTC'").fetchall()
        return DuckDBConnection(handle, options.path)


def connect_to_read(path: Path) -> DuckDBConnection:
    """Open the file beside others that read it, and create nothing."""
    return DuckDBConnection(duckdb.connect(str(path), read_only=True), path)


def wal_bytes(path: Path) -> int:
    """The size of the write-ahead log beside the file."""
    try:
        return Path(f"{path}.wal").stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def translated(operation: str, path: Path) -> Iterator[None]:
    """DuckDB's and the system's errors as ours; `operation` is a gerund.

    Their texts may hold row values, so they are chained and never repeated.
    """
    try:
        yield
    except duckdb.Error as error:
        raise translation(error, operation, path) from error
    except OSError as error:
        raise sink_error(error, operation, path) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether DuckDB could not do something within its memory limit."""
    cause = error.__cause__ if isinstance(error, CdcError) else error
    return isinstance(cause, duckdb.Error) and any(text in str(cause) for text in _OUT_OF_MEMORY)


def is_fatal(error: BaseException) -> bool:
    """Return whether DuckDB has closed the database in its own mind: only a new connection helps."""
    cause = error.__cause__ if isinstance(error, CdcError) else error
    fatal = (duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException)
    return isinstance(cause, fatal) or "invalidated" in str(cause)


def translation(error: Any, operation: str, path: Path) -> CdcError:
    """Return DuckDB's error as ours; `operation` is a gerund."""
    text, name = str(error), type(error).__name__
    for signs, kind, message, remedy in _MEANINGS:
        if any(sign in text if isinstance(sign, str) else isinstance(error, sign) for sign in signs):
            return kind(message.format(operation=operation, error=name), where=str(path), remedy=remedy)
    remedy = "Undo manual changes to the file. If there are none, please report this error."
    return SinkRefused(f"{operation} was refused by DuckDB ({name})", where=str(path), remedy=remedy)
