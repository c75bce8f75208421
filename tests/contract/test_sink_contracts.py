"""The sink contract on every sink of the registry, on the one in memory, and on the smallest file sink."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from cdc.lake.layout import table_folder
from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.memory import MemorySink, MemorySinkOptions, load_store
from cdc.testing.sink_contract import SinkContract
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions
from tests.support.json_lines_sink import JsonLinesOptions, JsonLinesSink


class TestMemorySink(SinkContract):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return MemorySink(MemorySinkOptions(path=place), sink_context(epoch=epoch))

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _complete(load_store(place).state(schema.table), schema)


class TestParquetSink(SinkContract):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return ParquetSink(ParquetOptions(url=str(place)), sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        # Each of these characters takes three in a folder's name.
        return table("public." + "?" * 100, {"id": pa.int64()}, version=1)

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        files = sorted((place / table_folder(schema.table)).rglob("*.parquet"))
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        return _complete(fold(rows, schema.key), schema)

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        files = sorted((place / table_folder(schema.table)).rglob("*.parquet"), key=lambda path: path.name)
        return set(pq.read_schema(files[-1]).names)


class TestJsonLinesSink(SinkContract):
    def make_sink(self, place: Path, epoch: int) -> Sink:
        return JsonLinesSink(JsonLinesOptions(path=place), sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public." + "?" * 100, {"id": pa.int64()}, version=1)

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        files = sorted((place / table_folder(schema.table)).rglob("*.jsonl"))
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        rows = _complete(fold([orjson.loads(line) for line in lines], schema.key), schema)
        decimals = [column.name for column in schema.columns if pa.types.is_decimal(column.type)]
        return [{k: Decimal(v) if k in decimals and v else v for k, v in row.items()} for row in rows]


def _complete(rows: list[Row], schema: TableSchema) -> list[Row]:
    """Rows from before a column was added have no value for it."""
    return [{column.name: row.get(column.name) for column in schema.columns} for row in rows]
