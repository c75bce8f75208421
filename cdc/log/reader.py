"""Reads the durable part of a log: commits, batches, and searches by time or position.

Works on a fixed list of segments, each up to its newest commit, so a reader never sees what is being written.
Holds one batch at a time; bodies of other batches are skipped unread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cdc.errors import LogTrimmed
from cdc.log.arrow import decode_batch, decode_schema
from cdc.log.frame import TRAILER_BYTES, Frame, FrameKind, decode_commit, split_trailer
from cdc.log.segment import Block, Segment, SegmentReader
from cdc.model import ChangeBatch, Commit, Position, TableId, TableSchema
from cdc.model.position import to_microseconds

# Every delivery continues where it stopped; so many places are remembered, and the oldest is forgotten.
_PLACES = 64
# Tables of the newest segments; when there are more, they are read again.
_SCHEMAS = 1024
# Batches from this size on are announced to who reads them, and lz4 makes no more than 255 bytes of one.
LARGE_BYTES = 1024 * 1024
_MAY_BE_LARGE_BYTES = LARGE_BYTES // 255


@dataclass(frozen=True, slots=True)
class Group:
    """One commit and the frames of its batches."""

    commit: Commit
    batches: tuple[Frame, ...]
    end: int


class Shortcuts:
    """Places that readers of one log have found: where an offset begins, for the next reader, and schemas by
    place.

    Bytes of a log that was cut back are written again, so a cut log gets new shortcuts; readers keep theirs.
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}
        self._schemas: dict[tuple[int, int], TableSchema] = {}

    def remember(self, offset: int, number: int, at: int) -> None:
        """Note that the commits that end at or before `offset` are before byte `at` of segment `number`."""
        places = dict(self._places)
        places.pop(offset, None)
        if len(places) >= _PLACES:
            del places[next(iter(places))]
        places[offset] = (number, at)
        self._places = places

    def find(self, offset: int, number: int) -> int:
        """Return the byte of segment `number` to continue from; 0 if it is not known."""
        known, at = self._places.get(offset, (0, 0))
        return at if known == number else 0

    def schema(self, reader: SegmentReader, user: Frame, at: int) -> TableSchema:
        """The schema whose frame begins at that byte, before the batch `user`."""
        key = (reader.preamble.number, at)
        schema = self._schemas.get(key)
        if schema is None:
            schema = _schema_at(reader, user, at)
            self._schemas = {**(self._schemas if len(self._schemas) < _SCHEMAS else {}), key: schema}
        return schema


def read_commits(segments: Sequence[Segment], start: int, shortcuts: Shortcuts) -> Iterator[Commit]:
    """Yield the commits from the one with offset `start`, oldest first; none if no commit has it yet."""
    check_range(segments, start)
    for _, _, group in _groups_from(segments, start, shortcuts):
        yield group.commit


def read_batches(
    segments: Sequence[Segment],
    first: int,
    next_offset: int,
    shortcuts: Shortcuts,
    sink: str | None = None,
    tables: Collection[TableId] | None = None,
    before_large: Callable[[int], None] | None = None,
) -> Iterator[ChangeBatch]:
    """The batches with first ≤ offset < next_offset, of one sink's audience and of some tables where these
    are given; `before_large` as `LogReader.read` says. ValueError when one of the two offsets is inside a
    commit.
    """
    check_range(segments, first)
    check_range(segments, next_offset)
    if first >= next_offset:
        return
    for segment, reader, group in _groups_from(segments, first, shortcuts):
        commit = group.commit
        if commit.first >= next_offset:
            return
        if commit.first < first or commit.next > next_offset:
            message = f"the range {first} to {next_offset} cuts the commit {commit.first} to {commit.next}"
            raise ValueError(message)
        if sink is None or commit.audience.includes(sink):
            yield from _batches(reader, group, shortcuts, sink, tables, before_large)
        if commit.next == next_offset and commit.first < next_offset:
            shortcuts.remember(next_offset, segment.number, group.end)
            return


def find_commit(
    segments: Sequence[Segment], position: Position | None = None, at: datetime | None = None
) -> Commit | None:
    """The newest commit whose position is ≤ `position` and that was written at or before `at`, where those
    are given.
    """
    written_at = None if at is None else to_microseconds(at)

    def may_hold(block: Block) -> bool:
        return (position is None or block.least_order <= position.order) and (
            written_at is None or block.least_written_at <= written_at
        )

    def fits(commit: Commit) -> bool:
        return (position is None or commit.position <= position) and (at is None or commit.written_at <= at)

    for segment in reversed(segments):
        found = _newest_in(segment, may_hold, fits)
        if found is not None:
            return found
    return None


