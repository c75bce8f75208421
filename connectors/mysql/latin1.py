"""MySQL's latin1: Windows' code page 1252, with the C1 controls where that has nothing."""

from __future__ import annotations

# The five bytes that cp1252 leaves undefined are the controls of the same number.
_CONTROLS = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
LATIN1 = tuple(chr(code) if code in _CONTROLS else bytes([code]).decode("cp1252") for code in range(256))


def decode_latin1(data: bytes) -> str:
    return "".join(LATIN1[code] for code in data)
