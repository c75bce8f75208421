"""Remove whole segments from the old end of a log, or commits from its new end.

The log can be opened after every step: old segments are removed oldest first, new ones newest first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from cdc.files import sync_folder, truncate_file
from cdc.log.reader import check_range, groups_of
from cdc.log.segment import INDEX_SUFFIX, Segment, SegmentName, SegmentReader, list_segments


def removable(
    segments: Sequence[Segment],
    keep_from: int | None,
    oldest_kept: datetime | None,
    max_bytes: int | None,
    damaged: Collection[int] = (),
) -> list[Segment]:
    """The sealed segments that may go, oldest first: wholly below `keep_from` (None: no such bound), and
    too old, too much, or up to one of the `damaged` numbers, which no replay can pass.
    """
    last_damaged = max(damaged, default=0)
    total = sum(segment.byte_count for segment in segments)
    gone: list[Segment] = []
    for segment in segments[:-1]:
        is_needed = keep_from is not None and segment.next > keep_from
        is_old = (
            oldest_kept is not None and segment.newest is not None and segment.newest.written_at < oldest_kept
        )
        is_over = max_bytes is not None and total > max_bytes
        if is_needed or not (is_old or is_over or segment.number <= last_damaged):
            break
        gone.append(segment)
        total -= segment.byte_count
    return gone


def remove_segments(segments: Sequence[Segment | SegmentName]) -> None:
    """Delete these segments in this order, and their indexes."""
    for segment in segments:
        segment.path.unlink(missing_ok=True)
        segment.path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
    if segments:
        sync_folder(segments[0].path.parent)


def cut_back(segments: Sequence[Segment], next_offset: int) -> None:
    """Remove every commit that ends after `next_offset`. ValueError, and no change, if that offset is inside
    a commit.
    """
    check_range(segments, next_offset)
    index = max(i for i, segment in enumerate(segments) if segment.first <= next_offset)
    target = segments[index]
    end = _border(target, next_offset)
    for segment in reversed(segments[index + 1 :]):
        remove_segments([segment])
    target.index_path.unlink(missing_ok=True)
    truncate_file(target.path, end)
    sync_folder(target.path.parent)


def cut_to(newest: Segment) -> None:
    """Remove the bytes after this segment, and later segments: they are not published. OSError."""
    folder = newest.path.parent
    for number, _, path in list_segments(folder):
        if number > newest.number:
            path.unlink()
    if newest.path.stat().st_size > newest.byte_count:
        truncate_file(newest.path, newest.byte_count)
    sync_folder(folder)


def _border(segment: Segment, next_offset: int) -> int:
    """The byte after the last commit that ends at or before `next_offset`."""
    reached = segment.first
    end = segment.blocks[0].at if segment.blocks else segment.byte_count
    if segment.blocks:
        with SegmentReader(segment.path) as reader:
            for group in groups_of(segment, reader, end):
                if group.commit.next > next_offset:
                    break
                reached, end = group.commit.next, group.end
    if reached != next_offset:
        message = f"offset {next_offset} is not a boundary between commits"
        raise ValueError(message)
    return end
