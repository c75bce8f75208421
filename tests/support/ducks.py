"""A DuckDB sink in a test's folder, fed with batches, and its file read from outside."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from cdc.model import TableSchema
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.database import IDLE_WAL_BYTES, connect
from cdc_sink_duckdb.options import Options
from tests.support.fed_sink import SOURCE, FedSink


class Duck(FedSink):
    """A sink into a file in a folder."""

    def __init__(
        self, folder: Path, *, epoch: int = 1, idle_wal_bytes: int = IDLE_WAL_BYTES, **options: Any
    ) -> None:
        super().__init__()
        self.path = folder / "warehouse.duckdb"
        self.options = Options(path=self.path, **options)
        if not self.path.exists():
            self.path.write_bytes(empty_file())
        self.sink = DuckDBSink(self.options, self.context(epoch), idle_wal_bytes)
        self.sink.prepare(SOURCE)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, through the sink's own connection: the file is locked for others."""
        return list(handle_of(self.sink).execute(sql).fetchall())

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """All rows, sorted. By way of Arrow: DuckDB makes Python values of timestamps only with the package
        pytz.
        """
        found = handle_of(self.sink).sql(f"select {columns} from {table}").to_arrow_table()
        return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)

    def columns(self, table: str) -> dict[str, str]:
        """Names and types, without the sink's own."""
        found = self.query(f"select column_name, column_type from (describe {table})")
        return {name: kind for name, kind in found if not name.startswith(("_cdc_", "valid_"))}


@functools.cache
def empty_file() -> bytes:
    """What the sink makes of a path without a file: to begin one takes as long as a dozen statements."""
    with tempfile.TemporaryDirectory(prefix="cdc-duck-") as folder:
        path = Path(folder) / "empty.duckdb"
        connect(Options(path=path)).close()
        return path.read_bytes()


def left_by_a_kill(duck: Duck) -> Path:
    """A copy of the file of an open sink, with its WAL: what a kill would leave."""
    copy = duck.path.parent / "killed" / duck.path.name
    copy.parent.mkdir()
    for path in duck.path.parent.glob(f"{duck.path.name}*"):
        if path.is_file():
            shutil.copy(path, copy.parent)
    assert copy.with_name(f"{copy.name}.wal").stat().st_size > 0, "nothing to replay"
    return copy


def handle_of(sink: DuckDBSink) -> Any:
    """DuckDB's own connection of an open sink."""
    assert sink._connection is not None
    return sink._connection.handle


def read_file(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query on a file that nobody holds."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return list(connection.execute(sql).fetchall())


def evolved(schema: TableSchema, *columns: Any, **changed: Any) -> TableSchema:
    """The next version of a schema with these columns."""
    made: Iterable[Any] = columns or schema.columns
    return replace(schema, columns=tuple(made), version=schema.version + 1, **changed)
