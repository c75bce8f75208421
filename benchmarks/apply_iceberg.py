"""Apply rates of the Iceberg sink beside PyIceberg's own append of the same Arrow data, in one run: inserts
into a changelog and a mirror, updates of a large mirror, and the same updates by PyIceberg's copy-on-write.

    python -m benchmarks.apply_iceberg [ROWS] [BATCH]
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

from cdc.model import ChangeBatch, Envelope, Operation, TableSchema
from cdc.model.batch import OPERATION_DICTIONARY
from cdc.testing.events import EPOCH, delivery, sink_context, table
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.catalog import quiet
from cdc_sink_iceberg.options import IcebergOptions

ROWS, BATCH = 2_000_000, 100_000
PART_ROWS = 50_000
COLUMNS = {
    "id": pa.int64(), "customer": pa.int64(), "amount": pa.decimal128(12, 2), "status": pa.string(),
    "note": pa.string(), "created": pa.timestamp("us", "UTC"), "score": pa.float64(), "paid": pa.bool_(),
}  # fmt: skip
SCHEMA = table("shop.orders", COLUMNS, version=1)
CHANGES = table("shop.changes", COLUMNS, version=1)


def rows(ids: Any, seed: int) -> list[pa.Array]:
    chance = np.random.default_rng(seed)
    count = len(ids)
    return [
        pa.array(ids),
        pa.array(chance.integers(0, 100_000, count)),
        pa.array(chance.integers(0, 10**7, count)).cast(pa.decimal128(19, 0)).cast(COLUMNS["amount"]),
        pa.array(np.array(["new", "paid", "sent", "returned"])[chance.integers(0, 4, count)]),
        pa.array([f"note {number:012d}" for number in chance.integers(0, 10**9, count)]),
        pa.array(chance.integers(1_700_000_000_000_000, 1_760_000_000_000_000, count)).cast(
            COLUMNS["created"]
        ),
        pa.array(chance.random(count)),
        pa.array(chance.random(count) < 0.5),
    ]


def batches(schema: TableSchema, columns: Sequence[pa.Array], op: Operation, start: int) -> list[ChangeBatch]:
    count = len(columns[0])
    zeros = pa.array(np.zeros(count, np.int32))
    envelope = [
        pa.DictionaryArray.from_arrays(pa.array(np.full(count, op.code, np.int8)), OPERATION_DICTIONARY),
        pa.array(np.arange(start, start + count)),
        pa.DictionaryArray.from_arrays(zeros, pa.array(["1"])),
        pa.DictionaryArray.from_arrays(zeros, pa.array(["0/1"])),
        pa.repeat(pa.scalar(EPOCH, Envelope.COMMIT_AT_TYPE), count),
    ]
    whole = pa.RecordBatch.from_arrays([*columns, *envelope], names=[*COLUMNS, *Envelope.ALWAYS])
    return [ChangeBatch(schema, whole.slice(i, PART_ROWS)) for i in range(0, count, PART_ROWS)]


class Fed:
    """One sink, and the offset that it has reached."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.options = IcebergOptions.model_validate({"warehouse": str(folder / mode), "mode": mode})
        self.sink = IcebergSink(self.options, sink_context())
        self.sink.prepare("shop")
        self.next = 0

    def apply(self, schema: TableSchema, columns: Sequence[pa.Array], op: Operation) -> None:
        made = batches(schema, columns, op, self.next)
        first, self.next = self.next, self.next + len(columns[0])
        parts: Callable[[], Iterator[list[ChangeBatch]]] = lambda: iter([batch] for batch in made)  # noqa: E731
        self.sink.apply(delivery([], first=first, next=self.next, parts=parts))


def timed(title: str, count: int, run: Callable[..., object], given: Sequence[tuple[Any, ...]]) -> float:
    seconds = []
    for arguments in given:
        began = time.perf_counter()
        run(*arguments)
        seconds.append(time.perf_counter() - began)
    typical = statistics.median(seconds)
    print(f"{title:52} {1000 * typical:9,.0f} ms {count / typical:12,.0f} rows/s")
    return typical


def main(total: int, batch: int) -> None:
    chance = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="cdc-iceberg-") as made, quiet():
        folder = Path(made)
        catalog = SqlCatalog("peer", uri=f"sqlite:///{folder}/peer.db", warehouse=f"file://{folder}/peer")
        catalog.create_namespace("shop")
        data = [rows(np.arange(i, i + batch), i) for i in range(0, total, batch)]
        tables = [pa.table(columns, names=list(COLUMNS)) for columns in data]
        peer = catalog.create_table("shop.orders", schema=tables[0].schema)
        append, mirror = Fed(folder, "append"), Fed(folder, "mirror")
        theirs = timed(f"PyIceberg appends {batch:,}", batch, peer.append, [(one,) for one in tables])
        given = [(CHANGES, columns, Operation.CREATE) for columns in data]
        ours = timed(f"append: {batch:,} inserts", batch, append.apply, given)
        given = [(SCHEMA, columns, Operation.CREATE) for columns in data]
        inserts = timed(f"mirror: {batch:,} inserts of growing keys", batch, mirror.apply, given)
        print(f"{'':52} append {theirs / ours:.2f}, mirror {theirs / inserts:.2f} of PyIceberg's append")
        for size in (batch, batch // 100):
            some = [np.sort(chance.choice(total, size, replace=False)) for _ in range(3)]
            given = [(SCHEMA, rows(ids, 7 + i), Operation.UPDATE) for i, ids in enumerate(some)]
            timed(f"mirror: {size:,} updates into {total:,}", size, mirror.apply, given)
        changed = pa.table(rows(some[0], 11), names=list(COLUMNS))
        title = f"PyIceberg upserts {size:,} into {total:,} (copy-on-write)"
        timed(title, size, lambda one: peer.upsert(one, join_cols=["id"]), [(changed,)])
        print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MiB")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [ROWS, BATCH][len(given) :]))
