"""One segment file: its frames by place, checked before use, and its search index.

A segment is written by one process, grows at its end only, and never changes once a newer one exists. A
reader owns its descriptor, so a segment that retention removes stays readable to whoever has it open.

The index is built commit by commit, and stored next to sealed segments. Its file is not needed for
correctness: if it is missing, damaged or does not match its segment, it is rebuilt from the segment.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
import pyarrow as pa

from cdc.errors import LogCorrupt, LogTrimmed, StateError
from cdc.files import write_atomically
from cdc.log.frame import (
    FORMAT_VERSION,
    FRAME_BYTES,
    PREAMBLE_BYTES,
    Frame,
    FrameKind,
    HeaderRecord,
    Preamble,
    checksum,
    decode_frame_header,
    decode_header,
    decode_preamble,
    encode_frame_header,
    encode_preamble,
    optional_commit_from_json,
    optional_commit_to_json,
)
from cdc.model import Commit
from cdc.model.position import to_microseconds

SEGMENT_SUFFIX = ".cdclog"
INDEX_SUFFIX = ".index"
# One read serves the headers of many small frames; larger windows only copy what a walk skips.
_WINDOW_BYTES = 64 * 1024
# Checking a body of any size holds this much of it in memory.
_CHECK_BYTES = 1024 * 1024
_NAME = re.compile(r"(\d{10})-(\d{20})" + re.escape(SEGMENT_SUFFIX))


def restore(path: Path) -> str:
    """Return the remedy for damage in this segment. The folder of a log has the name of its source."""
    folder = path.parent
    return (
        "Restore this file from a backup of its folder. Without one, copy everything again: stop the daemon, "
        f"remove {folder}, give each sink of the source a new, empty location, and run: "
        f"{shlex.join(['cdc', 'run', '--adopt-slot', folder.name])}"
    )


class SegmentName(NamedTuple):
    """A segment by the name of its file: its number, and the first offset that it may hold."""

    number: int
    first: int
    path: Path


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a segment: where it begins, its first offset, and the least position and time in it."""

    at: int
    first: int
    least_order: int
    least_written_at: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Index of a segment: its range, its newest commit and the blocks to search
    in.

    `byte_count` ends at the newest commit. `least_…` of the blocks let a search skip what lies after the
    goal, even where positions or clocks went back.
    """

    path: Path
    number: int
    first: int
    next: int
    byte_count: int
    commit_count: int = 0
    oldest: Commit | None = None
    newest: Commit | None = None
    blocks: tuple[Block, ...] = ()

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(INDEX_SUFFIX)


def segment_name(number: int, first: int) -> str:
    """The file name: the segment's number, then the first offset it may hold."""
    return f"{number:010d}-{first:020d}{SEGMENT_SUFFIX}"


def list_segments(folder: Path) -> list[SegmentName]:
    """Return every segment in the folder, oldest first; LogCorrupt when one is missing between."""
    found = named_segments(folder)
    for name, following in itertools.pairwise(found):
        check_follows(name, following)
    return found


def named_segments(folder: Path) -> list[SegmentName]:
    """Return every segment in the folder, oldest first."""
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted(SegmentName(int(match[1]), int(match[2]), path) for match, path in matches if match)


def check_follows(name: SegmentName, following: SegmentName) -> None:
    """Raise LogCorrupt if a segment is missing between these."""
    if following.number != name.number + 1:
        message = f"segment {name.number + 1} is missing before this one"
        raise LogCorrupt(message, where=str(following.path), remedy=restore(following.path))


