"""Every Arrow type of docs/sinks/duckdb.md, with values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

# Arrow type, two values, DuckDB type, what DuckDB shows of the values as text.
TYPES: dict[str, tuple[pa.DataType, list[Any], str, list[str]]] = {
    "bool": (pa.bool_(), [True, False], "BOOLEAN", ["true", "false"]),
    "int8": (pa.int8(), [-128, 127], "TINYINT", ["-128", "127"]),
    "int16": (pa.int16(), [-(2**15), 5], "SMALLINT", ["-32768", "5"]),
    "int32": (pa.int32(), [-(2**31), 5], "INTEGER", ["-2147483648", "5"]),
    "int64": (pa.int64(), [-(2**63), 5], "BIGINT", ["-9223372036854775808", "5"]),
    "uint8": (pa.uint8(), [255, 0], "UTINYINT", ["255", "0"]),
    "uint16": (pa.uint16(), [65535, 0], "USMALLINT", ["65535", "0"]),
    "uint32": (pa.uint32(), [2**32 - 1, 0], "UINTEGER", ["4294967295", "0"]),
    "uint64": (pa.uint64(), [2**64 - 1, 0], "UBIGINT", ["18446744073709551615", "0"]),
    "float16": (pa.float16(), [1.5, -2.0], "FLOAT", ["1.5", "-2.0"]),
    "float32": (pa.float32(), [1.5, float("-inf")], "FLOAT", ["1.5", "-inf"]),
    "float64": (pa.float64(), [0.1, float("nan")], "DOUBLE", ["0.1", "nan"]),
    "decimal": (
        pa.decimal128(38, 2),
        [Decimal("9" * 36 + ".99"), Decimal("-0.01")],
        "DECIMAL(38,2)",
        ["9" * 36 + ".99", "-0.01"],
    ),
    "decimal256": (
        pa.decimal256(76, 30),
        [Decimal("1e-30"), Decimal(-5)],
        "VARCHAR",
        ["0." + "0" * 29 + "1", "-5." + "0" * 30],
    ),
    "narrow256": (pa.decimal256(5, 2), [Decimal("1.20"), Decimal(0)], "DECIMAL(5,2)", ["1.20", "0.00"]),
    "string": (pa.string(), ["é'\"\n", ""], "VARCHAR", ["é'\"\n", ""]),
    "large_string": (pa.large_string(), ["a", ""], "VARCHAR", ["a", ""]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b"], "VARCHAR", ["a", "b"]),
    "binary": (pa.binary(), [b"\x00\xffa", b""], "BLOB", ["\\x00\\xFFa", ""]),
    "fixed": (pa.binary(2), [b"\x00a", b"zz"], "BLOB", ["\\x00a", "zz"]),
    "date": (pa.date32(), [-719162, 3000000], "DATE", ["0001-01-01", "10183-09-21"]),
    "time": (pa.time64("us"), [86399999999, 0], "TIME", ["23:59:59.999999", "00:00:00"]),
    "time_ns": (pa.time64("ns"), [1, 0], "TIME_NS", ["00:00:00.000000001", "00:00:00"]),
    "timestamp": (
        pa.timestamp("us"),
        [-1, 2**60],
        "TIMESTAMP",
        ["1969-12-31 23:59:59.999999", "38504-08-17 21:30:06.846976"],
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [-1, 0],
        "TIMESTAMP WITH TIME ZONE",
        ["1969-12-31 23:59:59.999999+00", "1970-01-01 00:00:00+00"],
    ),
    "timestamp_ns": (
        pa.timestamp("ns"),
        [1, 0],
        "TIMESTAMP_NS",
        ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00"],
    ),
    "duration": (pa.duration("us"), [1, 3600 * 10**6], "INTERVAL", ["00:00:00.000001", "01:00:00"]),
    "uuid": (
        pa.uuid(),
        [b"a" * 16, b"\xff" * 16],
        "UUID",
        ["61616161-6161-6161-6161-616161616161", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
    "json": (
        pa.json_(),
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
        "JSON",
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
    ),
    "list": (
        pa.list_(pa.list_(pa.int32())),
        [[[1, None], [], None], []],
        "INTEGER[][]",
        ["[[1, NULL], [], NULL]", "[]"],
    ),
    "wide_list": (
        pa.list_(pa.decimal256(50, 1)),
        [[Decimal("1.5")], [None]],
        "VARCHAR[]",
        ["[1.5]", "[NULL]"],
    ),
    "struct": (
        pa.struct([("x y", pa.int8()), ("z", pa.string())]),
        [{"x y": 1, "z": "q"}, {"x y": None, "z": None}],
        'STRUCT("x y" TINYINT, z VARCHAR)',
        ["{'x y': 1, 'z': q}", "{'x y': NULL, 'z': NULL}"],
    ),
}
