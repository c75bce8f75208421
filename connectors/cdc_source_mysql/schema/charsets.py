"""Character sets of the server: collation ids, and exact conversion of stored bytes to text.

"Exact" means: as the server itself converts to utf8mb4. Python's codecs of nearly the same name differ from
it in places. The tables here list those, measured on MySQL 9.7 and MariaDB 10.11, which agree on every
valid character; the tests compare every character again. Sets without a usable codec are read code by code
(`Walked`). Where the server has no character it sends `?`; here such bytes are undefined (None), because a
question mark would be a silent loss.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from cdc.errors import CdcError, UnsupportedSchema
from cdc.native.columns_python import build_array
from cdc.native.unrepresentable import RowError, UnrepresentablePolicy
from cdc_source_mysql.wire import codes

# What charmap_decode takes for "no such character".
UNDEFINED = "\ufffe"

# Character sets that one of Python's codecs reads exactly as the server does.
SAME: dict[str, str] = {
    "utf16": "utf_16_be",
    "utf16le": "utf_16_le",
    "utf32": "utf_32_be",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "euckr": "cp949",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "cp1257": "cp1257",
    "hp8": "hp_roman8",
    "koi8r": "koi8_r",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "macce": "mac_latin2",
    "macroman": "mac_roman",
}

# One byte a character: the codec, and the bytes that the server reads otherwise.
_ADJUSTED: dict[str, tuple[str, dict[int, str]]] = {
    "latin1": ("cp1252", {code: chr(code) for code in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}),
    "hebrew": ("iso8859_8", {0xAF: "\u203e"}),
    "tis620": ("tis_620", {}),
    "koi8u": ("koi8_u", {0x95: "\u2022"}),
    "greek": ("iso8859_7", {0xA1: "\u02bd", 0xA2: "\u02bc", **dict.fromkeys((0xA4, 0xA5, 0xAA), UNDEFINED)}),
    "cp866": ("cp866", {0xFC: "\u207f", 0xFD: "\u00b2"}),
    "cp1256": (
        "cp1256",
        dict.fromkeys((0x8A, 0x8F, 0x98, 0x9A, 0x9F, 0xAA, 0xC0, 0xFF), UNDEFINED),
    ),
}

_ASCII = "".join(map(chr, range(0x80)))
_C1 = "".join(map(chr, range(0x80, 0xA0)))
_UNDEFINED_MARK = "\ufffd"
_SWE7 = dict(zip("@[\\]^`{|}~\x7f", "ÉÄÖÅÜéäöåü" + UNDEFINED, strict=True))
_FIRST_NOT_ASCII = 0x80
_TWO_BYTES = re.compile(rb"[\x00-\x7f]+|[\x80-\xff].", re.DOTALL)
_EUC = re.compile(rb"[\x00-\x7f]+|\x8f..|[\x80-\xff].", re.DOTALL)
_EUC_ROW = range(0xA1, 0xFF)
# Rows 85 to 94 of both planes are the users' own: a block each of Unicode's private area.
_USER_ROWS = range(0xF5, 0xFF)
_PRIVATE_OF_PLANE = {b"": 0xE000, b"\x8f": 0xE3AC}
# IBM's characters, from 8FF3F3 on (UTF-16 in hex, because editors normalise some of them away).
_IBM = bytes.fromhex(
    "21702171217221732174217521762177217821792160216121622163216421652166216721682169ff07ff02323121162121"
    "70bb4efc50f451ec53075324fa0e548a5759fa0ffa10589e5bec5cf55d53fa115fb760856120654e663b6665fa12f9296801"
    "fa13fa146a6b6ae26df86df27028fa15fa1675017682769efa177930fa18fa19fa1afa1b7ae7fa1cfa1d7da07dd6fa1e8362"
    "fa1f85b0fa20fa218807fa228b7f8cf48d76fa23fa24fa2590defa269115fa27fa289592f9dcfa29973b974d9751fa2afa2b"
    "fa2c999e9ad99b72fa2d9ed1"
).decode("utf_16_be")
_IBM_CODES = [b"\x8f\xf3" + bytes([last]) for last in range(0xF3, 0xFF)] + [
    b"\x8f\xf4" + bytes([last]) for last in _EUC_ROW
]
_BIG5_CHANGES = {
    **{bytes.fromhex(code): "" for code in ("a15a", "a1c3", "a1c5", "a1fe", "a240", "a2cc", "a2ce")},
    **dict(zip((b"\xf9" + bytes([last]) for last in range(0xD6, 0xDD)), "碁銹裏墻恒粧嫺", strict=True)),
}
_EUC_CHANGES = {b"\x8f\xa2\xb7": "\uff5e", b"\x8f\xa2\xc3": "\uffe4"}
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


# Sets with all characters, and with those of the basic plane.
_WHOLE = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_PLANE_0 = frozenset({"utf8mb3", "ucs2"})


def _upper(text: str) -> str:
    return _ASCII + text.replace(_UNDEFINED_MARK, UNDEFINED)


# fmt: off
_OWN: dict[str, str] = {
    "swe7": "".join(_SWE7.get(character, character) for character in _ASCII) + UNDEFINED * 0x80,
    "dec8": _upper(
        _C1 + "\xa0¡¢£�¥�§¤©ª«����°±²³�µ¶·�¹º»¼½�¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ�ÑÒÓÔÕÖŒØÙÚÛÜŸ�ß"
        "àáâãäåæçèéêëìíîï�ñòóôõöœøùúûüÿ��"
    ),
    "armscii8": _upper(
        _C1 + "\xa0❁§։)(»«—.՝,-՟…՜՛՞"
        "ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'"
    ),
    "keybcs2": _upper(
        "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
        "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0"
    ),
    "geostd8": _upper(
        "€�‚�„…†‡�‰�‹�����‘’“”•–—���›����\xa0¡¢£¤¥¦§¨©ª«¬\xad®¯°±²³´µ¶·¸¹º»¼½¾¿"
        "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ�����������������������№��"
    ),
}
# fmt: on
ONE_BYTE = frozenset(_ADJUSTED) | frozenset(_OWN)


def one_byte_table(charset: str) -> str:
    """The 256 characters of a set in ONE_BYTE, for charmap_decode."""
    if charset in _OWN:
        return _OWN[charset]
    codec, changes = _ADJUSTED[charset]
    return "".join(changes.get(code) or decoded(bytes([code]), codec) or UNDEFINED for code in range(0x100))


def decoded(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class Walked:
    """A set read code by code: `codes` splits, `characters` has every code outside ASCII."""

    codes: re.Pattern[bytes]
    characters: dict[bytes, str]

    def decode(self, data: bytes) -> str | None:
        """None for an undefined code, or a torn one."""
        parts = []
        end = 0
        for match in self.codes.finditer(data):
            code = match.group()
            text = code.decode() if code[0] < _FIRST_NOT_ASCII else self.characters.get(code)
            if text is None:
                return None
            parts.append(text)
            end = match.end()
        return "".join(parts) if end == len(data) else None


def walked(charset: str) -> Walked:
    """One of WALKED, with its table built (some milliseconds)."""
    return _WALKED[charset]()


def _big5() -> Walked:
    codes = (bytes([lead, last]) for lead in range(0xA1, 0xFF) for last in range(0x40, 0xFF))
    table = {code: decoded(code, "big5") or "" for code in codes}
    return Walked(_TWO_BYTES, _defined(table | _BIG5_CHANGES))


def _ujis() -> Walked:
    return Walked(_EUC, _defined(_euc() | {b"\xa1\xc0": "\\"} | _user_defined()))


def _eucjpms() -> Walked:
    table = _euc()
    two_bytes = [code for code in table if len(code) == 2 and code[0] in _EUC_ROW]
    table |= {code: decoded(_shifted(code), "cp932") or "" for code in two_bytes}
    table |= dict(zip(_IBM_CODES, _IBM, strict=True))
    return Walked(_EUC, _defined(table | _EUC_CHANGES | _user_defined()))


_WALKED: dict[str, Callable[[], Walked]] = {"big5": _big5, "ujis": _ujis, "eucjpms": _eucjpms}
WALKED = frozenset(_WALKED)


def _defined(table: dict[bytes, str]) -> dict[bytes, str]:
    return {code: text for code, text in table.items() if len(text) == 1}


def _euc() -> dict[bytes, str]:
    return {code: decoded(code, "euc_jp") or "" for code in _euc_codes()}


def _euc_codes() -> Iterator[bytes]:
    """Half-width kana, then both planes without the users' rows."""
    yield from (bytes([0x8E, last]) for last in range(0xA1, 0xE0))
    for lead in range(0xA1, 0xF5):
        for last in _EUC_ROW:
            yield bytes([lead, last])
            yield bytes([0x8F, lead, last])


