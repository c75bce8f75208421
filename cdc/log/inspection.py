"""Reads and checks a log for `cdc log`, without writing. The daemon may be running."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cdc.errors import LogCorrupt, LogTrimmed
from cdc.log.frame import FrameKind
from cdc.log.recovery import settled
from cdc.log.scan import Contents, scan_segment
from cdc.log.segment import Segment, SegmentName, SegmentReader, list_segments
from cdc.spi import Verified


@dataclass(slots=True)
class _Sum:
    commit_count: int = 0
    batch_count: int = 0
    byte_count: int = 0
    tail_bytes: int = 0
    needed_from: int = 0
    passed: list[LogCorrupt] = field(default_factory=list)


def verify_log(folder: Path, newest_bytes: int | None = None, needed_from: int = 0) -> Verified:
    """Read every frame of every segment, and check all checksums and that each segment continues the
    previous one. With `newest_bytes`, check only the newest segments of that total size. No reader needs what
    lies before the offset `needed_from`.
    """
    names = _newest(list_segments(folder), newest_bytes)
    total = _Sum(needed_from=needed_from)
    damage: list[LogCorrupt] = []
    expected: int | None = None
    for at, (number, first, path) in enumerate(names):
        is_newest = number == names[-1].number
        try:
            segment = _verify_segment(Segment(path, number, first, first, 0), total, is_newest=is_newest)
        except LogCorrupt as error:
            is_passed = not is_newest and names[at + 1].first <= needed_from
            (total.passed if is_passed else damage).append(error)
            expected = None
            continue
        except LogTrimmed:
            continue  # Retention has removed it since.
        if expected not in (None, first):
            message = f"the segment begins at offset {first}; the one before ends at {expected}"
            damage.append(LogCorrupt(message, where=str(path)))
        expected = segment.next
    return Verified(
        len(names),
        total.commit_count,
        total.batch_count,
        total.byte_count,
        total.tail_bytes,
        damage,
        total.passed,
    )


def _newest(names: Sequence[SegmentName], byte_count: int | None) -> Sequence[SegmentName]:
    if byte_count is None:
        return names
    seen = 0
    for index in reversed(range(len(names))):
        with suppress(FileNotFoundError):
            seen += names[index].path.stat().st_size
        if seen >= byte_count:
            return names[index:]
    return names


def _verify_segment(empty: Segment, total: _Sum, *, is_newest: bool) -> Segment:
    with SegmentReader(empty.path) as reader:
        contents = _scan(reader, empty, total.needed_from)
        segment = contents.segment
        if contents.tail_bytes and not is_newest:
            at = segment.byte_count if contents.bad_at is None else contents.bad_at
            raise reader.corrupt(
                at, "the frame is damaged, and newer segments prove that it was whole", segment.next
            )
        if is_newest:
            contents = settled(contents, lambda: _scan(reader, empty, total.needed_from))
            segment = contents.segment
        message = "the frame's body does not match its checksum"
        total.passed += [reader.corrupt(at, message) for at in contents.passed]
        frames = reader.frames(segment.blocks[0].at, segment.byte_count) if segment.blocks else ()
        total.batch_count += sum(frame.kind == FrameKind.BATCH for frame in frames)
    total.commit_count += segment.commit_count
    total.byte_count += segment.byte_count
    total.tail_bytes += contents.tail_bytes
    return segment


def _scan(reader: SegmentReader, empty: Segment, needed_from: int) -> Contents:
    return scan_segment(reader, empty, check_bodies=True, needed_from=needed_from)
