"""The sink contract on the ClickHouse sink, in each of its modes."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.servers.clickhouse import ClickHouseServer
from cdc.testing.sink_contract import SinkContract
from cdc_sink_clickhouse import ClickHouseSink
from cdc_sink_clickhouse.options import ClickHouseSinkOptions
from tests.support.clickhouse import qualified

_NOT_ATOMIC = "without transactions, rows behind the cursor are visible until the delivery is applied again"


class ClickHouseContract(SinkContract):
    options: ClassVar[dict[str, Any]] = {}
    server: ClickHouseServer

    @pytest.fixture
    def place(self, clickhouse: ClickHouseServer) -> Path:
        """Every test has the server for itself; the name of the place is that of nothing else."""
        self.server = clickhouse
        return Path("clickhouse-of-one-test")

    def make_sink(self, place: Path, epoch: int) -> Sink:
        options = ClickHouseSinkOptions(url=self.server.url(), **self.options)
        return ClickHouseSink(options, sink_context(epoch=epoch))

    def refused_table(self) -> TableSchema:
        return table("public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, version=1)

    def rows(self, schema: TableSchema, where: str = "1", *, final: bool = True) -> list[Row]:
        literal = {"database": schema.table.schema, "name": schema.table.name}
        found = self.server.query("select database, name from system.tables")
        if literal not in found:
            return []
        columns = self.server.query(
            f"select * from {qualified(schema.table)}{' final' * final} where {where}",
            output_format_json_quote_decimals="1",
            output_format_json_quote_64bit_integers="0",
        )
        return [self.typed(row, schema) for row in columns]

    def typed(self, row: Row, schema: TableSchema) -> Row:
        kinds = {column.name: column.type for column in schema.columns}
        return {
            name: Decimal(value).quantize(Decimal(1).scaleb(-kinds[name].scale))
            if value is not None and name in kinds and pa.types.is_decimal(kinds[name])
            else value
            for name, value in row.items()
        }

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        at = {"database": schema.table.schema, "table": schema.table.name}
        found = self.server.query("select database, table, name from system.columns")
        return {row["name"] for row in found if row.items() >= at.items()}


@pytest.mark.variant(0)
class TestClickHouseSinkMirror(ClickHouseContract):
    waived: ClassVar[dict[str, str]] = {
        "test_a_first_delivery_that_breaks_off_leaves_an_empty_sink": _NOT_ATOMIC,
    }

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(schema, "not _cdc_deleted"), schema)


@pytest.mark.variant(1)
class TestClickHouseSinkSoftDeletes(ClickHouseContract):
    options: ClassVar[dict[str, Any]] = {"deletes": "soft"}
    waived = TestClickHouseSinkMirror.waived

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(schema, "not _cdc_deleted"), schema)


@pytest.mark.variant(2)
class TestClickHouseSinkAppend(ClickHouseContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}
    waived = TestClickHouseSinkMirror.waived

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        changes = [self.change(row, schema) for row in self.rows(schema, final=False)]
        return _own(fold(changes, schema.key), schema)

    def change(self, row: Row, schema: TableSchema) -> Row:
        before = row["_cdc_before"]
        return row if before is None else row | {"_cdc_before": self.typed(json.loads(before), schema)}


@pytest.mark.variant(3)
class TestClickHouseSinkHistory(ClickHouseContract):
    options: ClassVar[dict[str, Any]] = {"mode": "history"}
    waived = TestClickHouseSinkMirror.waived

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return _own(self.rows(schema, "_cdc_version = 0"), schema)


def _own(rows: list[Row], schema: TableSchema) -> list[Row]:
    return [{column.name: row.get(column.name) for column in schema.columns} for row in rows]
