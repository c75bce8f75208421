"""Rows a second from the bytes of a binlog connection to Arrow, compiled against pure Python, in one run.

Usage: python benchmarks/decode_binlog.py [rows]. Ten columns: three bigint, int, two datetime(6),
decimal(12,2), tinyint and two varchar; transactions of a hundred rows, of one row, and compressed ones of a
hundred rows, with checksums.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path
from types import ModuleType

# The frames are those of the tests, and a script's folder is all that Python puts on its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire import stream as wire_python
from cdc_source_mysql.wire import stream_native as wire_native
from tests.support.mysql import frames

TYPES = [
    *["bigint"] * 3,
    "int",
    *["datetime(6)"] * 2,
    "decimal(12,2)",
    "tinyint",
    *["varchar(40)"] * 2,
]
ROWS = 400_000
ROWS_PER_TRANSACTION = 100
# What the source uses: a set is cut at 4 MiB, and a read of the socket brings this much.
SET_BYTES = 4 << 20
READ_BYTES = 1 << 18
# The pure-Python twin reads a part only.
PYTHON_SHARE = 20


def values(i: int) -> list[bytes]:
    return [
        *(struct.pack("<q", i + n) for n in range(3)),
        struct.pack("<i", i % 1000),
        *((0x99B2_E4_0000 + i % 60).to_bytes(5, "big") + b"\0\0\x07" for _ in range(2)),
        (1 << 39 | i % 100_000).to_bytes(5, "big") + bytes([i % 100]),
        bytes([i % 3]),
        frames.text(f"customer {i}"),
        frames.text("a short note on the order of the day"),
    ]


def stream(rows: int, per_transaction: int, *, compressed: bool = False) -> bytes:
    parts = [frames.packets(frames.start(checksum=True))]
    table_map = frames.table_map(columns=len(TYPES), tail=bytes(200), checksum=not compressed)
    for start in range(0, rows, per_transaction):
        images = [values(start + i) for i in range(per_transaction)]
        inside = [
            frames.query("BEGIN", checksum=not compressed),
            table_map,
            frames.write(*images, checksum=not compressed),
            frames.xid(checksum=not compressed),
        ]
        gtid = frames.gtid(start + 1, commit_us=1_700_000_000_000_000, checksum=True)
        parts.append(
            frames.packets([gtid, *([frames.payload(inside, checksum=True)] if compressed else inside)])
        )
    return b"".join(parts)


def run(wire: ModuleType, data: bytes) -> int:
    decoder = wire.BinlogDecoder("error", lambda _name, _amount: None, "mysql")
    plan = frames.table_plan(frames.plans(*TYPES))
    rows = 0
    for at in range(0, len(data), READ_BYTES):
        decoder.feed(data[at : at + READ_BYTES])
        code = codes.FULL
        while code != codes.NEED:
            code, payload = decoder.next(SET_BYTES, SET_BYTES)
            if code == codes.TABLE:
                decoder.set_table(payload, plan)
            elif code == codes.FULL:
                rows += sum(batch.num_rows for _, batch in decoder.take())
    return rows + sum(batch.num_rows for _, batch in decoder.take())


def measure(name: str, rows: int, data: bytes, wire: ModuleType) -> None:
    start = time.perf_counter()
    assert run(wire, data) == rows
    seconds = time.perf_counter() - start
    rate = rows / seconds
    print(f"{name:42} {rate:12,.0f} rows/s {len(data) / seconds / 1e6:8.1f} MB/s")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    for name, per_transaction, compressed in (
        ("transactions of 100 rows", ROWS_PER_TRANSACTION, False),
        ("transactions of one row", 1, False),
        ("compressed transactions of 100 rows", ROWS_PER_TRANSACTION, True),
    ):
        count = rows if per_transaction > 1 else rows // 4
        measure(
            f"{name}, compiled", count, stream(count, per_transaction, compressed=compressed), wire_native
        )
        count //= PYTHON_SHARE
        measure(f"{name}, Python", count, stream(count, per_transaction, compressed=compressed), wire_python)


if __name__ == "__main__":
    main()
