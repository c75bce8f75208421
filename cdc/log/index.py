"""Search index of a segment, built commit by commit, and stored next to sealed segments.

The index file is not needed for correctness: if it is missing, damaged or does not match its segment, it is
rebuilt from the segment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from cdc.files import write_atomically
from cdc.log.frame import (
    PREAMBLE_BYTES,
    FrameKind,
    Preamble,
    checksum,
    decode_frame_header,
    decode_preamble,
    encode_frame_header,
    encode_preamble,
)
from cdc.log.records import (
    optional_commit_from_json,
    optional_commit_to_json,
)
from cdc.log.segment import Block, Segment
from cdc.model import Commit
from cdc.model.position import to_microseconds

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
