"""Values from the server's text form: for streams without `binary` (PostgreSQL 13) and types without a
binary form.

A parser gives a storage value (see `cdc.native.columns_python`), or what the refusal of an unrepresentable
one gives.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.columns_python import build_array
from cdc.native.cursor_python import decode_utf8
from cdc.native.unrepresentable import UnrepresentablePolicy
from cdc_source_postgres.schema.codec import TEXT_IS_VALUE, Codec
from cdc_source_postgres.wire import codes
from cdc_source_postgres.wire.decimals import checked_decimal
from cdc_source_postgres.wire.parse.array import parse_array
from cdc_source_postgres.wire.parse.clock import date_value, time_value, timestamp_value
from cdc_source_postgres.wire.parse.columns import convert_column

Parser = Callable[[str], Any]

_WHOLE = re.compile(r"-?[0-9]{1,20}\Z")
_FLOAT = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|Infinity)\Z|NaN\Z")
_NUMERIC = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?\Z")
_MONEY = re.compile(r"(-?)\$([0-9,]+)\.([0-9]{2})\Z")
_HEX = re.compile(r"(?:\\x)?((?:[0-9a-fA-F]{2})*)\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_LIMITS = {
    "int2": (-(2**15), 2**15),
    "int4": (-(2**31), 2**31),
    "int8": (-(2**63), 2**63),
    "uint4": (0, 2**32),
    "uint8": (0, 2**64),
}
_FLOAT4 = struct.Struct("<f")


class TextError(Exception):
    """The value at `index` can't be parsed; `cause` says why."""

    def __init__(self, index: int, cause: CdcError) -> None:
        super().__init__(index)
        self.index = index
        self.cause = cause


def convert_texts(codec: Codec, values: Sequence[bytes], policy: UnrepresentablePolicy) -> pa.Array:
    """The values, none null, as the column's array."""
    converted = convert_column(codec, values)
    if converted is not None:
        return converted
    parse = parser(codec, policy)
    parsed = []
    for index, value in enumerate(values):
        try:
            parsed.append(parse(decode_utf8(value)))
        except CdcError as error:
            raise TextError(index, error) from error
    return build_array(codec.arrow, parsed)


def convert_renders(codec: Codec, values: Sequence[bytes]) -> pa.Array:
    """Binary values, none null, as the server's text."""
    render = codec.render
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(unreadable() if render is None else render(value))
        except CdcError as error:
            raise TextError(index, error) from error
    return build_array(codec.arrow, texts)


def unreadable() -> str:
    """Refuse a binary value of a type of which only the text form is readable."""
    message = "a value in a binary form that is not readable"
    raise DecodeError(message, remedy="Let the server send this column as text.")


def parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    if codec.kind in TEXT_IS_VALUE:
        return str
    if codec.kind == "list":
        return _list_parser(codec, policy)
    if codec.kind in _LIMITS:
        return _whole_parser(codec, policy)
    return _PARSERS[codec.kind](codec, policy)


def _invalid(what: str) -> DecodeError:
    return DecodeError(f"text that is not {what}")


def _bool_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    def parse(text: str) -> bool:
        if text not in {"t", "f"}:
            raise _invalid("a boolean")
        return text == "t"

    return parse


def _whole_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    low, high = _LIMITS[codec.kind]

    def parse(text: str) -> int | None:
        if not _WHOLE.match(text):
            # regclass and its like are names in text; "-" means no object.
            if codec.kind == "uint4" and text:
                return 0 if text == "-" else policy.refuse(codes.OBJECT_NAME)
            raise _invalid("a whole number")
        value = int(text)
        if not low <= value < high:
            raise _invalid(f"within the range of {codec.kind}")
        return value

    return parse


def _float_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    is_single = codec.kind == "float4"

    def parse(text: str) -> float:
        if not _FLOAT.match(text):
            raise _invalid("a floating point number")
        value = float(text)
        if is_single and abs(value) != float("inf"):
            try:
                _FLOAT4.pack(value)
            except OverflowError:
                raise _invalid("within the range of float4") from None
        return value

    return parse


def _numeric_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    def parse(text: str) -> int | None:
        if text in {"NaN", "Infinity", "-Infinity"}:
            return policy.refuse(codes.NOT_A_NUMBER if text == "NaN" else codes.INFINITY)
        match = _NUMERIC.match(text)
        if match is None:
            raise _invalid("a numeric")
        sign, whole, fraction = match.groups(default="")
        value = checked_decimal(int(whole + fraction), len(fraction), codec.precision, codec.scale)
        return -value if sign else value

    return parse


def _money_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    def parse(text: str) -> int:
        match = _MONEY.match(text)
        if match is None:
            raise _invalid("an amount under lc_monetary=C")
        sign, units, cents = match.groups()
        value = int(units.replace(",", "") + cents)
        return -value if sign else value

    return parse


def _bytes_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    def parse(text: str) -> bytes:
        match = _HEX.match(text)
        if match is None:
            raise _invalid("hexadecimal")
        return bytes.fromhex(match[1])

    return parse


def _uuid_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    def parse(text: str) -> bytes:
        if not _UUID.match(text):
            raise _invalid("a uuid")
        return bytes.fromhex(text.replace("-", ""))

    return parse


def _date_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    return lambda text: date_value(text, policy)


def _time_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    return lambda text: time_value(text, policy)


def _timestamp_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    zone = "+00" if codec.arrow.tz else ""
    return lambda text: timestamp_value(text, zone, policy)


def _list_parser(codec: Codec, policy: UnrepresentablePolicy) -> Parser:
    if codec.element is None:
        raise _invalid("an array")
    element = parser(codec.element, policy)
    return lambda text: parse_array(text, codec, element, policy)


_PARSERS: dict[str, Callable[[Codec, UnrepresentablePolicy], Parser]] = {
    "bool": _bool_parser,
    "float4": _float_parser,
    "float8": _float_parser,
    "numeric": _numeric_parser,
    "money": _money_parser,
    "bytes": _bytes_parser,
    "uuid": _uuid_parser,
    "date": _date_parser,
    "time": _time_parser,
    "timestamp": _timestamp_parser,
}
