"""Deliveries into a Parquet lake in a bucket against pyarrow's own writer on the same server, in one run.

Usage: python -m benchmarks.lake_s3. The server is SeaweedFS on this machine, so that processor time, not the
network, is what both wait for. The same Arrow batches, with the envelope's columns, go both ways, in turns;
pyarrow's writer has its own defaults with zstd 1, and then the settings of the sink.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from benchmarks.log import TYPES, bench_batch
from cdc.lake.columns import file_batch, file_schema
from cdc.lake.parquet import DEFAULT_ROW_GROUP_ROWS, encodings
from cdc.model import ChangeBatch
from cdc.testing.events import delivery, sink_context, table
from cdc.testing.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, SeaweedServer
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

BUCKET = "bench"
BATCH_ROWS = 40_000
DELIVERY_BATCHES = 25
ROWS = BATCH_ROWS * DELIVERY_BATCHES
ROUNDS = 5
SMALL_ROWS = 100
SMALL_FLUSHES = 50


class Taken(NamedTuple):
    """Seconds on the clock, and of this process's processor time."""

    elapsed: float
    processor: float


def main() -> None:
    server = SeaweedServer()
    try:
        server.start()
        server.client().create_bucket(Bucket=BUCKET)
        os.environ.update(server.environment)
        _throughput(server)
        _latency(server)
    finally:
        server.destroy()


def _throughput(server: SeaweedServer) -> None:
    sink = _sink(server, "large")
    seconds: dict[str, list[Taken]] = {name: [] for name in ("sink", "pyarrow", "pyarrow, tuned")}
    for number in range(ROUNDS):
        for name, taken in _round(server, sink, number).items():
            seconds[name].append(taken)
    sink.close()
    ours, ours_processor = _middle(seconds["sink"])
    print(f"{ROUNDS} deliveries of {ROWS:,} rows of {len(TYPES)} columns and the envelope, medians")
    for name, measured in seconds.items():
        elapsed, processor = _middle(measured)
        print(f"{name:<15} {ROWS / elapsed / 1e6:5.2f} M rows/s, processor {processor:.2f} s")
        print(f"  sink to this {elapsed / ours:.2f}, by processor time {processor / ours_processor:.2f}")


def _middle(measured: Sequence[Taken]) -> Taken:
    return Taken(*(statistics.median(values) for values in zip(*measured, strict=True)))


def _round(server: SeaweedServer, sink: ParquetSink, number: int) -> dict[str, Taken]:
    """What each way takes for the same rows."""
    first = number * ROWS
    batches = [bench_batch(BATCH_ROWS, first + i * BATCH_ROWS) for i in range(DELIVERY_BATCHES)]
    one = delivery([], first=first, next=first + ROWS, parts=lambda: ([batch] for batch in batches))
    return {
        "sink": _seconds(lambda: sink.apply(one)),
        "pyarrow": _seconds(lambda: _write(server, batches, f"plain-{number}", tuned=False)),
        "pyarrow, tuned": _seconds(lambda: _write(server, batches, f"tuned-{number}", tuned=True)),
    }


def _latency(server: SeaweedServer) -> None:
    sink = _sink(server, "small")
    times = []
    for number in range(SMALL_FLUSHES):
        batch = bench_batch(SMALL_ROWS, number * SMALL_ROWS)
        one = delivery([batch], first=number * SMALL_ROWS, next=(number + 1) * SMALL_ROWS)
        times.append(_seconds(functools.partial(sink.apply, one)).elapsed)
    sink.close()
    times.sort()
    p50, p95 = times[len(times) // 2] * 1e3, times[len(times) * 95 // 100] * 1e3
    print(f"a flush of {SMALL_ROWS} rows to one table: p50 {p50:.0f} ms, p95 {p95:.0f} ms")


def _sink(server: SeaweedServer, prefix: str) -> ParquetSink:
    options = ParquetOptions(
        url=f"s3://{BUCKET}/{prefix}", endpoint=server.endpoint, region=REGION, addressing="path"
    )
    sink = ParquetSink(options, sink_context())
    sink.prepare("shop")
    return sink


def _write(server: SeaweedServer, batches: Sequence[ChangeBatch], name: str, *, tuned: bool) -> None:
    """The same rows in one file, by pyarrow alone: its own S3 client uploads parts in the background."""
    reached = pyarrow.fs.S3FileSystem(
        endpoint_override=server.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION
    )
    schema = file_schema(table("public.bench", TYPES))
    rows = pa.Table.from_batches([file_batch(batch, schema) for batch in batches])
    settings = encodings(rows) if tuned else {}
    with (
        reached.open_output_stream(f"{BUCKET}/{name}.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, **settings) as writer,
    ):
        writer.write_table(rows, row_group_size=DEFAULT_ROW_GROUP_ROWS)


def _seconds(work: Callable[[], object]) -> Taken:
    started, used = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - started, time.process_time() - used)


if __name__ == "__main__":
    main()
