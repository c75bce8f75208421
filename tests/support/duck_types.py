"""Every Arrow type of docs/sinks/duckdb.md, with values."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa

from tests.support.arrow_types import expected

# Arrow type, two values, DuckDB type, what DuckDB shows of the values as text.
TYPES = expected(
    {
        "bool": "BOOLEAN",
        "int8": "TINYINT",
        "int16": "SMALLINT",
        "int32": "INTEGER",
        "int64": "BIGINT",
        "uint8": "UTINYINT",
        "uint16": "USMALLINT",
        "uint32": "UINTEGER",
        "uint64": "UBIGINT",
        "float16": ("FLOAT", ["1.5", "-2.0"]),
        "float32": "FLOAT",
        "float64": "DOUBLE",
        "decimal": "DECIMAL(38,2)",
        "decimal256": (
            pa.decimal256(76, 30),
            [Decimal("1e-30"), Decimal(-5)],
            "VARCHAR",
            ["0." + "0" * 29 + "1", "-5." + "0" * 30],
        ),
        "narrow256": (pa.decimal256(5, 2), [Decimal("1.20"), Decimal(0)], "DECIMAL(5,2)", ["1.20", "0.00"]),
        "string": "VARCHAR",
        "large_string": "VARCHAR",
        "dictionary": "VARCHAR",
        "binary": ("BLOB", ["\\x00\\xFFa", ""]),
        "fixed": ("BLOB", ["\\x00a", "zz"]),
        "date": "DATE",
        "time": "TIME",
        "time_ns": (pa.time64("ns"), [1, 0], "TIME_NS", ["00:00:00.000000001", "00:00:00"]),
        "timestamp": "TIMESTAMP",
        "timestamptz": "TIMESTAMP WITH TIME ZONE",
        "timestamp_ns": (
            pa.timestamp("ns"),
            [1, 0],
            "TIMESTAMP_NS",
            ["1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00"],
        ),
        "duration": "INTERVAL",
        "uuid": "UUID",
        "json": "JSON",
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
)
