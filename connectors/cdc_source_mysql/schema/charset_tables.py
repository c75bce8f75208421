"""How the server's character sets differ from Python's codecs of nearly the same name.

Measured on MySQL 9.7 and MariaDB 10.11, which agree on every valid character; the tests measure again.
"""

from __future__ import annotations

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


def _upper(text: str) -> str:
    return _ASCII + text.replace(_UNDEFINED_MARK, UNDEFINED)


_SWE7 = dict(zip("@[\\]^`{|}~\x7f", "ÉÄÖÅÜéäöåü" + UNDEFINED, strict=True))
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
