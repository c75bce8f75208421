"""The last change per key, which is what a mirror applies, however often a batch changes a row.

Storing the result is exact: delete what is stored under every key of `upserts` and `deletes`, then insert
`upserts`, with holes filled from the stored rows as they were before that delete. Inserts, updates, deletes,
key changes, swaps and chains of them within one batch come out as if applied one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from cdc.merge.segment import segments
from cdc.merge.timeline import Rows, Timeline
from cdc.model import ChangeBatch, Envelope, TableSchema


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