def _user_defined() -> dict[bytes, str]:
    found = {}
    for plane, first in _PRIVATE_OF_PLANE.items():
        codes = (plane + bytes([lead, last]) for lead in _USER_ROWS for last in _EUC_ROW)
        found.update({code: chr(first + number) for number, code in enumerate(codes)})
    return found


def _shifted(code: bytes) -> bytes:
    """The Shift-JIS form of a code of JIS X 0208's grid."""
    row, cell = code[0] - 0xA1, code[1] - 0xA1
    lead = 0x81 + row // 2 if row < 62 else 0xE0 + row // 2 - 31
    last = cell + 0x9F if row % 2 else cell + 0x40 + (cell >= 63)
    return bytes([lead, last])


@dataclass(frozen=True, slots=True)
class Collation:
    """One row of information_schema.COLLATIONS; `max_bytes` is CHARACTER_SETS.MAXLEN."""

    id: int
    name: str
    charset: str
    max_bytes: int


def wire_charset(charset: str) -> str:
    """Return a ColumnPlan's name of a character set: 'utf8' (utf8mb3 and utf8mb4), 'ascii', 'latin1',
    'binary' are read natively; any other name is the server's own (`ucs2`, `gbk`, …) and goes through
    `decode_text`.

    Raises:
        UnsupportedSchema: no exact conversion is known.
    """
    if charset in UTF8:
        return "utf8"
    if charset in NATIVE or is_known(charset):
        return charset
    message = f"no exact conversion of the character set {charset} is known"
    raise UnsupportedSchema(message, remedy="Convert the column to utf8mb4, or exclude the table.")


