"""A column as CREATE TABLE and ALTER TABLE define it: type, character set, default and attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cdc_source_mysql.schema.charsets import MAX_BYTES
from cdc_source_mysql.schema.column_types import YEAR_OF_TWO_DIGITS, label_type
from cdc_source_mysql.schema.ddl.changes import ColumnPlace, ColumnSpec, Default
from cdc_source_mysql.schema.ddl.tokens import (
    BYTE_TEXT,
    BYTES,
    NUMBER,
    ORACLE,
    REAL_AS_FLOAT,
    STRING,
    WORD,
    NotUnderstood,
    TokenCursor,
)

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
    rounds: bool = False


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
    return TypeSpec(("float" if single else "double") + _sign(cursor), rounds=len(size) > 1)


def _bare(cursor: TokenCursor, word: str) -> TypeSpec:
    return TypeSpec(word.lower())


def _clock(cursor: TokenCursor, word: str) -> TypeSpec:
    return TypeSpec(word.lower() + _size_text(_size(cursor), without=0))


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
    if cursor.peek().kind in (BYTES, BYTE_TEXT):
        raise NotUnderstood("a label is given as bytes")
    label = cursor.text()
    if not cursor.context.shows(label):
        raise NotUnderstood("character_set_connection may lack a character of a label")
    return label


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


def _size_text(size: list[int], *, without: int) -> str:
    return f"({size[0]})" if size and size[0] != without else ""


def _sign(cursor: TokenCursor) -> str:
    words = set()
    while word := cursor.accept_any(_SIGNS):
        words.add(word)
    return " unsigned" if words & {"UNSIGNED", "ZEROFILL"} else ""


_BINARY_TYPES = {
    "char": "binary",
    "varchar": "varbinary",
    "tinytext": "tinyblob",
    "text": "blob",
    "mediumtext": "mediumblob",
    "longtext": "longblob",
}
_OTHER_NAMES = {"utf8": "utf8mb3"}
# Attributes with one operand that changes nothing for us; MySQL writes some with `=`.
_OPERAND = frozenset(
    {"COMMENT", "COLUMN_FORMAT", "STORAGE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE"}
)
_TIMES = frozenset({"NOW", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"})
_REFERENCE_ACTIONS = frozenset({"RESTRICT", "CASCADE", "SET", "NO"})
_TEXT_SIZES = ((1 << 8, "tinytext"), (1 << 16, "text"), (1 << 24, "mediumtext"))


@dataclass(slots=True)
class _Draft:
    type: TypeSpec
    charset: str | None = None
    collation: str | None = None
    is_binary_collated: bool = False
    nullable: bool | None = None
    default: Default | None = None
    flags: set[str] = field(default_factory=set)
    srid: int | None = None


def parse_column(cursor: TokenCursor, name: str) -> ColumnSpec:
    """Take everything that follows the name of a column, up to FIRST, AFTER, a comma or the end."""
    draft = _Draft(parse_type(cursor))
    if draft.type.is_serial:
        draft.nullable = False
        draft.flags |= {"auto_increment", "unique"}
    while not _at_end(cursor):
        _attribute(cursor, draft)
    return _spec(cursor, name, draft)


def parse_place(cursor: TokenCursor) -> ColumnPlace | None:
    if cursor.accept("FIRST"):
        return ColumnPlace()
    if cursor.accept("AFTER"):
        return ColumnPlace(cursor.column())
    return None


def parse_default(cursor: TokenCursor) -> Default:
    """Parse the value after DEFAULT."""
    if cursor.sees_symbol("("):
        return _in_parentheses(cursor)
    negative = False
    while cursor.sees_symbol("-") or cursor.sees_symbol("+"):
        negative ^= cursor.take().text == "-"
    token = cursor.take()
    if token.kind == NUMBER:
        return Default("number", f"-{token.text}" if negative else token.text)
    if negative:
        raise NotUnderstood(f"a number was expected {cursor.here()}")
    if token.kind == STRING:
        text = token.text + _more_strings(cursor)
        return Default("text", text) if cursor.context.shows(text) else Default("expression")
    if token.kind == BYTES:
        return Default("bytes", token.text)
    if token.kind == BYTE_TEXT:
        return Default("expression")
    return _word_default(cursor, token.upper)


def charset_name(cursor: TokenCursor) -> str:
    """A character set's name after CHARACTER SET [=]; canonical."""
    cursor.accept_symbol("=")
    token = cursor.take()
    if token.kind not in {WORD, STRING, "quoted"}:
        raise NotUnderstood("a character set was expected")
    name = token.text.lower()
    return _OTHER_NAMES.get(name, name)


