"""The contracts of stores and sinks on a bucket of SeaweedFS."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdc.lake.layout import table_folder
from cdc.lake.store import ObjectStore
from cdc.model import TableSchema
from cdc.spi import Sink
from cdc.testing.events import table
from cdc.testing.fold import Row, fold
from cdc.testing.sink_contract import SinkContract
from cdc.testing.store_contract import StoreContract
from tests.support.buckets import BucketLake


class TestS3StoreOnSeaweed(StoreContract):
    @pytest.fixture(autouse=True)
    def _lake(self, bucket_lake: BucketLake) -> None:
        self.lake = bucket_lake

    def make_store(self, place: Path) -> ObjectStore:
        return self.lake.store()


# The sink in a folder runs all tests, and so does the store here.
@pytest.mark.variant(0)
class TestParquetSinkOnS3(SinkContract):
    @pytest.fixture(autouse=True)
    def _lake(self, bucket_lake: BucketLake) -> None:
        self.lake = bucket_lake

    def make_sink(self, place: Path, epoch: int) -> Sink:
        return self.lake.sink(epoch)

    def refused_table(self) -> TableSchema:
        # Each of these characters takes three in a folder's name.
        return table("public." + "?" * 400, {"id": pa.int64()}, version=1)

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        rows = [row for file in self._files(schema) for row in file.read().to_pylist()]
        found = fold(rows, schema.key)
        return [{column.name: row.get(column.name) for column in schema.columns} for row in found]

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        return set(self._files(schema)[-1].schema_arrow.names)

    def _files(self, schema: TableSchema) -> list[pq.ParquetFile]:
        store = self.lake.store()
        keys = [key for key in store.keys(f"{table_folder(schema.table)}/") if key.endswith(".parquet")]
        return [pq.ParquetFile(store.read(key)) for key in keys]
