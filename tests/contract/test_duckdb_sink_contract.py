"""The sink contract on the DuckDB sink, in each of its modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pytest

from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.sink_contract import SinkContract
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options


class DuckDBContract(SinkContract):
    options: ClassVar[dict[str, Any]] = {}
    # Left out: a timestamp with time zone as a Python value needs a package that DuckDB does not bring.
    zoned: ClassVar[str] = "_cdc_commit_at"

    def make_sink(self, place: Path, epoch: int) -> Sink:
        return DuckDBSink(Options(path=place, **self.options), sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, version=1)

    def rows(self, place: Path, schema: TableSchema, where: str = "true") -> list[Row]:
        name = ".".join(
            '"' + part.replace('"', '""') + '"' for part in (schema.table.schema, schema.table.name)
        )
        with duckdb.connect(str(place), read_only=True) as connection:
            try:
                found = connection.execute(f"select * exclude ({self.zoned}) from {name} where {where}")
            except duckdb.CatalogException:
                return []
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        with duckdb.connect(str(place), read_only=True) as connection:
            return set(connection.table(str(schema.table)).columns)


@pytest.mark.variant(0)
class TestDuckDBSinkMirror(DuckDBContract):
    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema), schema)


@pytest.mark.variant(1)
class TestDuckDBSinkSoftDeletes(DuckDBContract):
    options: ClassVar[dict[str, Any]] = {"deletes": "soft"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema, "not _cdc_deleted"), schema)


@pytest.mark.variant(2)
class TestDuckDBSinkAppend(DuckDBContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(fold(self.rows(place, schema), schema.key), schema)


@pytest.mark.variant(3)
class TestDuckDBSinkHistory(DuckDBContract):
    options: ClassVar[dict[str, Any]] = {"mode": "history"}
    zoned: ClassVar[str] = "valid_from, valid_to"

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(place, schema, "_cdc_end_seq is null"), schema)


def _own(rows: list[Row], schema: TableSchema) -> list[Row]:
    return [{column.name: row.get(column.name) for column in schema.columns} for row in rows]