class SegmentReader:
    """Random access to the frames of one segment file. Closed by whoever opened it (`with`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise LogTrimmed(
                "retention removed this segment", where=str(path), remedy="Read again from the log's start."
            ) from error
        self._window = b""
        self._window_at = 0
        try:
            self.preamble = self._read_preamble()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def size(self) -> int:
        """The present size of the file in bytes."""
        return os.fstat(self._descriptor).st_size

    def frame_at(self, at: int, end: int) -> Frame | None:
        """Return the frame that begins at `at` and ends at or before `end`; None if there is none."""
        frame = decode_frame_header(self.preamble, at, self._windowed(at, min(FRAME_BYTES, end - at)))
        return frame if frame is not None and frame.end <= end else None

    def frames(self, at: int, end: int) -> Iterator[Frame]:
        """The frames from `at` to exactly `end`; LogCorrupt when they don't meet it."""
        while at < end:
            frame = self.frame_at(at, end)
            if frame is None:
                raise self.corrupt(at, "there is no valid frame")
            yield frame
            at = frame.end

    def body(self, frame: Frame) -> memoryview:
        """Return the frame's body after checking its checksum."""
        data = memoryview(pa.allocate_buffer(frame.length)).cast("B")  # Aligned, as Arrow's readers like it.
        if self._in_window(frame):
            data[:] = self._window[frame.body_at - self._window_at : frame.end - self._window_at]
        else:
            self._fill(frame.body_at, data)
        if checksum(data) != frame.body_crc:
            raise self.corrupt(frame.at, "the frame's body does not match its checksum")
        return data

    def tail(self, frame: Frame, byte_count: int) -> bytes:
        """Return the last bytes of the frame's body, unchecked."""
        return self.read(frame.end - byte_count, byte_count)

    def is_whole(self, frame: Frame) -> bool:
        """Return whether the body matches its checksum, holding a piece of it at a time."""
        if self._in_window(frame):
            window = memoryview(self._window)
            return (
                checksum(window[frame.body_at - self._window_at : frame.end - self._window_at])
                == frame.body_crc
            )
        at, crc = frame.body_at, 0
        while at < frame.end:
            piece = self.read(at, min(_CHECK_BYTES, frame.end - at))
            if not piece:
                return False
            crc = checksum(piece, start=crc)
            at += len(piece)
        return crc == frame.body_crc

    def read(self, at: int, byte_count: int) -> bytes:
        """Up to that many bytes; fewer only at the end of the file."""
        try:
            return os.pread(self._descriptor, byte_count, at)
        except OSError as error:
            raise self.corrupt(at, "these bytes cannot be read from the disk") from error

    def header(self) -> tuple[HeaderRecord, Frame]:
        """The segment's header record and its frame."""
        frame = self.frame_at(PREAMBLE_BYTES, self.size)
        if frame is None or frame.kind != FrameKind.HEADER:
            raise self.corrupt(PREAMBLE_BYTES, "the segment's header is damaged")
        return decode_header(self.body(frame)), frame

    def corrupt(self, at: int, what: str, offset: int | None = None) -> LogCorrupt:
        """The error that names this segment, the byte, and the offset where it is known."""
        where = f"{self.path}: byte {at}"
        return LogCorrupt(
            what, where=where if offset is None else f"{where}, offset {offset}", remedy=restore(self.path)
        )

    def _read_preamble(self) -> Preamble:
        preamble = decode_preamble(self.read(0, PREAMBLE_BYTES))
        if preamble is None:
            raise self.corrupt(0, "this is not a log segment, or its first bytes are damaged")
        if preamble.version > FORMAT_VERSION:
            message = f"the log has format {preamble.version}; this version reads up to {FORMAT_VERSION}"
            raise StateError(message, where=str(self.path), remedy="Run the newer version that wrote it.")
        return preamble

    def _in_window(self, frame: Frame) -> bool:
        return self._window_at <= frame.at and frame.end <= self._window_at + len(self._window)

    def _windowed(self, at: int, byte_count: int) -> bytes:
        start = at - self._window_at
        if start < 0 or start + byte_count > len(self._window):
            self._window = self.read(at, _WINDOW_BYTES)
            self._window_at = at
            start = 0
        return self._window[start : start + max(byte_count, 0)]

    def _fill(self, at: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            try:
                count = os.preadv(self._descriptor, [data[done:]], at + done)
            except OSError as error:
                raise self.corrupt(at + done, "these bytes cannot be read from the disk") from error
            if count == 0:
                raise self.corrupt(at + done, "the file ends inside a frame")
            done += count


# A search walks at most one block frame by frame: 1 MiB is some 400 small commits, about 2 ms, and
# a log of 20 GiB has 20,000 blocks, about 4 MiB of memory.
BLOCK_BYTES = 1024 * 1024


def with_commit(segment: Segment, commit: Commit, group_at: int, end: int) -> Segment:
    """Return the segment with one more commit, whose frames are from `group_at` to `end`."""
    return replace(
        segment,
        next=commit.next,
        byte_count=end,
        commit_count=segment.commit_count + 1,
        oldest=segment.oldest or commit,
        newest=commit,
        blocks=_blocks_with(segment.blocks, commit, group_at),
    )


def _blocks_with(blocks: tuple[Block, ...], commit: Commit, group_at: int) -> tuple[Block, ...]:
    order, written_at = commit.position.order, to_microseconds(commit.written_at)
    if not blocks or group_at - blocks[-1].at >= BLOCK_BYTES:
        return (*blocks, Block(group_at, commit.first, order, written_at))
    last = blocks[-1]
    if order >= last.least_order and written_at >= last.least_written_at:
        return blocks
    lower = replace(
        last,
        least_order=min(order, last.least_order),
        least_written_at=min(written_at, last.least_written_at),
    )
    return (*blocks[:-1], lower)


def save_index(segment: Segment, preamble: Preamble) -> None:
    """Write the index file of a sealed segment."""
    body = orjson.dumps(
        {
            "first": segment.first,
            "next": segment.next,
            "bytes": segment.byte_count,
            "commits": segment.commit_count,
            "oldest": optional_commit_to_json(segment.oldest),
            "newest": optional_commit_to_json(segment.newest),
            "blocks": [[b.at, b.first, str(b.least_order), b.least_written_at] for b in segment.blocks],
        }
    )
    head = encode_preamble(preamble.log_id, preamble.number)
    frame = encode_frame_header(preamble, PREAMBLE_BYTES, FrameKind.INDEX, len(body), checksum(body))
    write_atomically(segment.index_path, [head, frame, body])


def load_index(empty: Segment, preamble: Preamble) -> Segment | None:
    """Return the segment as its index file describes it; None if the file is missing, damaged, or of another
    segment.

    `empty` has the path, the number, the first offset and the size that the file really has.
    """
    try:
        data = empty.index_path.read_bytes()
    except FileNotFoundError:
        return None
    found = decode_preamble(data)
    if found is None or (found.log_id, found.number) != (preamble.log_id, preamble.number):
        return None
    frame = decode_frame_header(preamble, PREAMBLE_BYTES, data[PREAMBLE_BYTES:])
    if frame is None or frame.kind != FrameKind.INDEX or frame.end != len(data):
        return None
    body = data[frame.body_at :]
    if checksum(body) != frame.body_crc:
        return None
    loaded = _from_json(empty, orjson.loads(body))
    fits = loaded.byte_count == empty.byte_count and loaded.first == empty.first
    return loaded if fits else None


def _from_json(empty: Segment, value: dict[str, Any]) -> Segment:
    return replace(
        empty,
        first=value["first"],
        next=value["next"],
        byte_count=value["bytes"],
        commit_count=value["commits"],
        oldest=optional_commit_from_json(value["oldest"]),
        newest=optional_commit_from_json(value["newest"]),
        blocks=tuple(Block(at, first, int(order), written) for at, first, order, written in value["blocks"]),
    )
