"""The sink contract on the SQLite sink of the tests, in each of its modes: `cdc.sql` knows no target."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.model import Column, TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.sink_contract import SinkContract
from tests.support.sqlite_sink import SQLiteDialect, SQLiteOptions, SQLiteSink


class SQLiteContract(SinkContract):
    options: ClassVar[dict[str, Any]] = {}

    def make_sink(self, place: Path, epoch: int) -> Sink:
        return SQLiteSink(SQLiteOptions(path=place, **self.options), sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, version=1)

    def rows(self, place: Path, schema: TableSchema, where: str = "true") -> list[Row]:
        dialect = SQLiteDialect()
        name = dialect.qualified(dialect.place(schema.table))
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            known = {row["name"] for row in connection.execute("select name from sqlite_master")}
            if dialect.place(schema.table).name not in known:
                return []
            return [dict(row) for row in connection.execute(f"select * from {name} where {where}")]


@pytest.mark.variant(0)
class TestSQLiteSinkMirror(SQLiteContract):
    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return [_typed(row, schema) for row in self.rows(place, schema)]


@pytest.mark.variant(1)
class TestSQLiteSinkSoftDeletes(SQLiteContract):
    options: ClassVar[dict[str, Any]] = {"deletes": "soft"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return [_typed(row, schema) for row in self.rows(place, schema, "not _cdc_deleted")]


@pytest.mark.variant(2)
class TestSQLiteSinkAppend(SQLiteContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        changes = [_change(row, schema) for row in self.rows(place, schema)]
        return [_typed(row, schema) for row in fold(changes, schema.key)]


@pytest.mark.variant(3)
class TestSQLiteSinkHistory(SQLiteContract):
    options: ClassVar[dict[str, Any]] = {"mode": "history"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return [_typed(row, schema) for row in self.rows(place, schema, "_cdc_end_seq is null")]


def _change(row: Row, schema: TableSchema) -> Row:
    """A change with its envelope as sources make it."""
    before = json.loads(row["_cdc_before"]) if row["_cdc_before"] else None
    unchanged = json.loads(row["_cdc_unchanged"]) if row["_cdc_unchanged"] else None
    return row | {"_cdc_before": before, "_cdc_unchanged": unchanged}


def _typed(row: Row, schema: TableSchema) -> Row:
    return {column.name: _value(row.get(column.name), column) for column in schema.columns}


def _value(value: Any, column: Column) -> Any:
    if value is not None and pa.types.is_decimal(column.type):
        return Decimal(value)
    return bool(value) if pa.types.is_boolean(column.type) else value