def collation_name(cursor: TokenCursor) -> str:
    name = charset_name(cursor)
    return "utf8mb3" + name[4:] if name.startswith("utf8_") else name


def charset_of_collation(collation: str) -> str | None:
    """Return the character set that a collation's name contains; None for MariaDB's short uca1400 names."""
    if collation.startswith("uca1400_"):
        return None
    return collation.split("_", 1)[0]


def accept_charset(cursor: TokenCursor) -> bool:
    """Take CHARACTER SET, CHARSET or (MariaDB) CHAR SET."""
    return cursor.accept("CHARACTER", "SET") or cursor.accept("CHARSET") or cursor.accept("CHAR", "SET")


def _at_end(cursor: TokenCursor) -> bool:
    if cursor.at_end or cursor.sees_symbol(",") or cursor.sees_symbol(")"):
        return True
    return cursor.sees_any({"FIRST", "AFTER"})


def _in_parentheses(cursor: TokenCursor) -> Default:
    """An expression, unless a literal is between the parentheses."""
    negative = cursor.sees_symbol("-", 1)
    token = cursor.peek(2 if negative else 1)
    if cursor.sees_symbol(")", 3 if negative else 2) and cursor.context.flavour == "mariadb":
        cursor.expect_symbol("(")
        found = parse_default(cursor)
        cursor.expect_symbol(")")
        return found
    if token.upper == "NULL" and cursor.sees_symbol(")", 2):
        cursor.skip_parentheses()
        return Default("null")
    cursor.skip_parentheses()
    return Default("expression")


def _more_strings(cursor: TokenCursor) -> str:
    """Adjacent strings are one."""
    text = ""
    while cursor.peek().kind == STRING:
        text += cursor.text()
    return text


def _word_default(cursor: TokenCursor, word: str) -> Default:
    following = cursor.peek().kind
    if word == "NULL":
        return Default("null")
    if word in {"TRUE", "FALSE"}:
        return Default("number", "1" if word == "TRUE" else "0")
    if following == STRING and (word == "N" or word.startswith("_")):
        # The bytes are of the named character set (of N: utf8mb3), but are decoded as the client's.
        text = cursor.text() + _more_strings(cursor)
        return Default("text", text) if text.isascii() else Default("expression")
    if following in (BYTES, BYTE_TEXT) and word.startswith("_"):
        cursor.take()
        return Default("expression")
    if not word:
        raise NotUnderstood("a default was expected")
    return _expression(cursor)


def _expression(cursor: TokenCursor) -> Default:
    """A function call, or MariaDB's expression without parentheses; ends where an attribute may follow."""
    if cursor.sees_symbol("("):
        cursor.skip_parentheses()
    operators = frozenset("+-*/%|&^.")
    while cursor.peek().kind == "symbol" and cursor.peek().text in operators:
        cursor.take()
        cursor.take()
        if cursor.sees_symbol("("):
            cursor.skip_parentheses()
    return Default("expression")


def _attribute(cursor: TokenCursor, draft: _Draft) -> None:
    if _characters(cursor, draft) or _flag(cursor, draft):
        return
    word = cursor.peek().upper
    rule = _RULES.get(word)
    if rule is not None:
        cursor.take()
        rule(cursor, draft)
    elif cursor.sees_symbol("=", 1):
        # An attribute of MariaDB's storage engines.
        cursor.take()
        cursor.take()
        cursor.take()
    else:
        raise NotUnderstood(f"an attribute of a column was expected {cursor.here()}")


