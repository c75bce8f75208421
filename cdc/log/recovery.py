"""Open a log folder: cut a torn tail, refuse damage.

The rule: incomplete bytes after the newest complete commit of the newest segment are a torn write, and are
cut, because they were never acknowledged. It is damage instead (LogCorrupt, nothing is changed) when
a commit further on proves it: every commit says up to which byte the segment was already durable when it
was written, and a frame below that byte was whole once. Anything wrong in an older segment, in a segment's
head, or between segments is damage. Damage that no reader needs any more is said, and passed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cdc.errors import LogCorrupt
from cdc.files import TEMPORARY_SUFFIX, sync_folder, truncate_file
from cdc.log.frame import FRAME_MAGIC, FrameKind, Preamble, Previous, decode_commit
from cdc.log.scan import Contents, scan_segment
from cdc.log.segment import (
    INDEX_SUFFIX,
    Segment,
    SegmentName,
    SegmentReader,
    check_follows,
    load_index,
    named_segments,
    restore,
    save_index,
)

# Searching for a later commit reads this much at a time.
_SEARCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recovered:
    """An opened folder: the sealed segments, the newest one's contents, and what recovery cut from its
    tail. `lost` are older segments that are damaged, or before such a one, and `damage` what is wrong there
    or in the newest segment: no reader needs it.
    """

    sealed: tuple[Segment, ...]
    contents: Contents
    preamble: Preamble
    cut_bytes: int = 0
    lost: tuple[SegmentName, ...] = ()
    damage: tuple[LogCorrupt, ...] = ()


def recover(folder: Path, needed_from: int = 0) -> Recovered | None:
    """Open the folder for writing: remove leftovers, cut the torn tail, build missing indexes. None when it
    has no segment.

    Damage of rows or segments wholly before the offset `needed_from` is returned, not raised.
    """
    _remove_leftovers(folder)
    scan = partial(_scan_newest, needed_from=needed_from)
    found = load_folder(folder, scan=scan, keep_indexes=True, needed_from=needed_from)
    if found is None:
        return None
    check_tail(found.contents)
    cut = found.contents.tail_bytes
    if cut:
        truncate_file(found.contents.segment.path, found.contents.segment.byte_count)
    return replace(found, cut_bytes=cut)


def load_folder(
    folder: Path,
    scan: Callable[[SegmentReader, Segment], Contents],
    *,
    keep_indexes: bool,
    needed_from: int = 0,
) -> Recovered | None:
    """Read the contents of the folder: the newest segment by `scan`, the others by their indexes."""
    names = named_segments(folder)
    if not names:
        return None
    number, first, path = names[-1]
    with SegmentReader(path) as reader:
        _check_identity(reader, number)
        contents = scan(reader, Segment(path, number, first, first, 0))
        previous = reader.header()[0].previous
        preamble = reader.preamble
        damage = [
            reader.corrupt(at, "the frame's body does not match its checksum") for at in contents.passed
        ]
    sealed: list[Segment] = []
    lost = names[:-1]
    for name, following in reversed(list(itertools.pairwise(names))):
        try:
            check_follows(name, following)
            segment = _load_sealed(_empty(name), preamble, keep_index=keep_indexes)
            _check_meets(segment, following, previous if following is names[-1] else None)
        except LogCorrupt as error:
            if following.first > needed_from:
                raise
            damage.append(error)
            break
        sealed.insert(0, segment)
        lost = lost[:-1]
    return Recovered(tuple(sealed), contents, preamble, lost=tuple(lost), damage=tuple(damage))


def _empty(name: SegmentName) -> Segment:
    return Segment(name.path, name.number, name.first, name.first, 0)


def _check_meets(segment: Segment, following: SegmentName, said: Previous | None) -> None:
    """Raise LogCorrupt if the segment does not end where the following one begins, or as that one `said`."""
    if segment.next != following.first:
        message = f"the segment ends at offset {segment.next}; the next one begins at {following.first}"
        raise LogCorrupt(message, where=str(segment.path), remedy=restore(segment.path))
    if said is not None and said.byte_count != segment.byte_count:
        message = f"the segment has {segment.byte_count} bytes; the next one says {said.byte_count}"
        raise LogCorrupt(message, where=str(segment.path), remedy=restore(segment.path))


def _scan_newest(reader: SegmentReader, empty: Segment, needed_from: int) -> Contents:
    _read_from_disk(reader.path)
    return scan_segment(reader, empty, check_bodies=True, needed_from=needed_from)


def _read_from_disk(path: Path) -> None:
    """Make what is read next the disk's word: flush the page cache of this file, then drop it.

    After a kill the newest commits may be in the page cache only; after a sync that the disk refused, pages
    there look clean and are not on the disk.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def check_tail(contents: Contents) -> None:
    if contents.bad_at is None:
        return
    segment = contents.segment
    with SegmentReader(segment.path) as reader:
        for at in _commits_after(reader, contents.bad_at):
            if at > contents.bad_at:
                message = (
                    "the frame is damaged, and a commit after it proves that it was whole:"
                    f" changes from offset {segment.next} on cannot be read"
                )
                raise reader.corrupt(contents.bad_at, message, segment.next)


