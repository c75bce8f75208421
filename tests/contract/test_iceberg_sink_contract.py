"""The sink contract on the Iceberg sink, in each of its modes: a SQLite catalog, and files on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.sink_contract import SinkContract
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.options import IcebergOptions
from tests.support.iceberg import read_table


class IcebergContract(SinkContract):
    options: ClassVar[dict[str, Any]] = {}

    def made_options(self, place: Path) -> IcebergOptions:
        return IcebergOptions(warehouse=str(place), **self.options)

    def make_sink(self, place: Path, epoch: int) -> Sink:
        return IcebergSink(self.made_options(place), sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, version=1)

    def rows(self, place: Path, schema: TableSchema) -> list[Row]:
        found = read_table(self.made_options(place), schema.table)
        return [] if found is None else found.to_pylist()

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        found = read_table(self.made_options(place), schema.table)
        return set() if found is None else set(found.column_names)


@pytest.mark.variant(0)
class TestIcebergSinkMirror(IcebergContract):
    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return own_rows(self.rows(place, schema), schema)


@pytest.mark.variant(1)
class TestIcebergSinkAppend(IcebergContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return own_rows(fold(self.rows(place, schema), schema.key), schema)


def own_rows(rows: list[Row], schema: TableSchema) -> list[Row]:
    return [{column.name: row.get(column.name) for column in schema.columns} for row in rows]
