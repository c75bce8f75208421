"""Column types as statements spell them, in the canonical form of cdc_source_mysql.schema.definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cdc_source_mysql.schema.column_types import YEAR_OF_TWO_DIGITS, label_type
from cdc_source_mysql.schema.ddl.cursor import NotUnderstood, TokenCursor
from cdc_source_mysql.schema.ddl.tokens import BYTES, ORACLE, REAL_AS_FLOAT, STRING, WORD

NATIONAL_CHARSET: Final = "utf8mb3"
JSON_CHARSET: Final = "utf8mb4"
JSON_COLLATION: Final = "utf8mb4_bin"
# A vector without a dimension has so many on MySQL.
DEFAULT_DIMENSION: Final = 2048

_INTEGERS = {
    "TINYINT": "tinyint",
    "INT1": "tinyint",
    "BOOL": "tinyint",
    "BOOLEAN": "tinyint",
    "SMALLINT": "smallint",
    "INT2": "smallint",
    "MEDIUMINT": "mediumint",
    "INT3": "mediumint",
    "MIDDLEINT": "mediumint",
    "INT": "int",
    "INTEGER": "int",
    "INT4": "int",
    "BIGINT": "bigint",
    "INT8": "bigint",
}
_DECIMALS = frozenset({"DECIMAL", "DEC", "NUMERIC", "FIXED"})
_FLOATS = frozenset({"FLOAT", "FLOAT4", "DOUBLE", "FLOAT8", "REAL"})
_BARE = frozenset({"DATE", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "INET4", "INET6", "UUID"})
_CLOCKS = frozenset({"TIME", "DATETIME", "TIMESTAMP"})
_TEXTS = frozenset({"TINYTEXT", "MEDIUMTEXT", "LONGTEXT"})
_GEOMETRIES = frozenset(
    {"GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON"}
)
_COLLECTIONS = frozenset({"GEOMETRYCOLLECTION", "GEOMCOLLECTION"})
_CHARACTERS = frozenset({"CHAR", "CHARACTER", "VARCHAR", "VARCHARACTER"})
_NATIONAL = frozenset({"NCHAR", "NVARCHAR", "NATIONAL"})
_SIGNS = frozenset({"UNSIGNED", "SIGNED", "ZEROFILL"})
_BLOB_SIZES = ((1 << 8, "tinyblob"), (1 << 16, "blob"), (1 << 24, "mediumblob"))


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A type before its attributes. `sized_text` is the n of TEXT(n), whose real type depends on the
    character set.
    """

    column_type: str
    has_characters: bool = False
    charset: str | None = None
    collation: str | None = None
    labels: tuple[str, ...] = ()
    is_json: bool = False
    is_serial: bool = False
    sized_text: int | None = None


def parse_type(cursor: TokenCursor) -> TypeSpec:
    """Take a data type, signs included; character sets are attributes of the column."""
    if cursor.context.flavour == "mariadb" and cursor.context.sql_mode & ORACLE:
        raise NotUnderstood("types mean something else in the sql_mode ORACLE")
    token = cursor.take()
    word = token.upper
    if not word:
        raise NotUnderstood("a type was expected")
    if word in _INTEGERS:
        _size(cursor)
        return TypeSpec(_INTEGERS[word] + _sign(cursor))
    for words, parse in _GROUPS:
        if word in words:
            return parse(cursor, word)
    single = _SINGLE.get(word)
    if single is None:
        raise NotUnderstood(f"{token.text!r} is not a known type")
    return single(cursor, word)


def _decimal(cursor: TokenCursor, _word: str) -> TypeSpec:
    size = _size(cursor)
    precision = size[0] if size and size[0] else 10
    scale = size[1] if len(size) > 1 else 0
    return TypeSpec(f"decimal({precision},{scale})" + _sign(cursor))


def _float(cursor: TokenCursor, word: str) -> TypeSpec:
    if word == "DOUBLE":
        cursor.accept("PRECISION")
    size = _size(cursor)
    single = word in {"FLOAT", "FLOAT4"} or (word == "REAL" and bool(cursor.context.sql_mode & REAL_AS_FLOAT))
    if word == "FLOAT" and len(size) == 1 and size[0] > 24:
        single = False
    return TypeSpec(("float" if single else "double") + _sign(cursor))


def _bare(cursor: TokenCursor, word: str) -> TypeSpec:
    return TypeSpec(word.lower())


def _clock(cursor: TokenCursor, word: str) -> TypeSpec:
    return TypeSpec(word.lower() + _in_parentheses(_size(cursor), without=0))


def _year(cursor: TokenCursor, _word: str) -> TypeSpec:
    size = _size(cursor)
    _sign(cursor)
    return TypeSpec(YEAR_OF_TWO_DIGITS if size == [2] else "year")


def _bit(cursor: TokenCursor, _word: str) -> TypeSpec:
    size = _size(cursor)
    return TypeSpec(f"bit({size[0] if size else 1})")


def _bytes(cursor: TokenCursor, word: str) -> TypeSpec:
    size = _size(cursor)
    return TypeSpec(f"{word.lower()}({size[0] if size else 1})")