def settled(contents: Contents, scan: Callable[[], Contents]) -> Contents:
    """Return the contents of a segment that another process may be writing, by a second `scan` if need be: a
    write that was under way at the first look is whole at the second, and damage stays where it is.

    Raises:
        LogCorrupt: it is damage.
    """
    if contents.bad_at is None:
        return contents
    again = scan()
    if again.bad_at == contents.bad_at:
        check_tail(again)
    return again


def _commits_after(reader: SegmentReader, start: int) -> Iterator[int]:
    """For every whole commit frame after byte `start`: the byte up to which it knew the segment durable."""
    size, at = reader.size, start + 1
    while at < size:
        piece = reader.read(at, _SEARCH_BYTES)
        found = piece.find(FRAME_MAGIC)
        if found < 0:
            at += max(len(piece) - len(FRAME_MAGIC) + 1, 1)
            continue
        frame = reader.frame_at(at + found, size)
        if frame is not None and frame.kind == FrameKind.COMMIT and reader.is_whole(frame):
            yield decode_commit(reader.body(frame)).synced
        at += found + 1


def _load_sealed(empty: Segment, newest: Preamble, *, keep_index: bool) -> Segment:
    size = empty.path.stat().st_size
    preamble = Preamble(newest.version, newest.log_id, empty.number)
    sized = Segment(empty.path, empty.number, empty.first, empty.first, size)
    loaded = load_index(sized, preamble)
    if loaded is not None:
        return loaded
    with SegmentReader(empty.path) as reader:
        _check_identity(reader, empty.number, newest.log_id)
        contents = scan_segment(reader, sized, check_bodies=False)
        if contents.tail_bytes:
            at = contents.segment.byte_count if contents.bad_at is None else contents.bad_at
            raise reader.corrupt(
                at, "the frame is damaged, and newer segments prove that it was whole", contents.segment.next
            )
        if keep_index:
            save_index(contents.segment, reader.preamble)
    return contents.segment


def _check_identity(reader: SegmentReader, number: int, log_id: bytes | None = None) -> None:
    if reader.preamble.number != number or log_id not in (None, reader.preamble.log_id):
        raise reader.corrupt(0, "this segment belongs to another log or another place in it")


def _remove_leftovers(folder: Path) -> None:
    """Files of an interrupted write, and indexes whose segment retention has removed."""
    stray = [path for path in folder.iterdir() if path.name.endswith(TEMPORARY_SUFFIX)]
    owners = {path.stem for _, _, path in named_segments(folder)}
    stray += [path for path in folder.iterdir() if path.suffix == INDEX_SUFFIX and path.stem not in owners]
    for path in stray:
        path.unlink(missing_ok=True)
    if stray:
        sync_folder(folder)