def _characters(cursor: TokenCursor, draft: _Draft) -> bool:
    if accept_charset(cursor):
        draft.charset = charset_name(cursor)
    elif cursor.accept("COLLATE"):
        draft.collation = collation_name(cursor)
    elif cursor.accept("ASCII"):
        draft.charset = "latin1"
    elif cursor.accept("UNICODE"):
        draft.charset = "ucs2"
    elif cursor.accept("BYTE"):
        draft.charset = "binary"
    elif cursor.accept("BINARY"):
        draft.is_binary_collated = True
    else:
        return False
    return True


_FLAGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("NOT", "NULL"), "not_null"),
    (("NULL",), "null"),
    (("AUTO_INCREMENT",), "auto_increment"),
    (("UNIQUE", "KEY"), "unique"),
    (("UNIQUE",), "unique"),
    (("PRIMARY", "KEY"), "primary"),
    (("PRIMARY",), "primary"),
    (("KEY",), "primary"),
    (("VISIBLE",), "visible"),
    (("INVISIBLE",), "invisible"),
    (("NOT", "SECONDARY"), ""),
    (("NOT", "ENFORCED"), ""),
    (("ENFORCED",), ""),
    (("VIRTUAL",), ""),
    (("STORED",), ""),
    (("PERSISTENT",), ""),
    (("WITHOUT", "SYSTEM", "VERSIONING"), ""),
    (("GENERATED", "ALWAYS"), ""),
    (("SERIAL", "DEFAULT", "VALUE"), "serial"),
)


def _flag(cursor: TokenCursor, draft: _Draft) -> bool:
    for words, flag in _FLAGS:
        if cursor.accept(*words):
            if flag in {"not_null", "null"}:
                draft.nullable = flag == "null"
            elif flag == "serial":
                draft.nullable = False
                draft.flags |= {"auto_increment", "unique"}
            else:
                draft.flags.add(flag)
            return True
    return False


def _default(cursor: TokenCursor, draft: _Draft) -> None:
    draft.default = parse_default(cursor)


def _operand(cursor: TokenCursor, draft: _Draft) -> None:
    cursor.accept_symbol("=")
    cursor.take()


def _on_update(cursor: TokenCursor, draft: _Draft) -> None:
    cursor.expect("UPDATE")
    if not cursor.accept_any(_TIMES):
        raise NotUnderstood(f"a time was expected {cursor.here()}")
    if cursor.sees_symbol("("):
        cursor.skip_parentheses()
    draft.flags.add("on_update")


def _compressed(cursor: TokenCursor, draft: _Draft) -> None:
    draft.flags.add("compressed")
    if cursor.accept_symbol("="):
        cursor.take()


def _srid(cursor: TokenCursor, draft: _Draft) -> None:
    cursor.accept_symbol("=")
    draft.srid = cursor.number()


def _as(cursor: TokenCursor, draft: _Draft) -> None:
    if cursor.accept("ROW", "START"):
        draft.flags.add("row_start")
    elif cursor.accept("ROW", "END"):
        draft.flags.add("row_end")
    else:
        cursor.skip_parentheses()
        draft.flags.add("generated")


def _check(cursor: TokenCursor, draft: _Draft) -> None:
    # MariaDB's JSON is a longtext with this check.
    if cursor.peek(1).upper == "JSON_VALID" and cursor.sees_symbol(")", 4) and cursor.sees_symbol(")", 5):
        draft.flags.add("json")
    cursor.skip_parentheses()


def _constraint(cursor: TokenCursor, draft: _Draft) -> None:
    if not cursor.sees("CHECK"):
        cursor.name()
    cursor.expect("CHECK")
    _check(cursor, draft)


