"""Scan one segment from its header to its end.

Whether what follows the last whole commit is a torn write or damage is decided in `recovery`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cdc.log.arrow import decode_schema
from cdc.log.frame import CommitRecord, Frame, FrameKind, decode_commit
from cdc.log.segment import Segment, SegmentReader, with_commit
from cdc.model import Commit, TableId, TableSchema


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A schema and the byte of the newest segment where its frame begins."""

    schema: TableSchema
    at: int


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a segment up to its newest commit, with all that it inherits from earlier segments.

    `bad_at` is the byte of the first frame that is not whole, None when the file ends with whole frames;
    `tail_bytes` is what lies after the newest commit. `passed` are the bytes of damaged frames that nobody
    needs.
    """

    segment: Segment
    end: Commit | None
    metadata: Mapping[str, str]
    schemas: Mapping[TableId, StoredSchema]
    bad_at: int | None = None
    tail_bytes: int = 0
    passed: tuple[int, ...] = ()


@dataclass(slots=True)
class _Walk:
    """`needed_from`: readers have passed what lies before this offset. `doubtful` is the byte of the first
    damaged batch of the commit that is being read.
    """

    segment: Segment
    end: Commit | None
    metadata: dict[str, str]
    schemas: dict[TableId, StoredSchema] = field(default_factory=dict)
    pending: dict[TableId, StoredSchema] = field(default_factory=dict)
    needed_from: int = 0
    doubtful: int | None = None
    passed: list[int] = field(default_factory=list)

    def add_schema(self, reader: SegmentReader, frame: Frame) -> None:
        schema = decode_schema(reader.body(frame))
        self.pending[schema.table] = StoredSchema(schema, frame.at)

    def may_pass(self, frame: Frame) -> bool:
        """Return whether this damaged frame may be one that no reader needs: its commit shows that."""
        if frame.kind != FrameKind.BATCH or self.segment.next >= self.needed_from:
            return False
        self.doubtful = frame.at if self.doubtful is None else self.doubtful
        return True

    def add_commit(self, record: CommitRecord, end: int) -> None:
        self.segment = with_commit(self.segment, record.commit, record.group_at, end)
        self.end = record.commit
        if self.doubtful is not None:
            self.passed.append(self.doubtful)
            self.doubtful = None
        self.schemas.update(self.pending)
        self.pending.clear()
        apply_metadata(self.metadata, record.metadata)


def apply_metadata(metadata: dict[str, str], changes: Mapping[str, str | None]) -> None:
    """Change `metadata` in place; None deletes a key."""
    for key, value in changes.items():
        if value is None:
            metadata.pop(key, None)
        else:
            metadata[key] = value


def scan_segment(
    reader: SegmentReader, empty: Segment, *, check_bodies: bool, needed_from: int = 0
) -> Contents:
    """Scan the whole file, up to the first incomplete frame. LogCorrupt if the segment's head is damaged.

    Damaged rows of commits that end at or before `needed_from` are passed: they were whole once.
    """
    walk, at = _scan_head(reader, empty)
    walk.needed_from = needed_from
    size = reader.size
    bad_at: int | None = None
    while at < size:
        frame = reader.frame_at(at, size)
        if frame is None or not _take(walk, reader, frame, check_bodies=check_bodies):
            bad_at = at
            break
        at = frame.end
    tail = size - walk.segment.byte_count
    bad_at = bad_at if walk.doubtful is None else walk.doubtful
    passed = tuple(walk.passed)
    return Contents(walk.segment, walk.end, walk.metadata, walk.schemas, bad_at, tail, passed)


def extend(contents: Contents, reader: SegmentReader) -> Contents:
    """The contents with the commits that a writer added since; bodies of batches are not checked."""
    segment = contents.segment
    walk = _Walk(segment, contents.end, dict(contents.metadata), dict(contents.schemas))
    at, size = segment.byte_count, reader.size
    while at < size:
        frame = reader.frame_at(at, size)
        if frame is None or not _take(walk, reader, frame, check_bodies=False):
            break
        at = frame.end
    tail = size - walk.segment.byte_count
    return Contents(walk.segment, walk.end, walk.metadata, walk.schemas, None, tail)


def _scan_head(reader: SegmentReader, empty: Segment) -> tuple[_Walk, int]:
    header, frame = reader.header()
    if header.first != empty.first:
        message = f"the segment begins at offset {header.first}; its name says {empty.first}"
        raise reader.corrupt(frame.at, message)
    previous = header.previous
    walk = _Walk(empty, previous.commit if previous else None, dict(header.metadata))
    at, size = frame.end, reader.size
    for _ in range(header.schema_count):
        schema_frame = reader.frame_at(at, size)
        if schema_frame is None or schema_frame.kind != FrameKind.SCHEMA:
            raise reader.corrupt(at, "the segment's table of schemas is damaged")
        walk.add_schema(reader, schema_frame)
        at = schema_frame.end
    walk.schemas.update(walk.pending)
    walk.pending.clear()
    walk.segment = replace(empty, byte_count=at)
    return walk, at


def _take(walk: _Walk, reader: SegmentReader, frame: Frame, *, check_bodies: bool) -> bool:
    """Account for one frame; False when its body is not whole."""
    if (check_bodies or frame.kind != FrameKind.BATCH) and not reader.is_whole(frame):
        return walk.may_pass(frame)
    if frame.kind == FrameKind.SCHEMA:
        walk.add_schema(reader, frame)
    elif frame.kind == FrameKind.COMMIT:
        record = decode_commit(reader.body(frame))
        if record.commit.first != walk.segment.next:
            message = f"this commit begins at offset {record.commit.first}, not {walk.segment.next}"
            raise reader.corrupt(frame.at, message, walk.segment.next)
        if walk.doubtful is not None and record.commit.next > walk.needed_from:
            return False
        walk.add_commit(record, frame.end)
    elif frame.kind != FrameKind.BATCH:
        message = f"frames of kind {frame.kind} are unknown"
        raise reader.corrupt(frame.at, message, walk.segment.next)
    return True
