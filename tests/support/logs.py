"""Change sets for tests of the log, and what a log says in plain values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from cdc.log import LogView, SegmentedLog
from cdc.log.frame import FRAME_BYTES, PREAMBLE_BYTES, FrameKind
from cdc.log.segment import SegmentReader
from cdc.model import ChangeSet, TableId, TableSchema
from cdc.testing.events import position, table, transaction

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, relation=100)
ITEMS = table("public.items", {"id": pa.int64(), "price": pa.decimal128(10, 2)}, relation=101)


def one(at: int, *ids: int, note: str = "x") -> ChangeSet:
    """One transaction that inserts orders of these ids."""
    return transaction(at, [(ORDERS, "c", {"id": i, "note": note}) for i in ids])[0]


def parts(at: int, count: int, rows: int) -> list[ChangeSet]:
    """One transaction in `count` parts of `rows` orders."""
    steps = [(ORDERS, "c", {"id": i, "note": f"{at}"}) for i in range(count * rows)]
    return transaction(at, steps, part_rows=rows)


def idle(at: int) -> ChangeSet:
    """A set that only moves the position."""
    return ChangeSet((), position(at))


def schemas(log: SegmentedLog | LogView) -> dict[TableId, TableSchema | None]:
    """The newest schema of every table in the log."""
    return {table: log.schema(table) for table in log.tables}


def rows(log: SegmentedLog | LogView, first: int | None = None) -> list[dict[str, Any]]:
    """Every change that the log holds, from the offset `first` on if given, in order of `_cdc_seq`."""
    end = log.end.next if log.end else log.start
    start = log.start if first is None else first
    found = [row for batch in log.read(start, end) for row in batch.rows()]
    return sorted(found, key=lambda row: row["_cdc_seq"])


def ids(log: SegmentedLog | LogView, first: int | None = None) -> list[tuple[int, int]]:
    """(offset, id) of every change, from the offset `first` on if given."""
    return [(row["_cdc_seq"], row["id"]) for row in rows(log, first)]


def newest(folder: Path) -> Path:
    """The file of the newest segment."""
    return max(folder.glob("*.cdclog"))


def flip_head(segment: Path) -> bytes:
    """Damage the head of a segment, which every opening needs; return the whole segment as it was."""
    return _flip(segment, PREAMBLE_BYTES + FRAME_BYTES + 1)


def flip_frame(segment: Path, kind: FrameKind) -> bytes:
    """Damage the body of the first frame of that kind; return the whole segment as it was."""
    with SegmentReader(segment) as reader:
        frame = next(one for one in reader.frames(PREAMBLE_BYTES, reader.size) if one.kind == kind)
    return _flip(segment, frame.body_at + 1)


def flip_rows(segment: Path) -> bytes:
    """Damage the first rows of a segment; return the whole segment as it was."""
    return flip_frame(segment, FrameKind.BATCH)


def _flip(path: Path, at: int) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    return whole


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[SegmentedLog]:
    log = SegmentedLog(folder, **options)
    try:
        yield log
    finally:
        log.close()
