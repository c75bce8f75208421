"""Writes a known history into a Parquet lake until it ends or the process is killed; importable, so that a
fork server can run it.
"""

from __future__ import annotations

from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from cdc.model import ChangeBatch
from cdc.testing.events import EPOCH, changes, delivery, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

SOURCE = "shop"
ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, version=1)
EVENTS = table("public.events", {"id": pa.int64()}, version=1)
DELIVERY_CHANGES = 60


def batches(first: int, after: int) -> list[ChangeBatch]:
    """Offset i belongs to ORDERS when even, else to EVENTS, and to one of two days by its tens."""
    made = []
    for day in range(2):
        moment = EPOCH + timedelta(days=day)
        for schema, rest in ((ORDERS, 0), (EVENTS, 1)):
            seqs = [i for i in range(first, after) if i % 2 == rest and i // 10 % 2 == day]
            rows = [("c", {"id": i, "note": f"note {i}"}) for i in seqs]
            if rows:
                made.append(changes(schema, rows, seqs=seqs, commit_at=moment))
    return made


def write(lake: Path, epoch: int, total: int, started: Connection) -> None:
    """Deliver from the lake's cursor to `total`; tells `started` when the lake is open."""
    sink = ParquetSink(ParquetOptions(url=str(lake)), sink_context(epoch=epoch))
    started.send("ready")
    sink.prepare(SOURCE)
    cursor = sink.committed(SOURCE)
    first = cursor.next if cursor else 0
    while first < total:
        after = min(first + DELIVERY_CHANGES, total)
        sink.apply(delivery(batches(first, after), source=SOURCE, first=first, next=after))
        first = after
    sink.close()


def replay(lake: Path, epoch: int, total: int, started: Connection) -> None:
    """As `write`, but a lake that is whole is rewound to the middle of a file first."""
    sink = ParquetSink(ParquetOptions(url=str(lake)), sink_context(epoch=epoch))
    started.send("ready")
    sink.prepare(SOURCE)
    cursor = sink.committed(SOURCE)
    if cursor is not None and cursor.next == total:
        sink.rewind(SOURCE, total // 2 + 7)
    sink.close()
    write(lake, epoch, total, started)
