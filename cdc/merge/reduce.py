"""The last change per key, which is what a mirror applies, however often a batch changes a row.

Storing the result is exact: delete what is stored under every key of `upserts` and `deletes`, then insert
`upserts`, with holes filled from the stored rows as they were before that delete. Inserts, updates, deletes,
key changes, swaps and chains of them within one batch come out as if applied one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from cdc.merge.timeline import Rows, Timeline
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema


@dataclass(slots=True)
class TruncateSegment:
    """The changes after a truncate (or from the start: `truncated_at` None) up to the next one.

    `truncated_at` is the `_cdc_seq` of the truncate, `commit_at` when it was committed.
    """

    truncated_at: int | None = None
    commit_at: datetime | None = None
    batches: list[ChangeBatch] = field(default_factory=list)


def segments(batches: Iterable[ChangeBatch]) -> Sequence[TruncateSegment]:
    """Cut batches at truncates, because rows must not be reduced across them.

    At least one segment; only the first may be without a truncate.
    """
    made = [TruncateSegment()]
    for batch in batches:
        start = 0
        for cut in np.flatnonzero(np.asarray(batch.ops) == Operation.TRUNCATE.code).tolist():
            _extend(made[-1], batch, start, cut)
            commit_at = batch.data.column(Envelope.COMMIT_AT)[cut].as_py()
            made.append(TruncateSegment(batch.seq[cut].as_py(), commit_at))
            start = cut + 1
        _extend(made[-1], batch, start, batch.row_count)
    return made


def _extend(segment: TruncateSegment, batch: ChangeBatch, start: int, end: int) -> None:
    if start == 0 and end == batch.row_count and end:
        segment.batches.append(batch)
    elif end > start:
        segment.batches.append(ChangeBatch(batch.schema, batch.data.slice(start, end - start)))


@dataclass(frozen=True, slots=True)
class Reduced:
    """`truncated_at`: drop everything stored first (the `_cdc_seq` of the last truncate), then apply.

    `upserts` are whole rows, one a key; `deletes` the keys that end without a row: old keys of moved rows
    included. Every key is in at most one of the two.
    """

    schema: TableSchema
    truncated_at: int | None
    upserts: Rows
    deletes: Rows

    @property
    def truncated(self) -> bool:
        return self.truncated_at is not None


def reduce_batches(batches: Sequence[ChangeBatch], *, keep_deleted: bool = False) -> Reduced:
    """Reduce batches of one table and schema version, in `_cdc_seq` order; the table must have a key.

    `deletes` holds only keys; with `keep_deleted` (soft deletes) whole rows, with holes like `upserts`.
    """
    schema = batches[0].schema
    last = segments(batches)[-1]
    if not last.batches:
        return Reduced(schema, last.truncated_at, _no_rows(schema), _no_rows(schema))
    timeline = Timeline(last.batches)
    finals = timeline.finals()
    arrives = timeline.arrives[finals]
    upserts = timeline.rows(finals[arrives])
    deletes = timeline.rows(finals[~arrives], complete=keep_deleted)
    return Reduced(schema, last.truncated_at, upserts, deletes)


def _no_rows(schema: TableSchema) -> Rows:
    envelope = pa.schema([(Envelope.SEQ, Envelope.SEQ_TYPE), (Envelope.COMMIT_AT, Envelope.COMMIT_AT_TYPE)])
    return Rows(pa.schema([*schema.arrow, *envelope]).empty_table())
