"""Binary result sets as a server sends them, made by hand: one column, a few rows."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa

from cdc_source_mysql.schema.type_plan import ColumnPlan
from tests.support.mysql.fields import plan

END = b"\xfe\0\0\x02\0"
_STAMP = pa.timestamp("us", "UTC")
# Plan, type code in a result set, and the kind of bytes that a value has.
COLUMNS: list[tuple[ColumnPlan, int, str]] = [
    (plan("int8", pa.int8()), 1, "1"),
    (plan("int16", pa.uint16(), unsigned=True), 2, "2"),
    (plan("int24", pa.int32()), 9, "4"),
    (plan("int32", pa.int32()), 3, "4"),
    (plan("int64", pa.int64()), 8, "8"),
    (plan("float32", pa.float32()), 4, "4"),
    (plan("float64", pa.float64()), 5, "8"),
    (plan("year", pa.int16()), 13, "2"),
    (plan("decimal", pa.decimal128(12, 4), precision=12, scale=4), 246, "decimal"),
    (plan("decimal", pa.decimal256(65, 30), precision=65, scale=30), 246, "decimal"),
    (plan("decimal", pa.decimal128(9, 9), precision=9, scale=9), 246, "decimal"),
    (plan("bool", pa.bool_(), size=1), 16, "bytes"),
    (plan("bit", pa.uint64(), size=3), 16, "bytes"),
    (plan("date", pa.date32()), 10, "moment"),
    (plan("datetime", pa.timestamp("us"), fsp=6), 12, "moment"),
    (plan("datetime", pa.timestamp("us")), 12, "moment"),
    (plan("timestamp", _STAMP, fsp=3), 7, "moment"),
    (plan("timestamp_old", _STAMP), 7, "moment"),
    (plan("datetime_old", pa.timestamp("us")), 12, "moment"),
    (plan("time", pa.string(), fsp=5), 11, "clock"),
    (plan("time_old", pa.string()), 11, "clock"),
    (plan("enum", pa.string(), size=1, labels=("a", "b")), 8, "8"),
    (plan("set", pa.string(), size=2, labels=("a", "b", "c")), 3, "4"),
    (plan("string", pa.string(), charset="utf8", prefix_bytes=2), 253, "bytes"),
    (plan("bytes", pa.binary(), prefix_bytes=1), 252, "bytes"),
    (plan("binary", pa.binary(), prefix_bytes=1, size=4), 254, "bytes"),
]


def packets(payloads: Sequence[bytes]) -> bytes:
    framed = (
        len(body).to_bytes(3, "little") + bytes([number % 256]) + body
        for number, body in enumerate(payloads, start=1)
    )
    return b"".join(framed)


def definition(code: int) -> bytes:
    return b"\x03def" + b"\0" * 5 + b"\x0c" + struct.pack("<HIBHBH", 63, 0, code, 0, 0, 0)


def row(kind: str, value: bytes | None) -> bytes:
    if value is None:
        return b"\0\x04"
    return b"\0\0" + (value if kind.isdigit() else bytes([len(value)]) + value)


def result_set(code: int, rows: Sequence[bytes]) -> bytes:
    return packets([b"\x01", definition(code), END, *rows, END])
