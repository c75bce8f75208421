"""Stored values of every type, byte by byte as rows events hold them, and what becomes of them."""

from __future__ import annotations

import struct
from decimal import Context
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import DecodeError, UnrepresentableValue
from cdc.native.unrepresentable import RowError, UnrepresentablePolicy
from cdc_source_mysql.schema.type_plan import ColumnPlan
from tests.support.mysql.fields import decoded, field_modules, plan
from tests.support.plain_arrow import plain

DATE = pa.date32()
DATETIME = pa.timestamp("us")
TIMESTAMP = pa.timestamp("us", "UTC")
TEXT = pa.string()
DAY = 86_400_000_000
DIGITS = Context(prec=80)
LEFTOVER_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


@pytest.fixture(params=field_modules(), ids=lambda module: module.__name__.rpartition(".")[2])
def wire(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def whole(kind: str, arrow: Any, *, unsigned: bool = False) -> ColumnPlan:
    return plan(kind, arrow, unsigned=unsigned)


def time_plan(fsp: int) -> ColumnPlan:
    return plan("time", TEXT, fsp=fsp)


def text_plan(charset: str, prefix_bytes: int = 1, **attributes: Any) -> ColumnPlan:
    return plan("string", TEXT, charset=charset, prefix_bytes=prefix_bytes, **attributes)


def stored_datetime(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str:
    packed = (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second
    return f"{packed + 2**39:010x}"


CASES: dict[str, tuple[ColumnPlan, str, Any]] = {
    "int8": (whole("int8", pa.int8()), "80", -128),
    "uint8": (whole("int8", pa.uint8(), unsigned=True), "80", 128),
    "int16": (whole("int16", pa.int16()), "00ff", -256),
    "int24": (whole("int24", pa.int32()), "000080", -(2**23)),
    "int24_positive": (whole("int24", pa.int32()), "ffff7f", 2**23 - 1),
    "uint24": (whole("int24", pa.uint32(), unsigned=True), "ffffff", 2**24 - 1),
    "int32": (whole("int32", pa.int32()), "feffffff", -2),
    "uint32": (whole("int32", pa.uint32(), unsigned=True), "feffffff", 2**32 - 2),
    "int64": (whole("int64", pa.int64()), "0000000000000080", -(2**63)),
    "uint64": (whole("int64", pa.uint64(), unsigned=True), "ffffffffffffffff", 2**64 - 1),
    "float32": (plan("float32", pa.float32()), "65 20 f1 47", struct.pack("d", 123456.7890625)),
    "float64": (plan("float64", pa.float64()), "000000000000f8bf", struct.pack("d", -1.5)),
    "year_zero": (plan("year", pa.int16()), "00", 0),
    "year": (plan("year", pa.int16()), "ff", 2155),
    "bit_one": (plan("bool", pa.bool_()), "01", True),
    "bits": (plan("bit", pa.uint64(), size=2), "0502", 0x502),
    "all_bits": (plan("bit", pa.uint64(), size=8), "ff" * 8, 2**64 - 1),
    "date": (plan("date", DATE), "5dc80f", 18321),
    "datetime": (
        plan("datetime", DATETIME, fsp=0),
        stored_datetime(2020, 2, 29, 1, 2, 3),
        1_582_938_123_000_000,
    ),
    "timestamp": (plan("timestamp", TIMESTAMP, fsp=3), "5e59b90b 04d2", 1_582_938_379_123_400),
    "timestamp_after_2038": (plan("timestamp", TIMESTAMP), "ffffffff", (2**32 - 1) * 1_000_000),
    "timestamp_old": (plan("timestamp_old", TIMESTAMP), "01000000", 1_000_000),
    "datetime_old": (
        plan("datetime_old", DATETIME),
        struct.pack("<Q", 19700102000001).hex(),
        DAY + 1_000_000,
    ),
    "time": (time_plan(0), "812345", "18:13:05"),
    "time_negative_hundredth": (time_plan(2), "7fffffff", "-00:00:00.01"),
    "time_negative_microseconds": (time_plan(6), "7fef7cffffff", "-01:02:03.000001"),
    "time_lowest": (time_plan(6), "4b9105000000", "-838:59:59.000000"),
    "time_highest": (time_plan(0), "b46efb", "838:59:59"),
    "time_odd_fraction": (time_plan(1), "800000 32", "00:00:00.5"),
    "time_old": (plan("time_old", TEXT), struct.pack("<i", -8385959)[:3].hex(), "-838:59:59"),
    "decimal": (plan("decimal", pa.decimal128(10, 2), precision=10, scale=2), "8001e24038", "123456.56"),
    "enum_zero": (plan("enum", TEXT, size=1, labels=("a", "é")), "00", ""),
    "enum_one_byte": (plan("enum", TEXT, size=1, labels=("a", "é")), "02", "é"),
    "enum_two_bytes": (plan("enum", TEXT, size=2, labels=("a",) * 299 + ("last",)), "2c01", "last"),
    "set_empty": (plan("set", TEXT, size=1, labels=("a", "b")), "00", ""),
    "set_all": (plan("set", TEXT, size=1, labels=("a", "é", "c")), "07", "a,é,c"),
    "set_last_of_64": (plan("set", TEXT, size=8, labels=tuple(map(str, range(64)))), "00" * 7 + "80", "63"),
    "utf8": (text_plan("utf8"), "02c3a9", "é"),
    "utf8_long": (text_plan("utf8", 2), "0300616263", "abc"),
    "text_three_byte_length": (text_plan("utf8", 3), "030000616263", "abc"),
    "text_four_byte_length": (text_plan("utf8", 4), "03000000616263", "abc"),
    "ascii": (text_plan("ascii"), "0141", "A"),
    "latin1_is_cp1252": (text_plan("latin1"), "03 80 e9 41", "€éA"),
    "latin1_controls": (text_plan("latin1"), "05 81 8d 8f 90 9d", "\x81\x8d\x8f\x90\x9d"),
    "utf16_is_big_endian": (text_plan("utf16"), "04 00 e9 00 41", "éA"),
    "ucs2": (text_plan("ucs2"), "02 20 ac", "€"),
    "compressed": (text_plan("utf8", compressed=True), "08 89 c8 4b4a1a1e0000", "b" * 200),
    "compressed_stored": (text_plan("utf8", compressed=True), "03 00 6162", "ab"),
    "compressed_empty": (text_plan("utf8", compressed=True), "00", ""),
    "bytes": (plan("bytes", pa.binary(), prefix_bytes=2), "0200ff00", b"\xff\0"),
    "binary_is_padded": (plan("binary", pa.binary(), prefix_bytes=1, size=4), "0161", b"a\0\0\0"),
    "uuid_is_padded": (plan("uuid", pa.uuid(), prefix_bytes=1), "0112", b"\x12" + bytes(15)),
    "inet4_is_padded": (plan("inet4", TEXT, prefix_bytes=1), "01 0a", "10.0.0.0"),
    "inet6_is_padded": (plan("inet6", TEXT, prefix_bytes=1), "04 20010db8", "2001:db8::"),
    "inet6_any": (plan("inet6", TEXT, prefix_bytes=1), "00", "::"),
    "geometry_without_srid": (
        plan("geometry", pa.binary(), prefix_bytes=1),
        "19 00000000 01 01000000" + "00" * 16,
        bytes.fromhex("01 01000000" + "00" * 16),
    ),
    "geometry_with_srid": (
        plan("geometry", pa.binary(), prefix_bytes=1),
        "19 e6100000 01 01000000" + "00" * 16,
        bytes.fromhex("01 01000020 e6100000" + "00" * 16),
    ),
    "geometry_big_endian": (
        plan("geometry", pa.binary(), prefix_bytes=1),
        "19 e6100000 00 00000001" + "00" * 16,
        bytes.fromhex("00 20000001 000010e6" + "00" * 16),
    ),
    "vector": (
        plan("vector", pa.list_(pa.float32()), prefix_bytes=4),
        "08000000 0000803f 000000c0",
        [struct.pack("d", 1.0), struct.pack("d", -2.0)],
    ),
    "json": (
        plan("json", pa.json_(), prefix_bytes=1),
        "0d 0001000c000b000100050100 61",
        '{"a": 1}',
    ),
    "json_empty_is_null": (plan("json", pa.json_(), prefix_bytes=1), "00", "null"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stored_value_becomes(wire: ModuleType, name: str) -> None:
    column, stored, expected = CASES[name]
    array = decoded(wire, column, [bytes.fromhex(stored), None])
    array.validate(full=True)
    value, null = plain(array)
    assert (str(value) if column.kind == "decimal" else value) == expected
    assert null is None


TEMPORALS = {
    "zero_date": (plan("date", DATE), plan("date", TEXT, as_text=True), "000000", "0000-00-00"),
    "partial_date": (plan("date", DATE), plan("date", TEXT, as_text=True), "00c80f", "2020-00-00"),
    "month_without_day": (plan("date", DATE), plan("date", TEXT, as_text=True), "40c80f", "2020-02-00"),
    "year_zero": (plan("date", DATE), plan("date", TEXT, as_text=True), "5d0000", "0000-02-29"),
    "invalid_day": (plan("date", DATE), plan("date", TEXT, as_text=True), "5ec80f", "2020-02-30"),
    "zero_datetime": (
        plan("datetime", DATETIME, fsp=2),
        plan("datetime", TEXT, fsp=2, as_text=True),
        "800000000000",
        "0000-00-00 00:00:00.00",
    ),
    "zero_timestamp": (
        plan("timestamp", TIMESTAMP, fsp=6),
        plan("timestamp", TEXT, fsp=6, as_text=True),
        "00000000000000",
        "0000-00-00 00:00:00.000000",
    ),
    "zero_old_datetime": (
        plan("datetime_old", DATETIME),
        plan("datetime_old", TEXT, as_text=True),
        "00" * 8,
        "0000-00-00 00:00:00",
    ),
    "zero_old_timestamp": (
        plan("timestamp_old", TIMESTAMP),
        plan("timestamp_old", TEXT, as_text=True),
        "00" * 4,
        "0000-00-00 00:00:00",
    ),
}


@pytest.mark.parametrize("name", TEMPORALS)
def test_a_date_that_arrow_lacks_follows_the_policy(wire: ModuleType, name: str) -> None:
    column, as_text, stored, text = TEMPORALS[name]
    data = bytes.fromhex(stored)
    with pytest.raises(UnrepresentableValue):
        decoded(wire, column, [data])
    lenient = UnrepresentablePolicy("null")
    field = wire.make_field(column, lenient)
    field.append(data)
    assert plain(field.finish()) == [None]
    assert lenient.count == 1
    assert plain(decoded(wire, as_text, [data])) == [text]


UNDEFINED = [("utf8", b"\xff"), ("utf8", b"\xed\xa0\x80"), ("ascii", b"\x80"), ("ucs2", b"\xd8\0")]


@pytest.mark.parametrize(("charset", "stored"), UNDEFINED)
def test_bytes_that_are_no_characters_follow_the_policy(
    wire: ModuleType, charset: str, stored: bytes
) -> None:
    column, value = text_plan(charset), bytes([len(stored)]) + stored
    lenient = UnrepresentablePolicy("null")
    field = wire.make_field(column, lenient)
    for data in (value, b"\0", value):
        field.append(data)
    assert plain(field.finish()) == [None, "", None]
    assert lenient.count == 2
    with pytest.raises((UnrepresentableValue, RowError)) as caught:
        decoded(wire, column, [b"\0", value])
    if isinstance(caught.value, RowError):
        assert caught.value.row == 1
        assert isinstance(caught.value.cause, UnrepresentableValue)


MALFORMED: dict[str, tuple[ColumnPlan, str]] = {
    "short_int": (whole("int32", pa.int32()), "000000"),
    "short_text": (text_plan("utf8"), "0361"),
    "short_length": (text_plan("utf8", 2), "03"),
    "long_binary": (plan("binary", pa.binary(), prefix_bytes=1, size=1), "026161"),
    "long_uuid": (plan("uuid", pa.uuid(), prefix_bytes=1), "11" + "00" * 17),
    "enum_beyond": (plan("enum", TEXT, size=1, labels=("a",)), "02"),
    "set_beyond": (plan("set", TEXT, size=1, labels=("a",)), "02"),
    "bit_beyond": (plan("bool", pa.bool_()), "02"),
    "month_13": (plan("date", DATE), "bdc90f"),
    "time_beyond": (time_plan(0), "b4bf00"),
    "time_minute_60": (time_plan(0), "800f00"),
    "fraction_of_a_second": (time_plan(2), "80000064"),
    "datetime_before_0": (plan("datetime", DATETIME), "7fffffffff"),
    "datetime_hour_24": (plan("datetime", DATETIME), stored_datetime(2020, 2, 29, 24, 0, 0)),
    "decimal_group": (plan("decimal", pa.decimal128(9, 0), precision=9, scale=0), "bb9aca00"),
    "geometry_short": (plan("geometry", pa.binary(), prefix_bytes=1), "04 00000000"),
    "vector_odd": (plan("vector", pa.list_(pa.float32()), prefix_bytes=1), "03 000000"),
    "compressed_method": (text_plan("utf8", compressed=True), "02 19 00"),
    "compressed_length": (text_plan("utf8", compressed=True), "08 89 c7 4b4a1a1e0000"),
    "compressed_damaged": (text_plan("utf8", compressed=True), "04 89 c8 ffff"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_damaged_value_is_refused(wire: ModuleType, name: str) -> None:
    column, stored = MALFORMED[name]
    with pytest.raises(DecodeError):
        decoded(wire, column, [bytes.fromhex(stored)])


@pytest.mark.parametrize(
    ("precision", "scale"), [(1, 0), (5, 5), (18, 9), (19, 3), (38, 20), (65, 30), (65, 0)]
)
def test_decimals_of_every_size_are_exact(wire: ModuleType, precision: int, scale: int) -> None:
    make = pa.decimal128 if precision <= 38 else pa.decimal256
    column = plan("decimal", make(precision, scale), precision=precision, scale=scale)
    numbers = [0, 1, -1, 10**precision - 1, 1 - 10**precision, int("1234567890" * 7) % 10**precision]
    array = decoded(wire, column, [stored_decimal(number, precision, scale) for number in numbers])
    assert [int(value.scaleb(scale, DIGITS)) for value in array.to_pylist()] == numbers


def stored_decimal(number: int, precision: int, scale: int) -> bytes:
    """By the server's own rule, digit by digit."""
    digits = f"{abs(number):0{precision}d}"
    whole_digits, fraction = digits[: precision - scale], digits[precision - scale :]
    first = len(whole_digits) % 9
    groups = [whole_digits[:first]] + [whole_digits[at : at + 9] for at in range(first, len(whole_digits), 9)]
    groups += [fraction[at : at + 9] for at in range(0, len(fraction), 9)]
    data = b"".join(int(group).to_bytes(LEFTOVER_BYTES[len(group)], "big") for group in groups if group)
    inverted = bytes(byte ^ 0xFF for byte in data) if number < 0 else data
    return bytes([inverted[0] ^ 0x80]) + inverted[1:]