def groups_of(segment: Segment, reader: SegmentReader, start: int, end: int | None = None) -> Iterator[Group]:
    """Yield the commits between two bytes of a segment (both group boundaries), with their frames."""
    batches: list[Frame] = []
    expected: int | None = None
    for frame in reader.frames(start, segment.byte_count if end is None else end):
        if frame.kind == FrameKind.BATCH:
            batches.append(frame)
        elif frame.kind == FrameKind.COMMIT:
            commit = decode_commit(reader.body(frame)).commit
            if expected not in (None, commit.first):
                message = f"this commit begins at offset {commit.first}, not {expected}"
                raise reader.corrupt(frame.at, message, expected)
            expected = commit.next
            yield Group(commit, tuple(batches), frame.end)
            batches.clear()


def check_range(segments: Sequence[Segment], offset: int) -> None:
    """Raise LogTrimmed if the log does not have this offset."""
    start, end = segments[0].first, segments[-1].next
    if start <= offset <= end:
        return
    message = f"offset {offset} is not in the log, which holds {start} to {end}"
    remedy = (
        "Replay from a later point."
        if offset < start
        else "The log was cut or replaced while this reader was open."
    )
    raise LogTrimmed(message, where=str(segments[0].path.parent), remedy=remedy)


def _batches(
    reader: SegmentReader,
    group: Group,
    shortcuts: Shortcuts,
    sink: str | None,
    tables: Collection[TableId] | None,
    before_large: Callable[[int], None] | None,
) -> Iterator[ChangeBatch]:
    for frame in group.batches:
        if before_large is not None and frame.length >= _MAY_BE_LARGE_BYTES:
            _announce_size(reader, frame, before_large)
        body, trailer = split_trailer(reader.body(frame))
        schema = shortcuts.schema(reader, frame, trailer.schema_at)
        if tables is not None and schema.table not in tables:
            continue
        batch = decode_batch(body, trailer.base, schema, sink)
        if batch is not None:
            found = [replace(batch, commit=group.commit)]
            # Whoever takes a batch holds it alone: a wide row is in memory once.
            del body, batch
            yield found.pop()


def _announce_size(reader: SegmentReader, frame: Frame, before_large: Callable[[int], None]) -> None:
    """Call back if the batch of this frame is large, without reading it."""
    tail = memoryview(reader.tail(frame, TRAILER_BYTES))
    byte_count = split_trailer(tail)[1].byte_count
    if byte_count >= LARGE_BYTES:
        before_large(byte_count)


def _schema_at(reader: SegmentReader, user: Frame, at: int) -> TableSchema:
    frame = reader.frame_at(at, user.at)
    if frame is None or frame.kind != FrameKind.SCHEMA:
        raise reader.corrupt(at, "there is no schema frame where a batch names one")
    return decode_schema(reader.body(frame))


def _groups_from(
    segments: Sequence[Segment], start: int, shortcuts: Shortcuts
) -> Iterator[tuple[Segment, SegmentReader, Group]]:
    """All groups from the one that holds `start` to the newest; none when nothing does."""
    if start >= segments[-1].next:
        return
    index = bisect_right([segment.first for segment in segments], start) - 1
    found = False
    for segment in segments[index:]:
        if not segment.blocks:
            continue
        at = max(_block_at(segment, start), shortcuts.find(start, segment.number))
        with SegmentReader(segment.path) as reader:
            for group in groups_of(segment, reader, at):
                found = found or group.commit.next > start
                if found:
                    yield segment, reader, group


def _block_at(segment: Segment, start: int) -> int:
    """Where the last block begins that begins at or before the commit holding `start`."""
    index = bisect_right([block.first for block in segment.blocks], start) - 1
    return segment.blocks[max(index, 0)].at


def _newest_in(
    segment: Segment, may_hold: Callable[[Block], bool], fits: Callable[[Commit], bool]
) -> Commit | None:
    borders = [*(block.at for block in segment.blocks), segment.byte_count]
    for block, end in zip(reversed(segment.blocks), reversed(borders[1:]), strict=True):
        if not may_hold(block):
            continue
        with SegmentReader(segment.path) as reader:
            fitting = [g.commit for g in groups_of(segment, reader, block.at, end) if fits(g.commit)]
        if fitting:
            return fitting[-1]
    return None
