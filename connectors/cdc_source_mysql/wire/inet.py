"""MariaDB's INET4 and INET6 as it writes them; the compiled twin is in `special.pyx`."""

from __future__ import annotations

_WORDS = 8
_IPV4_WORDS = 2


def inet4_text(data: bytes) -> str:
    return ".".join(map(str, data))


def inet6_text(data: bytes) -> str:
    """The first longest run of zeros is `::`, even if it is one; IPv4 within has dots."""
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    gap, length = _longest_zeros(words)
    if length == 0:
        return _hex(words)
    if gap == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        head = "::" + "".join(f"{word:x}:" for word in words[length : _WORDS - _IPV4_WORDS])
        return head + inet4_text(data[-4:])
    return f"{_hex(words[:gap])}::{_hex(words[gap + length :])}"


def _hex(words: list[int]) -> str:
    return ":".join(f"{word:x}" for word in words)


def _longest_zeros(words: list[int]) -> tuple[int, int]:
    """Where the first longest run of zeros begins, and its length."""
    gap, longest, run = 0, 0, 0
    for index, word in enumerate(words):
        run = 0 if word else run + 1
        if run > longest:
            gap, longest = index + 1 - run, run
    return gap, longest
