"""Appending to the log against writing the same bytes plainly, with one sync each, in one run.

Usage: python benchmarks/log.py [folder]. The ratio is what the log keeps of the disk's own rate; the rates
of encoding and reading say what the log costs beside the disk.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from cdc.log import SegmentedLog
from cdc.log.arrow import encode_batch
from cdc.model import ChangeBatch, ChangeSet, Envelope, Operation, Position
from cdc.model.batch import constant_text, op_array
from cdc.testing.events import append, table

SETS = 40
ROWS = 80_000  # About 8 MiB with these ten columns, as the source cuts them.
TYPES = {
    **{f"n{i}": pa.int64() for i in range(4)},
    **{f"t{i}": pa.string() for i in range(3)},
    "price": pa.float64(),
    "at": pa.timestamp("us", "UTC"),
    "flag": pa.bool_(),
}


def main() -> None:
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        changes = ChangeSet((bench_batch(),), Position(1, "0/1"), ROWS, 1000)
        _throughput(folder, changes)
        _latency(folder)
    finally:
        shutil.rmtree(folder)


def _throughput(folder: Path, changes: ChangeSet) -> None:
    encoded = encode_batch(changes.batches[0], ROWS)
    stored = b"".join(encoded.body)
    megabytes = changes.byte_count / 1e6
    print(f"one set: {ROWS:,} rows, {megabytes:.1f} MB in memory, {len(stored) / 1e6:.1f} MB stored (lz4)")
    encode = _seconds(lambda: encode_batch(changes.batches[0], ROWS), 10)
    print(f"encode:          {ROWS / encode / 1e6:6.2f} M rows/s  {megabytes / encode:6.0f} MB/s")
    with_sync = _plain(folder / "plain", stored, SETS)
    print(f"plain write:     {ROWS / with_sync / 1e6:6.2f} M rows/s  (the stored bytes, one fdatasync a set)")
    log = SegmentedLog(folder / "log")
    seconds = _seconds(lambda: append(log, changes), SETS)
    print(f"append:          {ROWS / seconds / 1e6:6.2f} M rows/s  {megabytes / seconds:6.0f} MB/s in memory")
    print(f"ratio to plain write + fdatasync: {with_sync / seconds:.2f}")
    started = time.perf_counter()
    read = sum(batch.row_count for batch in log.read(0, SETS * ROWS))
    print(f"read:            {read / (time.perf_counter() - started) / 1e6:6.2f} M rows/s")
    log.close()
    started = time.perf_counter()
    SegmentedLog(folder / "log").close()
    print(f"open:            {time.perf_counter() - started:6.3f} s")


def _latency(folder: Path) -> None:
    small = ChangeSet((bench_batch(10),), Position(1, "0/1"), 10, 1)
    log = SegmentedLog(folder / "small")
    times = sorted(_seconds(lambda: append(log, small), 1) for _ in range(500))
    log.close()
    stored = log.byte_count / 500
    plain = _plain(folder / "plain", bytes(int(stored)), 500)
    p50, p99 = times[250] * 1e3, times[495] * 1e3
    print(f"append 10 rows:  p50 {p50:.2f} ms  p99 {p99:.2f} ms  {stored:.0f} bytes each")
    print(f"plain write of as many bytes + fdatasync: {plain * 1e3:.2f} ms")


def _plain(path: Path, data: bytes, times: int) -> float:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def write() -> None:
        os.write(descriptor, data)
        os.fdatasync(descriptor)

    try:
        return _seconds(write, times)
    finally:
        os.close(descriptor)
        path.unlink()


def _seconds(work: object, times: int) -> float:
    assert callable(work)
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def bench_batch(rows: int = ROWS, first: int = 0) -> ChangeBatch:
    """Rows of TYPES with the offsets from `first` on."""
    random = np.random.default_rng(1)
    schema = table("public.bench", TYPES)
    columns = [_column(random, t, rows) for t in TYPES.values()]
    envelope = [
        op_array(Operation.CREATE, rows),
        pa.array(np.arange(first, first + rows)),
        constant_text("4711", rows),
        constant_text("0/16B3748", rows),
        pa.array(np.full(rows, 1_700_000_000_000_000), Envelope.COMMIT_AT_TYPE),
    ]
    data = pa.RecordBatch.from_arrays([*columns, *envelope], names=[*TYPES, *Envelope.ALWAYS])
    return ChangeBatch(schema, data)


def _column(random: np.random.Generator, kind: pa.DataType, rows: int) -> pa.Array:
    if kind == pa.string():
        words = np.array([f"word {i:05}" for i in range(5000)])
        return pa.array(words[random.integers(0, len(words), rows)], kind)
    if kind == pa.bool_():
        return pa.array(random.integers(0, 2, rows).astype(bool))
    if kind == pa.float64():
        return pa.array(random.random(rows))
    return pa.array(random.integers(0, 1 << 40, rows)).cast(pa.int64()).cast(kind)


if __name__ == "__main__":
    main()