def _references(cursor: TokenCursor, draft: _Draft) -> None:
    cursor.table()
    if cursor.sees_symbol("("):
        cursor.skip_parentheses()
    if cursor.accept("MATCH"):
        cursor.take()
    while cursor.sees("ON", "DELETE") or cursor.sees("ON", "UPDATE"):
        cursor.take()
        cursor.take()
        word = cursor.accept_any(_REFERENCE_ACTIONS)
        if word in {"SET", "NO"}:
            cursor.take()


_RULES: dict[str, Callable[[TokenCursor, _Draft], None]] = {
    "DEFAULT": _default,
    "ON": _on_update,
    "COMPRESSED": _compressed,
    "SRID": _srid,
    "REF_SYSTEM_ID": _operand,
    "AS": _as,
    "CHECK": _check,
    "CONSTRAINT": _constraint,
    "REFERENCES": _references,
    **dict.fromkeys(_OPERAND, _operand),
}


def _spec(cursor: TokenCursor, name: str, draft: _Draft) -> ColumnSpec:
    charset, collation = _character_set(draft)
    column_type, has_characters = draft.type.column_type, draft.type.has_characters
    base = column_type.split("(")[0]
    if charset == "binary" and has_characters and base in _BINARY_TYPES:
        column_type = _BINARY_TYPES[base] + column_type[len(base) :]
    if charset == "binary":
        charset, collation, has_characters = None, None, False
    if draft.type.sized_text is not None:
        column_type = _sized_text(draft.type.sized_text, charset, is_bytes=not has_characters)
    flags = draft.flags
    nullable, is_sure = _nullable(cursor, draft)
    return ColumnSpec(
        name=name,
        column_type=column_type,
        charset=charset,
        collation=collation,
        nullable=nullable,
        is_sure=is_sure,
        generated=bool(flags & {"generated", "row_start", "row_end"}),
        invisible="invisible" in flags,
        labels=draft.type.labels,
        default=draft.default,
        is_json=draft.type.is_json or ("json" in flags and column_type == "longtext"),
        compressed="compressed" in flags,
        srid=draft.srid,
        primary="primary" in flags,
        unique="unique" in flags,
        auto_increment="auto_increment" in flags,
        has_characters=has_characters,
        on_update="on_update" in flags,
        period=next((flag for flag in ("row_start", "row_end") if flag in flags), ""),
        rounds=draft.type.rounds,
    )


def _character_set(draft: _Draft) -> tuple[str | None, str | None]:
    if not draft.type.has_characters:
        return None, None
    charset = draft.charset or draft.type.charset
    collation = draft.collation or (draft.type.collation if draft.charset is None else None)
    if collation is not None:
        charset = charset_of_collation(collation) or charset
    elif draft.is_binary_collated:
        if charset is None:
            raise NotUnderstood("BINARY without a character set depends on the table's")
        collation = f"{charset}_bin"
    if charset is not None and collation is not None and collation.startswith("uca1400_"):
        collation = f"{charset}_{collation}"
    return charset, collation


def _nullable(cursor: TokenCursor, draft: _Draft) -> tuple[bool | None, bool]:
    """Return whether NULL is allowed, and whether that is sure: an old TIMESTAMP is NOT NULL unless it says
    NULL.
    """
    if draft.nullable is not None:
        return draft.nullable, True
    if draft.flags & {"auto_increment", "primary", "row_start", "row_end"}:
        return False, True
    is_timestamp = draft.type.column_type.startswith("timestamp")
    if not is_timestamp or "generated" in draft.flags or cursor.context.session.explicit_timestamps:
        return None, True
    return (False, True) if cursor.context.session.explicit_timestamps is False else (None, False)


def _sized_text(size: int, charset: str | None, *, is_bytes: bool) -> str:
    """TEXT(n) is the smallest type that holds n of the character set's longest characters."""
    if charset is None and not is_bytes:
        raise NotUnderstood("TEXT(n) depends on the table's character set")
    width = MAX_BYTES.get(charset or "", 1)
    name = next((name for limit, name in _TEXT_SIZES if size * width < limit), "longtext")
    return _BINARY_TYPES[name] if is_bytes else name
