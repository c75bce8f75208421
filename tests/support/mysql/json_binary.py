"""Writes MySQL's binary JSON: only the small containers, which is enough to damage and to diff."""

from __future__ import annotations

import struct
from typing import Any

_OBJECT, _ARRAY, _LITERAL, _INT64, _UINT64, _DOUBLE, _STRING = 0, 2, 4, 9, 10, 11, 12
_LITERALS = {None: 0, True: 1, False: 2}
# Behind this, offsets don't fit the small form.
_MAX_BODY_BYTES = 60_000


def encode(value: Any) -> bytes:
    """The document; long ones are cut to what the small form holds."""
    kind, body = _encoded(value)
    return bytes([kind]) + body


def _encoded(value: Any) -> tuple[int, bytes]:
    if value is None or isinstance(value, bool):
        return _LITERAL, bytes([_LITERALS[value]])
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return _INT64, struct.pack("<q", value)
        if 0 <= value < 2**64:
            return _UINT64, struct.pack("<Q", value)
        value = float(value)
    if isinstance(value, float):
        return _DOUBLE, struct.pack("<d", value)
    if isinstance(value, str):
        data = value.encode()
        return _STRING, _varint(len(data)) + data
    if isinstance(value, list):
        return _ARRAY, _container([], value)
    members = sorted(((key.encode(), item) for key, item in value.items()), key=lambda m: (len(m[0]), m[0]))
    return _OBJECT, _container([key for key, _ in members], [item for _, item in members])


def _container(keys: list[bytes], items: list[Any]) -> bytes:
    at = 4 + 4 * len(keys) + 3 * len(items)
    key_entries, value_entries, tail = b"", b"", b""
    for key in keys:
        key_entries += struct.pack("<HH", at + len(tail), len(key))
        tail += key
    for item in items:
        kind, body = _encoded(item)
        if kind == _LITERAL or at + len(tail) + len(body) > _MAX_BODY_BYTES:
            value_entries += struct.pack("<BH", _LITERAL, body[0] if kind == _LITERAL else 0)
        else:
            value_entries += struct.pack("<BH", kind, at + len(tail))
            tail += body
    body = key_entries + value_entries + tail
    return struct.pack("<HH", len(items), 4 + len(body)) + body


def _varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
