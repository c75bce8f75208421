"""What the server puts into a column that an INSERT leaves out: as the catalog shows it, as statements tell
it, and as a value.

Minimal row images lack such columns where the default is a literal, NULL or implicit; expressions are always
sent (except MariaDB's virtual columns). What can't be told exactly is None, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from cdc_source_mysql.schema.column_types import ParsedType, parse_type
from cdc_source_mysql.schema.ddl.changes import ColumnSpec, Default
from cdc_source_mysql.schema.ddl.columns import parse_default
from cdc_source_mysql.schema.ddl.cursor import Context, Cursor, NotUnderstood
from cdc_source_mysql.schema.ddl.tokens import NotLexed, tokenize
from cdc_source_mysql.schema.definitions import ColumnDefinition
from cdc_source_mysql.schema.history.fills import IMPLICIT, scalar

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
        cursor = Cursor(tokenize(text, 0, "mariadb"), Context("", 0, "mariadb", None))
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


def told_default(spec: ColumnSpec) -> Default | None:
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
