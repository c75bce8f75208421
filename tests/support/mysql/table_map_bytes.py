"""Builds TABLE_MAP bodies by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def lenenc(value: int) -> bytes:
    if value < 0xFB:
        return bytes([value])
    if value < 1 << 16:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 1 << 24:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(data: bytes) -> bytes:
    return lenenc(len(data)) + data


def field(kind: int, data: bytes) -> bytes:
    """One field of optional metadata."""
    return bytes([kind]) + lenenc_bytes(data)


def table_map_body(
    columns: Sequence[tuple[int, bytes]],
    fields: Mapping[int, bytes] | None = None,
    *,
    nullable: bytes | None = None,
    schema: bytes = b"shop",
    name: bytes = b"orders",
    table_id: int = 77,
) -> bytes:
    """`columns` are (type code, its metadata bytes); `fields` the optional metadata by kind."""
    types = bytes(code for code, _ in columns)
    metadata = b"".join(meta for _, meta in columns)
    bitmap = bytes(-(-len(columns) // 8)) if nullable is None else nullable
    return b"".join(
        [
            table_id.to_bytes(6, "little"),
            b"\x01\x00",
            bytes([len(schema)]) + schema + b"\0",
            bytes([len(name)]) + name + b"\0",
            lenenc(len(types)) + types,
            lenenc_bytes(metadata),
            bitmap,
            *(field(kind, data) for kind, data in (fields or {}).items()),
        ]
    )
