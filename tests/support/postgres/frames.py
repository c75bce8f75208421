"""Builds pgoutput messages and COPY BINARY data byte by byte, as the documentation of the protocol gives
them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from cdc_source_postgres.schema.type_catalog import TypeCatalog
from cdc_source_postgres.schema.type_plan import ColumnPlan, plan_column
from cdc_source_postgres.wire.codes import COPY_SIGNATURE

UNCHANGED = object()


class Text(bytes):
    """A value in text form; plain bytes are in binary form."""


Value = bytes | None | object


def plans(*types: tuple[int, int, int] | int, policy: str = "error") -> list[ColumnPlan]:
    """Columns c0, c1, … of these types: oids, or (oid, typmod, dimensions)."""
    catalog = TypeCatalog()
    triples = [t if isinstance(t, tuple) else (t, -1, 0) for t in types]
    return [plan_column(f"c{i}", *triple, catalog, policy) for i, triple in enumerate(triples)]


def begin(commit_lsn: int = 100, commit_ts: int = 0, xid: int = 7) -> bytes:
    return struct.pack(">cQqI", b"B", commit_lsn, commit_ts, xid)


def commit(commit_lsn: int = 100, end_lsn: int = 120, commit_ts: int = 0) -> bytes:
    return struct.pack(">cBQQq", b"C", 0, commit_lsn, end_lsn, commit_ts)


def tuple_data(values: Sequence[Value]) -> bytes:
    return struct.pack(">H", len(values)) + b"".join(map(_value, values))


def _value(value: Value) -> bytes:
    if value is None:
        return b"n"
    if value is UNCHANGED:
        return b"u"
    assert isinstance(value, bytes)
    return struct.pack(">ci", b"t" if isinstance(value, Text) else b"b", len(value)) + bytes(value)


def insert(relid: int, values: Sequence[Value]) -> bytes:
    return struct.pack(">cIc", b"I", relid, b"N") + tuple_data(values)


def update(
    relid: int, values: Sequence[Value], old: Sequence[Value] | None = None, kind: bytes = b"K"
) -> bytes:
    image = b"" if old is None else kind + tuple_data(old)
    return struct.pack(">cI", b"U", relid) + image + b"N" + tuple_data(values)


def delete(relid: int, old: Sequence[Value], kind: bytes = b"K") -> bytes:
    return struct.pack(">cIc", b"D", relid, kind) + tuple_data(old)


def xlog(payload: bytes, wal_end: int = 0) -> bytes:
    return struct.pack(">cQQq", b"w", wal_end, wal_end, 0) + payload


def keepalive(wal_end: int, reply: bool = False) -> bytes:
    return struct.pack(">cQqB", b"k", wal_end, 0, reply)


class Connection:
    """A nonblocking connection whose server sends these frames and then nothing, or its end."""

    def __init__(self, frames: Iterable[bytes], *, ended: bool = False) -> None:
        self._frames = iter(list(frames))
        self._at_end = -1 if ended else 0

    def get_copy_data(self, _: int) -> tuple[int, memoryview]:
        frame = next(self._frames, None)
        if frame is None:
            return self._at_end, memoryview(b"")
        return len(frame), memoryview(frame)


def copy_header(extension: bytes = b"", flags: int = 0) -> bytes:
    return COPY_SIGNATURE + struct.pack(">Ii", flags, len(extension)) + extension


def copy_row(values: Sequence[bytes | None]) -> bytes:
    cells = (struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values)
    return struct.pack(">h", len(values)) + b"".join(cells)


COPY_TRAILER = struct.pack(">h", -1)


def numeric(text: str) -> bytes:
    """numeric's binary form, as numeric_send gives it for a finite number."""
    sign, text = (0x4000, text[1:]) if text.startswith("-") else (0, text)
    whole, _, fraction = text.partition(".")
    padded = whole.rjust(-(-len(whole) // 4) * 4, "0") + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = [int(padded[i : i + 4]) for i in range(0, len(padded), 4)]
    weight = -(-len(whole) // 4) - 1
    while digits and digits[0] == 0:
        del digits[0]
        weight -= 1
    while digits and digits[-1] == 0:
        del digits[-1]
    weight = weight if digits else 0
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, len(fraction), *digits)


def array(element_oid: int, shape: Sequence[tuple[int, int]], elements: Sequence[bytes | None]) -> bytes:
    """array_send: `shape` gives (length, lower bound) of every dimension."""
    head = struct.pack(">iiI", len(shape), any(e is None for e in elements), element_oid)
    dimensions = b"".join(struct.pack(">ii", *dimension) for dimension in shape)
    cells = (struct.pack(">i", -1) if e is None else struct.pack(">i", len(e)) + e for e in elements)
    return head + dimensions + b"".join(cells)
