"""Batches without the rows that a transaction rolled back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cdc.model.batch import Envelope


def without(batch: pa.RecordBatch, ranges: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    """The batch without the rows whose ordinals lie in these half-open ranges."""
    ordinals = batch.column(Envelope.SEQ).to_numpy()
    keep = np.ones(len(ordinals), np.bool_)
    for first, end in ranges:
        keep &= (ordinals < first) | (ordinals >= end)
    return batch if keep.all() else batch.filter(pa.array(keep))


def without_dropped(
    batches: Sequence[tuple[int, pa.RecordBatch]], ranges: Sequence[tuple[int, int]]
) -> list[tuple[int, pa.RecordBatch]]:
    """(handle, batch) in their order, without dropped rows and empty batches."""
    if ranges:
        batches = [(handle, without(batch, ranges)) for handle, batch in batches]
    return [(handle, batch) for handle, batch in batches if batch.num_rows]
