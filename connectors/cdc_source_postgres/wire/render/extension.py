"""Types of widespread extensions, and of the server's inner life, as text exactly as the server renders
them.
"""

from __future__ import annotations

import struct

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor
from cdc_source_postgres.wire.render.floats import float4_text


def hstore_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    count = cursor.i32()
    # A pair has at least two lengths.
    if count < 0 or count * 8 > cursor.left:
        message = f"an hstore of {count} pairs in {cursor.left} bytes"
        raise DecodeError(message)
    pairs = [_pair(cursor) for _ in range(count)]
    cursor.finish()
    return ", ".join(pairs)


def _pair(cursor: BigEndianCursor) -> str:
    key = cursor.text(cursor.i32())
    length = cursor.i32()
    value = "NULL" if length == -1 else _escaped(cursor.text(length))
    return f"{_escaped(key)}=>{value}"


def _escaped(text: str) -> str:
    doubled = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{doubled}"'


def vector_text(data: bytes) -> str:
    return _array(data, "f", 4)


def halfvec_text(data: bytes) -> str:
    return _array(data, "e", 2)


def _array(data: bytes, code: str, width: int) -> str:
    cursor = BigEndianCursor(data)
    count, _ = cursor.u16(), cursor.u16()
    values = struct.unpack(f">{count}{code}", cursor.take(count * width))
    cursor.finish()
    return f"[{','.join(map(float4_text, values))}]"


def sparsevec_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    dimensions, count, _ = cursor.i32(), cursor.i32(), cursor.i32()
    indices = struct.unpack(f">{count}i", cursor.take(count * 4)) if count > 0 else ()
    values = struct.unpack(f">{count}f", cursor.take(count * 4)) if count > 0 else ()
    cursor.finish()
    pairs = (f"{i + 1}:{float4_text(v)}" for i, v in zip(indices, values, strict=True))
    return f"{{{','.join(pairs)}}}/{dimensions}"


def pg_lsn_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    high, low = cursor.u32(), cursor.u32()
    cursor.finish()
    return f"{high:X}/{low:X}"


def tid_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    block, offset = cursor.u32(), cursor.u16()
    cursor.finish()
    return f"({block},{offset})"


def snapshot_text(data: bytes) -> str:
    cursor = BigEndianCursor(data)
    count, low, high = cursor.i32(), cursor.u64(), cursor.u64()
    if count * 8 != cursor.left:
        message = f"a snapshot of {count} transactions in {cursor.left} bytes"
        raise DecodeError(message)
    running = ",".join(str(cursor.u64()) for _ in range(count))
    return f"{low}:{high}:{running}"
