"""COLUMN_TYPE texts: read, made canonical (see `definitions`), and compared with what the binlog says.

Column types of the binlog are numbers; those that have one form each are here, so that a definition and a
TABLE_MAP can be compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cdc_source_mysql.schema.charsets import MAX_BYTES
from cdc_source_mysql.schema.definitions import ColumnDefinition

# Types in a TABLE_MAP event.
TINY, SHORT, LONG, FLOAT, DOUBLE, LONGLONG, INT24 = 1, 2, 3, 4, 5, 8, 9
TIMESTAMP, DATE, TIME, DATETIME, YEAR, NEWDATE = 7, 10, 11, 12, 13, 14
VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2 = 15, 16, 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141
VECTOR, JSON, NEWDECIMAL, ENUM, SET, BLOB, VAR_STRING, STRING, GEOMETRY = (
    *(242, 245, 246, 247, 248, 252, 253, 254, 255),
)

INTEGERS = {"tinyint": TINY, "smallint": SHORT, "mediumint": INT24, "int": LONG, "bigint": LONGLONG}
FLOATS = {"float": (FLOAT, 4), "double": (DOUBLE, 8)}
TEMPORALS = {"datetime": (DATETIME2, DATETIME), "timestamp": (TIMESTAMP2, TIMESTAMP), "time": (TIME2, TIME)}
# Bytes of the length in front of a value.
TEXTS = {"tinytext": 1, "text": 2, "mediumtext": 3, "longtext": 4}
BLOBS = {"tinyblob": 1, "blob": 2, "mediumblob": 3, "longblob": 4}
# In the order of the numbers that a TABLE_MAP gives them.
GEOMETRIES = (
    *("geometry", "point", "linestring", "polygon"),
    *("multipoint", "multilinestring", "multipolygon", "geometrycollection"),
)
# MariaDB's types over a BINARY: bytes.
FIXED_BINARIES = {"uuid": 16, "inet6": 16, "inet4": 4}
LEGACY_MARKS = ("mariadb-5.3", "5.5 binary format")
_SYNONYMS = {"geomcollection": "geometrycollection", "integer": "int", "numeric": "decimal"}
_BITS_OF_BYTE = 8
_VECTOR_ITEM_BYTES = 4
_ENUM_SMALL_LABELS = 255
_SET_BYTES = (1, 2, 3, 4, 8)
# A compressed VARCHAR has a byte more, for the method.
_COMPRESSION_BYTES = 1
_DEFAULT_ARGS = {"decimal": (10, 0), "bit": (1,), "char": (1,), "binary": (1,)}
# float(7,3): whatever it says, the server has rounded before it stores.
_WITHOUT_ARGS = frozenset({*INTEGERS, *FLOATS, "year"})
# Delivered in two digits: not the same type.
YEAR_OF_TWO_DIGITS = "year(2)"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SHAPE = re.compile(r"([a-z_0-9]+)\s*(?:\(([^)]*)\))?(.*)", re.DOTALL)
_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "0": "\0"}
_TO_ESCAPE = str.maketrans({"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


@dataclass(frozen=True, slots=True)
class ParsedType:
    """A COLUMN_TYPE in its parts. `args` are the numbers in brackets (none for an integer or a float)."""

    base: str
    args: tuple[int, ...] = ()
    unsigned: bool = False
    labels: tuple[str, ...] = ()

    @property
    def canonical(self) -> str:
        if self.base in ("enum", "set"):
            return label_type(self.base, self.labels)
        args = f"({','.join(map(str, self.args))})" if self.args else ""
        return f"{self.base}{args}{' unsigned' if self.unsigned else ''}"

    @property
    def first(self) -> int:
        """The first argument, 0 without one."""
        return self.args[0] if self.args else 0


def label_type(base: str, labels: tuple[str, ...]) -> str:
    """`enum('a','b')`, quoted as the server quotes."""
    quoted = ",".join(f"'{label.translate(_TO_ESCAPE)}'" for label in labels)
    return f"{base}({quoted})"


def parse_type(column_type: str) -> ParsedType:
    """Read a COLUMN_TYPE, canonical or as information_schema spells it; an unknown type keeps its words."""
    text = column_type.strip()
    if text[:5].lower() == "enum(" or text[:4].lower() == "set(":
        base = text[: text.index("(")].lower()
        return ParsedType(base, labels=tuple(_unescape(label) for label in _LABEL.findall(text)))
    match = _SHAPE.fullmatch(_COMMENT.sub("", text).strip().lower())
    if match is None:
        return ParsedType(text.lower())
    base, numbers, rest = match[1], match[2] or "", match[3].split()
    base = _SYNONYMS.get(base, base)
    args = tuple(int(number) for number in numbers.split(",") if number.strip().isdigit())
    return ParsedType(
        base=base,
        args=_significant(base, args),
        unsigned=base != "year" and ("unsigned" in rest or "zerofill" in rest),
    )


def canonical(column_type: str) -> str:
    """The canonical form of a COLUMN_TYPE of information_schema."""
    return parse_type(column_type).canonical


def is_compressed(column_type: str) -> bool:
    comments = _COMMENT.findall(column_type)
    return not column_type.startswith(("enum(", "set(")) and any("COMPRESSED" in text for text in comments)


def is_legacy_temporal(column_type: str) -> bool:
    comments = _COMMENT.findall(column_type)
    return parse_type(column_type).base in TEMPORALS and any(
        mark in text for text in comments for mark in LEGACY_MARKS
    )


def _significant(base: str, args: tuple[int, ...]) -> tuple[int, ...]:
    if base == "year" and args == (2,):
        return args
    if base in _WITHOUT_ARGS or (base in TEMPORALS and args == (0,)):
        return ()
    if base == "decimal" and len(args) == 1:
        return (args[0], 0)
    return args or _DEFAULT_ARGS.get(base, ())


def _unescape(label: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]) if match[1] else "'", label)


def character_bytes(column: ColumnDefinition) -> int:
    """The most bytes of one character of the column."""
    return MAX_BYTES.get(column.charset or "", 1)


def event_forms(column: ColumnDefinition) -> tuple[tuple[int, int], ...]:
    """The (type, meta) of TableMap that such a column may have in an event; () for an unknown type.

    The first is the usual one.
    """
    parsed = parse_type(column.column_type)
    base, first = parsed.base, parsed.first
    if base in INTEGERS:
        return ((INTEGERS[base], 0),)
    if base in FLOATS:
        return (FLOATS[base],)
    if base in TEMPORALS:
        new, old = TEMPORALS[base]
        return ((old, 0),) if column.legacy_temporal else ((new, first),)
    if base in ("char", "binary") or base in FIXED_BINARIES:
        size = FIXED_BINARIES.get(base, first * character_bytes(column))
        return ((STRING, size), (VAR_STRING, size))
    if base in ("varchar", "varbinary"):
        size = first * character_bytes(column)
        if column.compressed:
            return ((VARCHAR_COMPRESSED, size + _COMPRESSION_BYTES), (VARCHAR_COMPRESSED, size))
        return ((VARCHAR, size), (VAR_STRING, size))
    if base in TEXTS or base in BLOBS:
        code = BLOB_COMPRESSED if column.compressed else BLOB
        return ((code, TEXTS.get(base) or BLOBS[base]),)
    return _other_forms(parsed, len(column.labels))


def _other_forms(parsed: ParsedType, labels: int) -> tuple[tuple[int, int], ...]:
    base, first = parsed.base, parsed.first
    if base == "decimal":
        return ((NEWDECIMAL, first << 8 | parsed.args[1]),)
    if base == "bit":
        return ((BIT, first // _BITS_OF_BYTE << 8 | first % _BITS_OF_BYTE),)
    if base == "enum":
        return ((ENUM, 1 if labels <= _ENUM_SMALL_LABELS else 2),)
    if base == "set":
        wanted = max(1, -(-labels // _BITS_OF_BYTE))
        return ((SET, next(size for size in _SET_BYTES if size >= wanted)),)
    if base == "vector":
        return ((VECTOR, 4), (VARCHAR, first * _VECTOR_ITEM_BYTES))
    if base in GEOMETRIES:
        return ((GEOMETRY, 4),)
    return {
        "date": ((DATE, 0), (NEWDATE, 0)),
        "year": ((YEAR, 0),),
        "json": ((JSON, 4),),
    }.get(base, ())
