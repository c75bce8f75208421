"""The sink contract on the Iceberg sink with a REST catalog and a bucket: those of SeaweedFS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from cdc.model import TableSchema
from cdc.testing.events import changes, delivery, sink_context, table
from cdc.testing.fold import Row, fold
from cdc.testing.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, SeaweedServer
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.catalog import open_catalog, quiet
from cdc_sink_iceberg.options import IcebergOptions
from tests.contract.test_iceberg_sink_contract import IcebergContract, own_rows
from tests.support.iceberg import read_table

pytestmark = pytest.mark.xdist_group("seaweed")
WAREHOUSE = "warehouse"
_NAMES = {
    "test_names_with_quotes_slashes_and_dots_are_kept": "this catalog takes names of lower case letters only"
}


@pytest.fixture(scope="module")
def warehouse(seaweed: SeaweedServer) -> IcebergOptions:
    seaweed.client("s3tables").create_table_bucket(name=WAREHOUSE)
    properties = {
        "rest.sigv4-enabled": "true", "rest.signing-name": "s3tables", "rest.signing-region": REGION,
        "s3.endpoint": seaweed.endpoint, "s3.region": REGION,
        "s3.access-key-id": ACCESS_KEY, "s3.secret-access-key": SECRET_KEY,
    }  # fmt: skip
    return IcebergOptions.model_validate(
        {
            "catalog": "rest",
            "uri": seaweed.catalog,
            "warehouse": f"s3://{WAREHOUSE}",
            "properties": properties,
        }
    )


class RestPlace:
    """A warehouse of the server, which is empty before each test."""

    options: ClassVar[dict[str, Any]] = {}
    warehouse: IcebergOptions

    @pytest.fixture
    def place(self) -> Path:
        return Path("none")

    @pytest.fixture(autouse=True)
    def _empty(
        self, seaweed: SeaweedServer, warehouse: IcebergOptions, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        for name, value in seaweed.environment.items():
            monkeypatch.setenv(name, value)
        self.warehouse = warehouse
        yield
        with quiet():
            catalog = open_catalog(warehouse)
            for namespace in catalog.list_namespaces():
                for table in catalog.list_tables(namespace):
                    catalog.drop_table(table)
            catalog.close()

    def made_options(self, place: Path) -> IcebergOptions:
        return self.warehouse.model_copy(update=self.options)


class RestContract(RestPlace, IcebergContract):
    waived: ClassVar[dict[str, str]] = _NAMES


class TestRestCatalog(RestPlace):
    """What this catalog does that others do not."""

    def test_table_whose_name_the_catalog_refuses_is_set_aside(self) -> None:
        sink = IcebergSink(self.warehouse, sink_context())
        sink.prepare("shop")
        odd, plain = (table(f"public.{name}", {"id": pa.int64()}, version=1) for name in ("o d d", "plain"))
        batches = [changes(schema, [("c", {"id": 1})], seqs=[i]) for i, schema in enumerate((odd, plain))]
        sink.apply(delivery(batches, first=0, next=2))
        (said,) = sink.set_aside("shop")
        assert (said.table, said.kind) == (odd.table, "UnsupportedSchema")
        found = read_table(self.warehouse, plain.table)
        assert found is not None
        assert found["id"].to_pylist() == [1]
        sink.close()


# 20 s of the processor: `make test` runs the suite on a SQLite catalog.
@pytest.mark.slow
class TestIcebergSinkMirrorOnRest(RestContract):
    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return own_rows(self.rows(place, schema), schema)


@pytest.mark.slow
class TestIcebergSinkAppendOnRest(RestContract):
    options: ClassVar[dict[str, Any]] = {"mode": "append"}

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        return own_rows(fold(self.rows(place, schema), schema.key), schema)