def is_known(charset: str) -> bool:
    return (
        charset in UTF8
        or charset in NATIVE
        or charset in SAME
        or charset in ONE_BYTE
        or charset in WALKED
        or charset in _SPECIAL
    )


def holds_all(charset: str, other: str) -> bool:
    """Return whether a text of the `other` set is the same text once converted to `charset`; False where that
    is not known, and for bytes.
    """
    if "binary" in (charset, other):
        return False
    return charset in (other, "utf8mb4") or (charset == "utf8mb3" and other in ("ascii", "latin1"))


def holds(charset: str, text: str) -> bool:
    """Return whether the set has every character of the text; False where that is not known."""
    if text.isascii() or charset in _WHOLE:
        return True
    if charset in _PLANE_0:
        return max(text) <= "\uffff"
    if charset in ONE_BYTE:
        return set(text) <= set(_table(charset))
    try:
        return charset in SAME and decode_text(text.encode(SAME[charset]), charset) == text
    except UnicodeEncodeError:
        return False


def decode_text(data: bytes, charset: str) -> str | None:
    """The text of bytes stored in `charset` (the server's name, or one of ColumnPlan.charset's); None when
    the bytes have no counterpart. KeyError for a set that `is_known` denies.
    """
    if charset in WALKED:
        return _walked(charset).decode(data)
    try:
        if charset in ONE_BYTE:
            return codecs.charmap_decode(data, "strict", _table(charset))[0]
        if charset in UTF8 or charset == "binary":
            return data.decode("utf-8")
        if charset == "ascii" or charset in SAME:
            return data.decode(SAME.get(charset, charset))
        return _SPECIAL_DECODERS[charset](data)
    except UnicodeDecodeError:
        return None


@cache
def _table(charset: str) -> str:
    return one_byte_table(charset)


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


def convert_texts(stored: pa.Array, charset: str, arrow: Any, policy: UnrepresentablePolicy) -> pa.Array:
    """Return `stored` (binary) as text, each distinct value converted once: for the character sets that the
    decoders do not read themselves.

    Raises:
        RowError: a value has no text and the policy is not lenient.
    """
    encoded = stored.dictionary_encode()
    texts = [decode_text(data, charset) for data in encoded.dictionary.to_pylist()]
    undefined = {index for index, text in enumerate(texts) if text is None}
    if undefined:
        _refuse(encoded.indices, undefined, policy)
    return build_array(arrow, texts).take(encoded.indices)


def _refuse(indices: pa.Array, undefined: set[int], policy: UnrepresentablePolicy) -> None:
    rows = [row for row, index in enumerate(indices.to_pylist()) if index is not None and index in undefined]
    for row in rows:
        try:
            policy.refuse(codes.UNDEFINED_BYTES)
        except CdcError as error:
            raise RowError(row, error) from error
