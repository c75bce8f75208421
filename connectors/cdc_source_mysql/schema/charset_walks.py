"""Character sets that are read code by code, because no codec of Python's is the server's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cdc_source_mysql.schema.charset_tables import decoded

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
