from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import DecodeError, UnrepresentableValue
from cdc_source_postgres.schema.type_catalog import BASE, OID_OF
from tests.support.plain_arrow import plain
from tests.support.postgres import frames
from tests.support.postgres.decoders import Wire

ARRAY_OF = {name: array_oid for name, _, array_oid in BASE}
INT64 = struct.Struct(">q")
INT32 = struct.Struct(">i")
MONEY, NUMERIC = OID_OF["money"], OID_OF["numeric"]
INFINITE, MINUS_INFINITE = INT64.pack(2**63 - 1), INT64.pack(-(2**63))


def numeric_type(precision: int, scale: int) -> tuple[int, int, int]:
    return NUMERIC, (precision << 16 | scale & 0x7FF) + 4, 0


def special(sign: int) -> bytes:
    return struct.pack(">HhHH", 0, 0, sign, 0)


def column(
    wire: Wire, type_: tuple[int, int, int] | int, cells: list[bytes | None], policy: str = "error"
) -> pa.Array:
    counted: list[tuple[str, int]] = []
    decoder = wire.CopyDecoder(
        "s.t", frames.plans(type_, policy=policy), policy, lambda n, a: counted.append((n, a))
    )
    decoder.feed(frames.copy_header() + b"".join(frames.copy_row([cell]) for cell in cells))
    batch = decoder.take()
    batch.validate(full=True)
    if policy == "null":
        assert counted == [("unrepresentable_values", sum(1 for v in plain(batch.column(0)) if v is None))]
    return batch.column(0)


@pytest.mark.parametrize(
    ("name", "cell", "arrow", "value"),
    [
        ("date", INT32.pack(0), pa.date32(), 10_957),
        ("date", INT32.pack(-730_119), pa.date32(), -719_162),
        ("timestamp", INT64.pack(1), pa.timestamp("us"), 946_684_800_000_001),
        ("timestamptz", INT64.pack(-1), pa.timestamp("us", "UTC"), 946_684_799_999_999),
        ("timestamp", INT64.pack(2**63 - 1 - 946_684_800_000_000), pa.timestamp("us"), 2**63 - 1),
        ("time", INT64.pack(86_399_999_999), pa.time64("us"), 86_399_999_999),
        ("money", INT64.pack(-1), pa.decimal128(19, 2), Decimal("-0.01")),
        ("xid8", INT64.pack(-1), pa.uint64(), 2**64 - 1),
        ("oid", b"\xff\xff\xff\xff", pa.uint32(), 2**32 - 1),
        ("regclass", INT32.pack(1259), pa.uint32(), 1259),
        ("char", b"\0", pa.string(), ""),
        ("char", b"\xe9", pa.string(), "\\351"),
        ("jsonb", b'\1{"a": 1}', pa.json_(), '{"a": 1}'),
        ("json", b'{"a":  1}', pa.json_(), '{"a":  1}'),
        ("uuid", bytes(range(16)), pa.uuid(), bytes(range(16))),
        ("numeric", frames.numeric("-0012.3400"), pa.string(), "-12.3400"),
        ("numeric", special(0xC000), pa.string(), "NaN"),
        ("numeric", special(0xD000), pa.string(), "Infinity"),
        ("numeric", struct.pack(">HhHHH", 1, 3, 0, 0, 5), pa.string(), "5000000000000"),
        ("numeric", struct.pack(">HhHHH", 1, -3, 0, 12, 5), pa.string(), "0.000000000005"),
    ],
)
def test_value_becomes_its_arrow_counterpart(
    wire: Wire, name: str, cell: bytes, arrow: Any, value: Any
) -> None:
    array = column(wire, OID_OF[name], [cell, None])
    assert array.type == arrow
    assert plain(array) == [value, None]


@pytest.mark.parametrize(
    ("precision", "scale", "text", "arrow"),
    [
        (12, 2, "-9999999999.99", pa.decimal128(12, 2)),
        (38, 38, "0." + "9" * 38, pa.decimal128(38, 38)),
        (39, 0, "-" + "9" * 39, pa.decimal256(39, 0)),
        (76, 76, "-0." + "9" * 76, pa.decimal256(76, 76)),
        (76, 0, "1" + "0" * 75, pa.decimal256(76, 0)),
        (5, -2, "1234500", pa.decimal128(7, 0)),
        (2, 5, "0.00099", pa.decimal128(5, 5)),
        (20, 10, "0.0000000001", pa.decimal128(20, 10)),
        (20, 3, "10000000000000000.100", pa.decimal128(20, 3)),
    ],
)
def test_numeric_with_precision_is_an_exact_decimal(
    wire: Wire, precision: int, scale: int, text: str, arrow: Any
) -> None:
    array = column(wire, numeric_type(precision, scale), [frames.numeric(text), frames.numeric("0")])
    assert array.type == arrow
    assert array.to_pylist() == [Decimal(text), Decimal(0)]


@pytest.mark.parametrize("text", ["100", "0.001", "-99.999", "99999999999999999999999999999999999999999999"])
def test_numeric_beyond_its_declaration_is_an_error(wire: Wire, text: str) -> None:
    with pytest.raises(DecodeError, match=r"does not fit \(4,2\)"):
        column(wire, numeric_type(4, 2), [frames.numeric(text)])


