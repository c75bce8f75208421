"""Cut batches at truncates, because rows must not be reduced across them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from cdc.model import ChangeBatch, Envelope, Operation


@dataclass(slots=True)
class TruncateSegment:
    """The changes after a truncate (or from the start: `truncated_at` None) up to the next one.

    `truncated_at` is the `_cdc_seq` of the truncate, `commit_at` when it was committed.
    """

    truncated_at: int | None = None
    commit_at: datetime | None = None
    batches: list[ChangeBatch] = field(default_factory=list)


def segments(batches: Iterable[ChangeBatch]) -> Sequence[TruncateSegment]:
    """At least one segment; only the first may be without a truncate."""
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
