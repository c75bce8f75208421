"""Network addresses as text, exactly as the server renders them."""

from __future__ import annotations

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor

# The server's own numbers of the families (PGSQL_AF_INET, PGSQL_AF_INET6) with the length of their addresses.
_ADDRESS_BYTES = {2: 4, 3: 16}


def inet_text(data: bytes) -> str:
    return _network(data, is_cidr=False)


def cidr_text(data: bytes) -> str:
    return _network(data, is_cidr=True)


def _network(data: bytes, *, is_cidr: bool) -> str:
    cursor = BigEndianCursor(data)
    family, bits, _, count = (cursor.u8() for _ in range(4))
    if _ADDRESS_BYTES.get(family) != count or bits > count * 8:
        message = f"an address of family {family} with {count} bytes and {bits} bits"
        raise DecodeError(message)
    address = cursor.take(count)
    cursor.finish()
    text = ".".join(map(str, address)) if count == 4 else _ipv6(address)
    return f"{text}/{bits}" if is_cidr or bits != count * 8 else text


def _ipv6(address: bytes) -> str:
    words = [int.from_bytes(address[i : i + 2]) for i in range(0, 16, 2)]
    start, length = _longest_zeros(words)
    if start == 0 and _embeds_ipv4(words, length):
        head = "::" if length >= 6 else "::ffff:"
        return head + ".".join(map(str, address[12:]))
    hexed = [f"{word:x}" for word in words]
    if length < 2:
        return ":".join(hexed)
    return f"{':'.join(hexed[:start])}::{':'.join(hexed[start + length :])}"


def _embeds_ipv4(words: list[int], zeros: int) -> bool:
    return zeros == 6 or (zeros == 5 and words[5] == 0xFFFF)


def _longest_zeros(words: list[int]) -> tuple[int, int]:
    best_start, best_length = -1, 0
    start = 0
    for i, word in enumerate([*words, 1]):
        if word == 0:
            continue
        if i - start > best_length:
            best_start, best_length = start, i - start
        start = i + 1
    return best_start, best_length


def macaddr_text(data: bytes) -> str:
    return _octets(data, 6)


def macaddr8_text(data: bytes) -> str:
    return _octets(data, 8)


def _octets(data: bytes, count: int) -> str:
    if len(data) != count:
        message = f"a MAC address of {len(data)} bytes"
        raise DecodeError(message)
    return data.hex(":")
