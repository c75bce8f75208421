"""Delivers to a lake in a bucket until it ends, is stopped or killed; importable, so that a fork server can
run it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from cdc.errors import CdcError
from cdc.spi import Delivery
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

SOURCE = "shop"
EVENTS = table("public.events", {"id": pa.int64(), "noise": pa.binary()}, version=1)
DELIVERY_CHANGES = 10
# Together more than the rows that wait to be encoded, so that parts are sent.
LARGE_BYTES = 12 * 1024 * 1024
LARGE_ROWS = 4


def some(first: int, after: int) -> Delivery:
    """One row an offset."""
    rows = [("c", {"id": i, "noise": None}) for i in range(first, after)]
    return delivery([changes(EVENTS, rows, start=first)], first=first, next=after)


def write(
    options: Mapping[str, Any], environment: Mapping[str, str], epoch: int, total: int, told: Connection
) -> None:
    """Deliver from the lake's cursor to `total`; tells each offset that is reached, and how it ended."""
    sink = _opened(options, environment, epoch)
    try:
        cursor = sink.committed(SOURCE)
        first = cursor.next if cursor else 0
        while first < total:
            after = min(first + DELIVERY_CHANGES, total)
            sink.apply(some(first, after))
            told.send(after)
            first = after
        sink.close()
        told.send("done")
    except CdcError as error:
        told.send(type(error).__name__)


def write_large(
    options: Mapping[str, Any], environment: Mapping[str, str], epoch: int, told: Connection
) -> None:
    """Begin a delivery whose upload has sent parts, and never end it."""
    sink = _opened(options, environment, epoch)

    def parts() -> Any:
        for i in range(LARGE_ROWS):
            yield [changes(EVENTS, [("c", {"id": i, "noise": os.urandom(LARGE_BYTES)})], start=i)]
        told.send("written")
        told.recv()

    sink.apply(delivery([], first=0, next=LARGE_ROWS + 1, parts=parts))


def _opened(options: Mapping[str, Any], environment: Mapping[str, str], epoch: int) -> ParquetSink:
    os.environ.update(environment)
    sink = ParquetSink(ParquetOptions(**options), sink_context(epoch=epoch))
    sink.prepare(SOURCE)
    return sink
