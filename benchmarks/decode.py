"""Rows a second from pgoutput and COPY BINARY in memory to Arrow, compiled against pure Python, in one run.

Usage: python benchmarks/decode.py [rows]. Ten columns: three int8, int4, two timestamptz, numeric(12,2), bool
and two texts; transactions of a hundred rows.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

# The frames are those of the tests, and a script's folder is all that Python puts on its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cdc_source_postgres.schema.type_catalog import OID_OF
from tests.support.postgres import frames
from tests.support.postgres.decoders import PYTHON, Wire, compiled
from tests.support.postgres.frames import Connection

NUMERIC_12_2 = (12 << 16 | 2) + 4
TYPES: list[tuple[int, int, int] | int] = [
    *[OID_OF["int8"]] * 3,
    OID_OF["int4"],
    *[OID_OF["timestamptz"]] * 2,
    (OID_OF["numeric"], NUMERIC_12_2, 0),
    OID_OF["bool"],
    *[OID_OF["text"]] * 2,
]
ROWS = 200_000
ROWS_PER_TRANSACTION = 100
# What the source uses: a batch is cut at 8 MiB.
SOFT_BYTES, HARD_BYTES = 8 << 20, 16 << 20
TABLE = 1


def values(i: int) -> list[bytes]:
    return [
        *(struct.pack(">q", i + n) for n in range(3)),
        struct.pack(">i", i % 1000),
        *(struct.pack(">q", 800_000_000_000_000 + i * 1000 + n) for n in range(2)),
        frames.numeric(f"{i % 100_000}.{i % 100:02d}"),
        b"\1" if i % 3 else b"\0",
        f"customer {i}".encode(),
        b"a short note on the order of the day",
    ]


def stream(rows: int) -> list[bytes]:
    messages = []
    for start in range(0, rows, ROWS_PER_TRANSACTION):
        lsn = 1000 + start
        messages.append(frames.begin(commit_lsn=lsn))
        messages.extend(frames.insert(TABLE, values(start + i)) for i in range(ROWS_PER_TRANSACTION))
        messages.append(frames.commit(commit_lsn=lsn, end_lsn=lsn + 1))
    return [frames.xlog(message) for message in messages]


def run_stream(wire: Wire, source: list[bytes]) -> int:
    decoder = wire.PgoutputDecoder("error", lambda name, amount: None)
    decoder.set_relation(TABLE, "public", "orders", frames.plans(*TYPES), (0,), "d")
    connection = wire.Frames(Connection(source))
    rows = 0
    while True:
        code, _ = decoder.drain(connection, SOFT_BYTES, HARD_BYTES)
        rows += sum(batch.num_rows for _, batch in decoder.take())
        if code == 0:
            return rows


def run_copy(wire: Wire, source: list[bytes]) -> int:
    decoder = wire.CopyDecoder("public.orders", frames.plans(*TYPES), "error", lambda name, amount: None)
    connection = wire.Frames(Connection(source))
    rows = 0
    while True:
        code = decoder.drain(connection, SOFT_BYTES)
        batch = decoder.take()
        rows += batch.num_rows if batch is not None else 0
        if code == 0:
            return rows


def rate(run: Callable[[Wire, list[bytes]], int], wire: Wire, source: list[bytes]) -> float:
    """The best of three, in processor time, so that other programs matter little."""
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        rows = run(wire, source)
        best = max(best, rows / (time.process_time() - start))
    return best


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    copy = [frames.copy_row(values(i)) for i in range(rows)]
    copy[0] = frames.copy_header() + copy[0]
    copy.append(frames.COPY_TRAILER)
    for name, run, source in (("pgoutput", run_stream, stream(rows)), ("copy binary", run_copy, copy)):
        native = rate(run, compiled(), source)
        python = rate(run, PYTHON, source[: len(source) // 10])
        ratio = f"ratio {native / python:5.1f}"
        print(f"{name:12} c {native:12,.0f} rows/s   python {python:10,.0f} rows/s   {ratio}")


if __name__ == "__main__":
    main()
