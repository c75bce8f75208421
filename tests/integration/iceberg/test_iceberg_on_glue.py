"""A Glue catalog, and a bucket: those of moto."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from cdc.errors import SinkFenced
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.options import IcebergOptions
from tests.support.iceberg import read_table

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, version=1)
ACCOUNT = {"aws_access_key_id": "cdc", "aws_secret_access_key": "cdc-secret", "region_name": "us-east-1"}


@pytest.fixture
def options() -> Iterator[IcebergOptions]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=url, **ACCOUNT).create_bucket(Bucket="lake")
        properties = {
            "glue.endpoint": url, "glue.region": "us-east-1", "glue.access-key-id": "cdc",
            "glue.secret-access-key": "cdc-secret", "s3.endpoint": url, "s3.region": "us-east-1",
            "s3.access-key-id": "cdc", "s3.secret-access-key": "cdc-secret",
        }  # fmt: skip
        yield IcebergOptions.model_validate(
            {"catalog": "glue", "warehouse": "s3://lake/tables", "properties": properties}
        )
    finally:
        server.stop()


@pytest.mark.slow
def test_tables_in_glue_are_followed_and_fenced(options: IcebergOptions) -> None:
    first, second = (IcebergSink(options, sink_context(epoch=epoch)) for epoch in (1, 2))
    first.prepare("shop")
    added = changes(ORDERS, [("c", {"id": i, "note": "a"}) for i in range(3)])
    first.apply(delivery([added], first=0, next=3))
    changed = changes(ORDERS, [("u", {"id": 1, "note": "b"}), ("d", {"id": 2})], start=3)
    first.apply(delivery([changed], first=3, next=5))
    second.prepare("shop")
    with pytest.raises(SinkFenced):
        first.apply(delivery([changes(ORDERS, [("d", {"id": 0})], start=5)], first=5, next=6))
    found = read_table(options, ORDERS.table)
    assert found is not None
    assert found.select(["id", "note"]).to_pylist() == [{"id": 0, "note": "a"}, {"id": 1, "note": "b"}]
    assert second.check()[0].severity == "ok"
    first.close()
    second.close()