def _blob(cursor: TokenCursor, _word: str) -> TypeSpec:
    size = _size(cursor)
    if not size:
        return TypeSpec("blob")
    return TypeSpec(next((name for limit, name in _BLOB_SIZES if size[0] < limit), "longblob"))


def _text(cursor: TokenCursor, word: str) -> TypeSpec:
    if word != "TEXT":
        return TypeSpec(word.lower(), has_characters=True)
    size = _size(cursor)
    return TypeSpec("text", has_characters=True, sized_text=size[0] if size else None)


def _character(cursor: TokenCursor, word: str) -> TypeSpec:
    varies = word.startswith("VAR")
    if cursor.accept("VARYING"):
        varies = True
    return _sized(cursor, varies=varies)


def _national(cursor: TokenCursor, word: str) -> TypeSpec:
    varies = word == "NVARCHAR"
    if word == "NATIONAL":
        inner = cursor.accept_any(_CHARACTERS)
        if not inner:
            raise NotUnderstood("NATIONAL must precede CHAR or VARCHAR")
        varies = inner.startswith("VAR")
    else:
        varies = bool(cursor.accept_any({"VARCHAR", "VARCHARACTER"})) or varies
    if cursor.accept("VARYING"):
        varies = True
    return _sized(cursor, varies=varies, charset=NATIONAL_CHARSET)


def _sized(cursor: TokenCursor, *, varies: bool, charset: str | None = None) -> TypeSpec:
    size = _size(cursor)
    name = "varchar" if varies else "char"
    return TypeSpec(f"{name}({size[0] if size else 1})", has_characters=True, charset=charset)


def _long(cursor: TokenCursor, _word: str) -> TypeSpec:
    if cursor.accept("VARBINARY"):
        return TypeSpec("mediumblob")
    if cursor.accept_any({"CHAR", "CHARACTER"}):
        cursor.expect("VARYING")
    else:
        cursor.accept_any({"VARCHAR", "VARCHARACTER"})
    return TypeSpec("mediumtext", has_characters=True)


def _labelled(cursor: TokenCursor, word: str) -> TypeSpec:
    cursor.expect_symbol("(")
    labels = [_label(cursor)]
    while cursor.accept_symbol(","):
        labels.append(_label(cursor))
    cursor.expect_symbol(")")
    # The server removes trailing spaces, and takes a label apart from nothing else.
    kept = tuple(label.rstrip(" ") for label in labels)
    return TypeSpec(label_type(word.lower(), kept), has_characters=True, labels=kept)


def _label(cursor: TokenCursor) -> str:
    if cursor.peek().kind == WORD and cursor.peek().upper == "N" and cursor.peek(1).kind == STRING:
        cursor.take()
    if cursor.peek().kind == BYTES:
        raise NotUnderstood("a label is given as bytes")
    return cursor.text()


def _json(cursor: TokenCursor, _word: str) -> TypeSpec:
    if cursor.context.flavour != "mariadb":
        return TypeSpec("json")
    return TypeSpec(
        "longtext", has_characters=True, charset=JSON_CHARSET, collation=JSON_COLLATION, is_json=True
    )


def _collection(cursor: TokenCursor, _word: str) -> TypeSpec:
    return TypeSpec("geometrycollection")


def _vector(cursor: TokenCursor, _word: str) -> TypeSpec:
    size = _size(cursor)
    return TypeSpec(f"vector({size[0] if size else DEFAULT_DIMENSION})")


def _serial(_cursor: TokenCursor, _word: str) -> TypeSpec:
    return TypeSpec("bigint unsigned", is_serial=True)


_GROUPS: tuple[tuple[frozenset[str], Callable[[TokenCursor, str], TypeSpec]], ...] = (
    (_DECIMALS, _decimal),
    (_FLOATS, _float),
    (_BARE | _GEOMETRIES, _bare),
    (_CLOCKS, _clock),
    (_TEXTS | {"TEXT"}, _text),
    (_CHARACTERS, _character),
    (_NATIONAL, _national),
    (_COLLECTIONS, _collection),
    (frozenset({"BINARY", "VARBINARY"}), _bytes),
    (frozenset({"ENUM", "SET"}), _labelled),
)
_SINGLE: dict[str, Callable[[TokenCursor, str], TypeSpec]] = {
    "YEAR": _year,
    "BIT": _bit,
    "BLOB": _blob,
    "LONG": _long,
    "JSON": _json,
    "VECTOR": _vector,
    "SERIAL": _serial,
}


def _size(cursor: TokenCursor) -> list[int]:
    """`(n)` or `(n, m)`; [] without."""
    if not cursor.sees_symbol("("):
        return []
    cursor.expect_symbol("(")
    if cursor.accept_symbol(")"):
        return []
    size = [cursor.number()]
    while cursor.accept_symbol(","):
        size.append(cursor.number())
    cursor.expect_symbol(")")
    return size


def _in_parentheses(size: list[int], *, without: int) -> str:
    return f"({size[0]})" if size and size[0] != without else ""


def _sign(cursor: TokenCursor) -> str:
    words = set()
    while word := cursor.accept_any(_SIGNS):
        words.add(word)
    return " unsigned" if words & {"UNSIGNED", "ZEROFILL"} else ""
