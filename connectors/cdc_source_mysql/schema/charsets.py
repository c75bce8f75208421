"""Character sets of the server: collation ids, and exact conversion of stored bytes to text.

"Exact" means: as the server itself converts to utf8mb4. Python's codecs differ from it in places;
`charset_tables` lists those and the tests compare every character with real servers. Where the server has no
character it sends `?`; here such bytes are undefined (None), because a question mark would be a silent loss.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cache

from cdc.errors import UnsupportedSchema
from cdc_source_mysql.schema import charset_tables as tables
from cdc_source_mysql.schema.charset_walks import WALKED, Walked, walked

UTF8 = frozenset({"utf8mb4", "utf8mb3", "utf8"})
# Read natively, under these names.
NATIVE = frozenset({"utf8", "ascii", "latin1", "binary"})
BINARY_COLLATION = 63

# The most bytes a character has, in every server that knows the set.
MAX_BYTES: dict[str, int] = {
    **dict.fromkeys(("utf8mb4", "utf16", "utf16le", "utf32", "gb18030"), 4),
    **dict.fromkeys(("utf8mb3", "utf8", "ujis", "eucjpms"), 3),
    **dict.fromkeys(("big5", "sjis", "euckr", "gb2312", "gbk", "ucs2", "cp932"), 2),
}

# Python reads these single bytes of cp932 as characters; the server has none there.
_NOT_IN_CP932 = frozenset("\x80\uf8f0\uf8f1\uf8f2\uf8f3")
_FULLWIDTH_BACKSLASH = "\uff3c"
# The two characters that the standards of 2000 and 2005 exchange.
_GB18030_2005 = {0x1E3F: 0xE7C7, 0xE7C7: 0x1E3F}
_SURROGATES = range(0xD800, 0xE000)
_SPECIAL = frozenset({"sjis", "cp932", "gb18030", "ucs2", "binary"})


@dataclass(frozen=True, slots=True)
class Collation:
    """One row of information_schema.COLLATIONS; `max_bytes` is CHARACTER_SETS.MAXLEN."""

    id: int
    name: str
    charset: str
    max_bytes: int


def wire_charset(charset: str) -> str:
    """What a ColumnPlan says of a character set: 'utf8' (utf8mb3 and utf8mb4), 'ascii', 'latin1', 'binary'
    are read natively; any other name is the server's own (`ucs2`, `gbk`, …) and goes through `decode_text`.

    Raises:
        UnsupportedSchema: no exact conversion is known.
    """
    if charset in UTF8:
        return "utf8"
    if charset in NATIVE or is_known(charset):
        return charset
    message = f"no exact conversion of the character set {charset} is known"
    raise UnsupportedSchema(message, remedy="Convert the column to utf8mb4, or leave the table out.")


def is_known(charset: str) -> bool:
    return (
        charset in UTF8
        or charset in NATIVE
        or charset in tables.SAME
        or charset in tables.ONE_BYTE
        or charset in WALKED
        or charset in _SPECIAL
    )


def decode_text(data: bytes, charset: str) -> str | None:
    """The text of bytes stored in `charset` (the server's name, or one of ColumnPlan.charset's); None when
    the bytes have no counterpart. KeyError for a set that `is_known` denies.
    """
    if charset in WALKED:
        return _walked(charset).decode(data)
    try:
        if charset in tables.ONE_BYTE:
            return codecs.charmap_decode(data, "strict", _table(charset))[0]
        if charset in UTF8 or charset == "binary":
            return data.decode("utf-8")
        if charset == "ascii" or charset in tables.SAME:
            return data.decode(tables.SAME.get(charset, charset))
        return _SPECIAL_DECODERS[charset](data)
    except UnicodeDecodeError:
        return None


@cache
def _table(charset: str) -> str:
    return tables.one_byte_table(charset)


@cache
def _walked(charset: str) -> Walked:
    return walked(charset)


def _sjis(data: bytes) -> str | None:
    return data.decode("shift_jis").replace(_FULLWIDTH_BACKSLASH, "\\")


def _cp932(data: bytes) -> str | None:
    text = data.decode("cp932")
    return text if _NOT_IN_CP932.isdisjoint(text) else None


def _gb18030(data: bytes) -> str | None:
    return data.decode("gb18030").translate(_GB18030_2005)


def _ucs2(data: bytes) -> str | None:
    """Two bytes a character: what utf16 reads as a pair of surrogates is two undefined characters."""
    if any(data[at] << 8 in _SURROGATES for at in range(0, len(data), 2)):
        return None
    return data.decode("utf_16_be")


_SPECIAL_DECODERS = {"sjis": _sjis, "cp932": _cp932, "gb18030": _gb18030, "ucs2": _ucs2}