UNREPRESENTABLE = [
    (OID_OF["date"], INT32.pack(2**31 - 1), "infinity"),
    (OID_OF["date"], INT32.pack(-730_120), "0001-12-31 BC"),
    (OID_OF["timestamp"], INFINITE, "infinity"),
    (OID_OF["timestamp"], INT64.pack(2**63 - 946_684_800_000_000), "294247-01-10 04:00:54.775808"),
    (OID_OF["timestamptz"], MINUS_INFINITE, "-infinity"),
    (OID_OF["timestamptz"], INT64.pack(-730_119 * 86_400_000_000 - 1), "0001-12-31 23:59:59.999999+00 BC"),
    (OID_OF["time"], INT64.pack(86_400_000_000), "24:00:00"),
    (numeric_type(4, 2), special(0xC000), "NaN"),
    (numeric_type(4, 2), special(0xF000), "-Infinity"),
    (ARRAY_OF["bool"], frames.array(16, [(1, 0)], [b"\1"]), "[0:0]={t}"),
    (ARRAY_OF["bool"], frames.array(16, [(1, 1), (2, 1)], [b"\1", None]), "{{t,NULL}}"),
]


@pytest.mark.parametrize(("type_", "cell", "text"), UNREPRESENTABLE)
def test_value_without_counterpart_follows_the_policy(wire: Wire, type_: Any, cell: bytes, text: str) -> None:
    with pytest.raises(UnrepresentableValue) as caught:
        column(wire, type_, [cell])
    assert caught.value.where == "s.t, column c0"
    assert "unrepresentable: null" in caught.value.remedy
    assert plain(column(wire, type_, [cell], "null")) == [None]
    assert plain(column(wire, type_, [cell], "string")) == [text]


def test_array_elements_follow_the_policy_one_by_one(wire: Wire) -> None:
    cell = frames.array(1184, [(3, 1)], [INFINITE, None, INT64.pack(0)])
    counted: list[tuple[str, int]] = []
    plans = frames.plans(ARRAY_OF["timestamptz"])
    decoder = wire.CopyDecoder("s.t", plans, "null", lambda n, a: counted.append((n, a)))
    decoder.feed(frames.copy_header() + frames.copy_row([cell]) + frames.copy_row([None]))
    assert plain(decoder.take().column(0)) == [[None, None, 946_684_800_000_000], None]
    assert counted == [("unrepresentable_values", 1)]


def test_arrays_nest_as_declared(wire: Wire) -> None:
    values = [struct.pack(">i", i) for i in range(6)]
    cell = frames.array(23, [(2, 1), (3, 1)], [*values[:5], None])
    array = column(wire, (ARRAY_OF["int4"], -1, 2), [cell, None, frames.array(23, [], []), cell])
    nested = [[0, 1, 2], [3, 4, None]]
    assert array.to_pylist() == [nested, None, [], nested]


@pytest.mark.parametrize(
    "cell",
    [
        frames.array(25, [(1, 1)], [b"\1"]),
        frames.array(16, [(-1, 1)], []),
        frames.array(16, [(0, 1)], []),
        frames.array(16, [(2**31 - 1, 1)] * 6, [b"\1"]),
        frames.array(16, [(1, 1)] * 7, [b"\1"]),
        frames.array(16, [(2, 1)], [b"\1"]),
        frames.array(16, [(1, 1)], [b"\1\1"]),
        frames.array(16, [(1, 1)], [b"\1"]) + b"\0",
        frames.array(16, [(1, 1)], [b"\1"])[:-1],
        frames.array(16, [], []) + b"\0",
        struct.pack(">iiI", 1, 2, 16),
        b"",
    ],
)
def test_malformed_array_is_an_error(wire: Wire, cell: bytes) -> None:
    with pytest.raises(DecodeError):
        column(wire, ARRAY_OF["bool"], [cell])


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("bool", b"\2"),
        ("bool", b""),
        ("int8", b"\0" * 7),
        ("int2", b"\0" * 3),
        ("float4", b"\0" * 8),
        ("date", b"\0" * 5),
        ("date", INT32.pack(2**31 - 2)),
        ("time", INT64.pack(-1)),
        ("time", INT64.pack(86_400_000_001)),
        ("uuid", b"\0" * 15),
        ("jsonb", b"\2{}"),
        ("jsonb", b""),
        ("char", b"ab"),
        ("numeric", b"\0" * 7),
        ("numeric", struct.pack(">HhHHH", 1, 0, 0, 0, 10_000)),
        ("numeric", struct.pack(">HhHH", 0, 0, 0x1234, 0)),
        ("numeric", struct.pack(">HhHH", 0, 0, 0, 0x4000)),
        ("numeric", struct.pack(">HhHH", 1, 0, 0, 0)),
        ("text", b"\xed\xa0\x80"),
        ("text", b"\xc0\x80"),
        ("text", b"\xf4\x90\x80\x80"),
        ("text", b"abcdefgh\xe2\x82"),
        ("interval", b"\0" * 15),
        ("point", b"\0" * 17),
        ("aclitem", b"\xff"),
    ],
)
def test_malformed_value_is_an_error_that_names_its_column(wire: Wire, name: str, cell: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        column(wire, OID_OF[name], [cell])
    assert caught.value.where == "s.t, column c0"


def test_text_of_64_mebibytes_passes_whole(wire: Wire) -> None:
    value = "é" * (32 << 20)
    array = column(wire, OID_OF["text"], [value.encode(), b"x"])
    assert array[0].as_py() == value
    assert array[1].as_py() == "x"


@pytest.mark.parametrize("text", ["", "plain ascii beyond eight", "é", "abcdefg日本", "🙂" * 5, "\x00\x7f"])
def test_valid_utf8_passes(wire: Wire, text: str) -> None:
    assert column(wire, OID_OF["text"], [text.encode()]).to_pylist() == [text]
