"""Every version of the rows of a keyed table, for a history (SCD2).

A version begins with a change and ends with the next change of its key. What ends here is given with its end;
the last version of each key stays open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.merge.timeline import Rows, Timeline
from cdc.model import ChangeBatch, Envelope


@dataclass(frozen=True, slots=True)
class Versions:
    """`opened`: whole rows, one a version, in order; `ended_seq` and `ended_at` (null while open) beside
    them.

    `closing`: per key that changed, the key, `_cdc_seq` and `_cdc_commit_at` of its first change: that is
    when a version stored before ended.
    """

    opened: Rows
    ended_seq: pa.Array
    ended_at: pa.Array
    closing: Rows


def row_versions(batches: Sequence[ChangeBatch]) -> Versions:
    """Versions of batches that share a schema with a key and hold no truncate (`segments` cuts there)."""
    timeline = Timeline(batches)
    order, gid = timeline.sorted, timeline.gid
    same = gid[order[1:]] == gid[order[:-1]]
    following = np.full(timeline.count, -1, np.int64)
    following[order[:-1]] = np.where(same, order[1:], -1)
    arrivals = np.flatnonzero(timeline.arrives)
    ends = following[arrivals]
    ending = timeline.rows(np.where(ends < 0, 0, ends), complete=False).table
    still_open = pa.array(ends < 0)
    return Versions(
        opened=timeline.rows(arrivals),
        ended_seq=_null_where(still_open, ending[Envelope.SEQ]),
        ended_at=_null_where(still_open, ending[Envelope.COMMIT_AT]),
        closing=timeline.rows(order[np.r_[True, ~same]], complete=False),
    )


def _null_where(mask: pa.Array, values: pa.ChunkedArray) -> pa.Array:
    return pc.if_else(mask, pa.scalar(None, values.type), values.combine_chunks())
