"""What rows older than an added column have in it, where ADD COLUMN tells that exactly.

A default that this doesn't turn into the server's very value gives None: the table is then copied again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa

from cdc_source_mysql.schema.column_types import ParsedType, parse_type
from cdc_source_mysql.schema.ddl.changes import ColumnSpec, Default

IMPLICIT: Final = Default("implicit")
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES = frozenset({"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?")
_TIME = re.compile(r"-?(?:[1-7]\d\d|8[0-2]\d|83[0-7]|\d\d):[0-5]\d:[0-5]\d")


def default_of(spec: ColumnSpec) -> Default | None:
    """The default that fills older rows; None for NULL."""
    if spec.default is not None and spec.default.kind != "null":
        return spec.default
    return IMPLICIT if spec.nullable is False else None


def fill_of(column_type: str, default: Default) -> Any:
    """The value as Python's, None when it can't be told exactly."""
    parsed = parse_type(column_type)
    if default.kind == "expression":
        return None
    rule = _RULES.get(parsed.base)
    return rule(parsed, default) if rule is not None else None


def scalar(column_type: str, default: Default, arrow: pa.DataType) -> Any:
    """The value of `fill_of` as a scalar of the column's Arrow type."""
    value = fill_of(column_type, default)
    if pa.types.is_string(arrow) and isinstance(value, date):
        # The policy `string` delivers dates as the server's text.
        value = default.text
    return pa.scalar(value, arrow)


def _number(default: Default) -> Decimal | None:
    if default.kind == "implicit":
        return Decimal(0)
    if default.kind == "bytes":
        return Decimal(int(default.text or "0", 16))
    try:
        number = Decimal((default.text or "").strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _integer(parsed: ParsedType, default: Default) -> int | None:
    number = _number(default)
    if number is None or number != number.to_integral_value():
        return None
    bits = _INTEGERS[parsed.base]
    low, high = (0, 1 << bits) if parsed.unsigned else (-(1 << bits - 1), 1 << bits - 1)
    return int(number) if low <= number < high else None


def _decimal(parsed: ParsedType, default: Default) -> Decimal | None:
    number = _number(default)
    if number is None or len(parsed.args) != 2 or (parsed.unsigned and number < 0):
        return None
    precision, scale = parsed.args
    digits = number.scaleb(scale)
    if digits != digits.to_integral_value() or abs(digits) >= 10**precision:
        return None
    return number


def _float(parsed: ParsedType, default: Default) -> float | None:
    """Whole numbers only: float(7,3) rounds others to digits that its canonical type doesn't show."""
    number = _number(default)
    if number is None or number != number.to_integral_value() or (parsed.unsigned and number < 0):
        return None
    # Beyond 2^24 a single precision number skips integers.
    return float(number) if abs(number) < 1 << 24 else None


def _bit(parsed: ParsedType, default: Default) -> int | bool | None:
    number = _number(default) if default.kind != "text" else None
    if number is None or not 0 <= number < 1 << parsed.first:
        return None
    return bool(number) if parsed.first == 1 else int(number)


def _text(parsed: ParsedType, default: Default) -> str | None:
    if default.kind == "implicit":
        return ""
    if default.kind != "text" or default.text is None:
        # Other numbers are rendered by the server's rules; bytes are of the column's character set.
        number = default.text if default.kind == "number" else None
        return number if number and number.isdigit() and str(int(number)) == number else None
    text = default.text
    if "\ufffd" in text or (parsed.base in {"char", "varchar"} and len(text) > parsed.first):
        return None
    return text.rstrip(" ") if parsed.base == "char" else text


def _bytes(parsed: ParsedType, default: Default) -> bytes | None:
    if default.kind == "implicit":
        value = b""
    elif default.kind == "bytes":
        value = bytes.fromhex(default.text or "")
    elif default.kind == "text" and (default.text or "").isascii():
        value = (default.text or "").encode()
    else:
        return None
    return value.ljust(parsed.first, b"\0") if parsed.base == "binary" else value


def _enum(parsed: ParsedType, default: Default) -> str | None:
    if default.kind == "implicit":
        return parsed.labels[0]
    return default.text if default.kind == "text" and default.text in parsed.labels else None


def _set(parsed: ParsedType, default: Default) -> str | None:
    if default.kind == "implicit" or (default.kind == "text" and default.text == ""):
        return ""
    if default.kind != "text" or default.text is None:
        return None
    # The server orders labels that a statement may name in any order.
    places = [parsed.labels.index(part) for part in default.text.split(",") if part in parsed.labels]
    is_whole = len(places) == default.text.count(",") + 1
    return default.text if is_whole and places == sorted(set(places)) else None


def _date(parsed: ParsedType, default: Default) -> date | None:
    text = default.text or ""
    if default.kind != "text" or not _DATE.fullmatch(text) or text.startswith("0000"):
        return None
    return _calendar(date.fromisoformat, text)


def _datetime(parsed: ParsedType, default: Default) -> datetime | None:
    text = default.text or ""
    if default.kind != "text" or not _DATETIME.fullmatch(text) or text.startswith("0000"):
        return None
    decimals = len(text.partition(".")[2])
    if decimals != parsed.first:
        return None
    return _calendar(datetime.fromisoformat, text)


def _calendar(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return None


def _time(parsed: ParsedType, default: Default) -> str | None:
    text = default.text or ""
    is_exact = default.kind == "text" and parsed.first == 0 and _TIME.fullmatch(text)
    return text if is_exact and text != "-00:00:00" else None


def _year(parsed: ParsedType, default: Default) -> int | None:
    number = _number(default)
    if number is None or number != number.to_integral_value() or parsed.args:
        return None
    year = int(number)
    return year if 1901 <= year <= 2155 or default.kind == "implicit" else None


_RULES: dict[str, Callable[[ParsedType, Default], Any]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_BYTES | {"binary"}, _bytes),
    "decimal": _decimal,
    "float": _float,
    "double": _float,
    "bit": _bit,
    "enum": _enum,
    "set": _set,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "year": _year,
}
