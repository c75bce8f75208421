"""The value of a column that was not given one: in rows whose INSERT omits the column, and in rows older
than ADD COLUMN.

Defaults come from the catalog or from statements. Minimal row images lack columns whose default is a
literal, NULL or implicit; expressions are always sent (except MariaDB's virtual columns). A value that
cannot be derived exactly is None, never guessed: after ADD COLUMN the table is then copied again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import pyarrow as pa

from cdc_source_mysql.schema.column_types import ParsedType, parse_type
from cdc_source_mysql.schema.ddl.changes import ColumnSpec, Default
from cdc_source_mysql.schema.ddl.columns import parse_default
from cdc_source_mysql.schema.ddl.tokens import Context, NotLexed, NotUnderstood, TokenCursor, tokenize
from cdc_source_mysql.schema.definitions import ColumnDefinition

IMPLICIT: Final = Default("implicit")
_INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES = frozenset({"varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?")
_TIME = re.compile(r"-?(?:[1-7]\d\d|8[0-2]\d|83[0-7]|\d\d):[0-5]\d:[0-5]\d")
# Sets with characters beyond the BMP, in whose place information_schema (utf8mb3) shows `?`.
WIDE_CHARSETS: Final = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_NULL = Default("null")
_EXPRESSION = Default("expression")
_FLOATS = frozenset({"float", "double"})
_BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"})
_ZERO_DAYS: Final = {
    "date": "0000-00-00",
    "datetime": "0000-00-00 00:00:00",
    "timestamp": "0000-00-00 00:00:00",
}


def default_of(spec: ColumnSpec) -> Default | None:
    """The default that fills older rows; None for NULL."""
    if spec.default is not None and spec.default.kind != "null":
        return spec.default
    return IMPLICIT if spec.nullable is False else None


def fill_of(column_type: str, default: Default) -> Any:
    """Return the value as Python's, None when it is not known exactly."""
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


def shown_default(row: Sequence[Any], parsed: ParsedType, flavour: str) -> Default | None:
    """The default of a row of information_schema.COLUMNS, read in a session in UTC: (name, type, character
    set, collation, nullable, extra, default, …).
    """
    flags, shown = str(row[5]).upper(), row[6]
    if "GENERATED" in flags.replace("DEFAULT_GENERATED", ""):
        return None
    if "DEFAULT_GENERATED" in flags or "AUTO_INCREMENT" in flags:
        return _EXPRESSION
    if shown is None:
        return _NULL if str(row[4]).upper() == "YES" else IMPLICIT
    text = shown.decode() if isinstance(shown, bytes) else str(shown)
    if "?" in text and (row[2] in WIDE_CHARSETS or parsed.base in _BINARIES):
        return None
    default = _quoted(text) if flavour == "mariadb" else _plain(text, parsed)
    if default is None or default.kind not in {"text", "number"}:
        return default
    return Default("shown", default.text) if parsed.base in (*_FLOATS, "timestamp") else default


def _quoted(text: str) -> Default | None:
    """MariaDB shows defaults as expressions: texts quoted, NULL as a word."""
    try:
        cursor = TokenCursor(tokenize(text, 0, "mariadb"), Context("", 0, "mariadb"))
        default = parse_default(cursor)
    except (NotLexed, NotUnderstood):
        return _EXPRESSION
    return default if cursor.at_end else _EXPRESSION


def _plain(text: str, parsed: ParsedType) -> Default | None:
    """MySQL shows texts bare, bytes in hexadecimal up to the first zero, and timestamps in the time zone of
    whoever made the column.
    """
    if parsed.base == "bit":
        return _quoted(text)
    if parsed.base in _BINARIES:
        return Default("text", "") if text == "" else None
    if parsed.base == "timestamp" and text != _zero_day(parsed):
        return None
    return Default("number" if parsed.base in _NUMBERS | _FLOATS else "text", text)


def stated_default(spec: ColumnSpec) -> Default | None:
    """The default of a column that a statement defines."""
    if spec.generated or spec.period:
        return None
    if spec.auto_increment:
        return _EXPRESSION
    if spec.default is None:
        return IMPLICIT if spec.nullable is False else _NULL
    return spec.default


def with_default(column: ColumnDefinition, default: Default | None) -> ColumnDefinition:
    """The column after SET DEFAULT, or after DROP DEFAULT (None)."""
    return replace(column, default=default or (_NULL if column.nullable else IMPLICIT))


def required(column: ColumnDefinition) -> ColumnDefinition:
    """The column once it is NOT NULL for a primary key."""
    default = IMPLICIT if column.default == _NULL else column.default
    return replace(column, nullable=False, default=default)


def default_scalar(column: ColumnDefinition, arrow: pa.DataType, unrepresentable: str) -> Any:
    """The default as a scalar of the column's Arrow type; None where it isn't known. `unrepresentable` is
    the source's policy.
    """
    default = column.default
    if default is None or default.kind == "expression" or column.generated:
        return None
    if default.kind == "null":
        return pa.scalar(None, arrow)
    if column.is_json or column.has_unsure_labels:
        return None
    parsed = parse_type(column.column_type)
    if parsed.base in _ZERO_DAYS and (default.kind == "implicit" or default.text == _zero_day(parsed)):
        return _zero_scalar(parsed, arrow, unrepresentable)
    if default.kind == "shown":
        return _shown_scalar(parsed, default.text or "", arrow)
    if parsed.base == "time":
        return _time_scalar(parsed, default, arrow)
    found = scalar(column.column_type, default, arrow)
    return found if found.is_valid else None


def _fraction(parsed: ParsedType) -> str:
    return f".{'0' * parsed.first}" if parsed.first else ""


def _zero_day(parsed: ParsedType) -> str:
    return _ZERO_DAYS[parsed.base] + _fraction(parsed)


def _zero_scalar(parsed: ParsedType, arrow: pa.DataType, unrepresentable: str) -> Any:
    if unrepresentable == "null":
        return pa.scalar(None, arrow)
    return pa.scalar(_zero_day(parsed), arrow) if pa.types.is_string(arrow) else None


def _shown_scalar(parsed: ParsedType, text: str, arrow: pa.DataType) -> Any:
    try:
        if parsed.base == "timestamp":
            if pa.types.is_string(arrow):
                return pa.scalar(text, arrow)
            return pa.scalar(datetime.fromisoformat(text).replace(tzinfo=UTC), arrow)
        number = float(text)
        # Six digits are shown of a FLOAT, all of a DOUBLE.
        return pa.scalar(number, arrow) if parsed.base == "double" or number == 0 else None
    except ValueError:
        return None


def _time_scalar(parsed: ParsedType, default: Default, arrow: pa.DataType) -> Any:
    """A text with exactly the column's decimals is the server's own."""
    if default.kind == "implicit":
        return pa.scalar("00:00:00" + _fraction(parsed), arrow)
    whole, _, decimals = (default.text or "").partition(".")
    found = scalar("time", Default(default.kind, whole), arrow)
    if not found.is_valid or len(decimals) != parsed.first or not (decimals or "0").isdigit():
        return None
    return pa.scalar(default.text, arrow)
