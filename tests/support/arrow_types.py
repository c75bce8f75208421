"""Values of Arrow types, which the tests of each target expect in a type of its own."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

# Arrow type, two values, the target's type, what the target shows of the values as text.
Case = tuple[pa.DataType, list[Any], str, list[str]]

# Arrow type, two values, what most targets show of them.
VALUES: dict[str, tuple[pa.DataType, list[Any], list[str]]] = {
    "bool": (pa.bool_(), [True, False], ["true", "false"]),
    "int8": (pa.int8(), [-128, 127], ["-128", "127"]),
    "int16": (pa.int16(), [-(2**15), 5], ["-32768", "5"]),
    "int32": (pa.int32(), [-(2**31), 5], ["-2147483648", "5"]),
    "int64": (pa.int64(), [-(2**63), 5], ["-9223372036854775808", "5"]),
    "uint8": (pa.uint8(), [255, 0], ["255", "0"]),
    "uint16": (pa.uint16(), [65535, 0], ["65535", "0"]),
    "uint32": (pa.uint32(), [2**32 - 1, 0], ["4294967295", "0"]),
    "uint64": (pa.uint64(), [2**64 - 1, 0], ["18446744073709551615", "0"]),
    "float16": (pa.float16(), [1.5, -2.0], ["1.5", "-2"]),
    "float32": (pa.float32(), [1.5, float("-inf")], ["1.5", "-inf"]),
    "float64": (pa.float64(), [0.1, float("nan")], ["0.1", "nan"]),
    "decimal": (
        pa.decimal128(38, 2),
        [Decimal("9" * 36 + ".99"), Decimal("-0.01")],
        ["9" * 36 + ".99", "-0.01"],
    ),
    "short": (
        pa.decimal128(18, 5),
        [Decimal("-9999999999999.99999"), Decimal("10000.00010")],
        ["-9999999999999.99999", "10000.00010"],
    ),
    "decimal256": (
        pa.decimal256(76, 30),
        [Decimal("-" + "9" * 46 + "." + "9" * 30), Decimal("1e-30")],
        ["-" + "9" * 46 + "." + "9" * 30, "0." + "0" * 29 + "1"],
    ),
    "string": (pa.string(), ["é'\"\n", ""], ["é'\"\n", ""]),
    "large_string": (pa.large_string(), ["a", ""], ["a", ""]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b"], ["a", "b"]),
    "binary": (pa.binary(), [b"\x00\xffa", b""], ["00FF61", ""]),
    "fixed": (pa.binary(2), [b"\x00a", b"zz"], ["0061", "7A7A"]),
    "date": (pa.date32(), [-719162, 3000000], ["0001-01-01", "10183-09-21"]),
    "time": (pa.time64("us"), [86399999999, 0], ["23:59:59.999999", "00:00:00"]),
    "timestamp": (
        pa.timestamp("us"),
        [-1, 2**60],
        ["1969-12-31 23:59:59.999999", "38504-08-17 21:30:06.846976"],
    ),
    "timestamptz": (
        pa.timestamp("us", "UTC"),
        [-1, 0],
        ["1969-12-31 23:59:59.999999+00", "1970-01-01 00:00:00+00"],
    ),
    "seconds": (pa.timestamp("s"), [-1, 0], ["1969-12-31 23:59:59", "1970-01-01 00:00:00"]),
    "duration": (pa.duration("us"), [1, 3600 * 10**6], ["00:00:00.000001", "01:00:00"]),
    "uuid": (
        pa.uuid(),
        [b"a" * 16, b"\xff" * 16],
        ["61616161-6161-6161-6161-616161616161", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
    "json": (
        pa.json_(),
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
        ['{"b": 1,  "a":1e999}', '"\\ud800"'],
    ),
    "list": (pa.list_(pa.int32()), [[1, None, -3], []], ["[1,null,-3]", "[]"]),
    "nested": (
        pa.list_(pa.list_(pa.string())),
        [[["a", None], ['c,"d', ""]], []],
        ['[["a",null],["c,\\"d",""]]', "[]"],
    ),
    "decimals": (
        pa.list_(pa.decimal128(10, 2)),
        [[Decimal("1.50"), None], [Decimal(-2)]],
        ['["1.50",null]', '["-2.00"]'],
    ),
}


def expected(target: Mapping[str, str | tuple[str, list[str]] | Case]) -> dict[str, Case]:
    """What a target makes of types: its type, with the texts where it shows others, or all of a case."""
    return {name: _case(name, given) for name, given in target.items()}


def _case(name: str, given: str | tuple[str, list[str]] | Case) -> Case:
    if isinstance(given, str):
        arrow, values, texts = VALUES[name]
        return arrow, values, given, texts
    if len(given) == 2:
        arrow, values, _ = VALUES[name]
        return arrow, values, *given
    return given
