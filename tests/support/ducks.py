"""A DuckDB sink in a test's folder, fed with batches, and its file read from outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from cdc.model import ChangeBatch, TableSchema
from cdc.spi import SinkContext
from cdc.testing.events import Change, altered, changes, delivery
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.database import IDLE_WAL_BYTES
from cdc_sink_duckdb.options import Options

SOURCE = "shop"


class Duck:
    """A sink whose deliveries follow each other; `logged` and `counted` keep what it reported."""

    def __init__(
        self, folder: Path, *, epoch: int = 1, idle_wal_bytes: int = IDLE_WAL_BYTES, **options: Any
    ) -> None:
        self.path = folder / "warehouse.duckdb"
        self.options = Options(path=self.path, **options)
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.counted: dict[str, int] = {}
        self.sink = DuckDBSink(self.options, self.context(epoch), idle_wal_bytes)
        self.sink.prepare(SOURCE)
        self.next = 0

    def context(self, epoch: int) -> SinkContext:
        return SinkContext("warehouse", epoch, self._log, self._count)

    def apply(self, *batches: ChangeBatch, parts: Sequence[Sequence[ChangeBatch]] | None = None) -> None:
        """One delivery with these batches; their `_cdc_seq` must follow what was delivered before."""
        given = [list(batches)] if parts is None else [list(part) for part in parts]
        first = self.next
        lasts = (batch.last_seq for part in given for batch in part)
        end = max((last + 1 for last in lasts if last is not None), default=first)
        self.sink.apply(delivery([], first=first, next=end, parts=lambda: iter(given)))
        self.next = end

    def change(self, schema: TableSchema, *rows: Change, **envelope: Any) -> ChangeBatch:
        """Deliver these changes of one table as one batch."""
        batch = changes(schema, rows, start=self.next, **envelope)
        self.apply(batch)
        return batch

    def alter(self, *schemas: TableSchema) -> None:
        """Deliver the marks of new definitions, which no rows follow."""
        self.apply(*(altered(schema, self.next + i) for i, schema in enumerate(schemas)))

    def rewind(self, offset: int) -> None:
        self.sink.rewind(SOURCE, offset)
        self.next = offset

    def again(self, batch: ChangeBatch) -> None:
        """Deliver a batch from before once more, and only it."""
        self.rewind(batch.seq[0].as_py())
        self.apply(batch)

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

    def _log(self, event: str, **fields: Any) -> None:
        self.logged.append((event, fields))

    def _count(self, name: str, amount: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + amount


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
