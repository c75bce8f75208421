"""The effect of changes on a table without a key, as a multiset of whole rows.

An update removes one row equal to the old image and adds the new one; equal rows are not distinguished.
Removals take the oldest equal row: whoever applies a delta adds first, then removes from stored and added
rows alike, so that the outcome does not depend on where batches were cut. Additions and removals of a delta
don't cancel out, for the same reason: the oldest equal row may be a stored one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.errors import DecodeError
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema


@dataclass(frozen=True, slots=True)
class Delta:
    """Tables of the row columns with `_cdc_seq` and `_cdc_commit_at`, a row for each instance added or
    removed.
    """

    schema: TableSchema
    added: pa.Table
    removed: pa.Table


def multiset_delta(batches: Sequence[ChangeBatch]) -> Delta:
    """Batches of one table and schema version without truncates (`segments` cuts there)."""
    schema = batches[0].schema
    added = pa.concat_tables([_added(batch) for batch in batches])
    removed = pa.concat_tables([table for batch in batches for table in _removed(batch)])
    return Delta(schema, added, removed)


def _added(batch: ChangeBatch) -> pa.Table:
    mask = np.asarray(batch.ops) != Operation.DELETE.code
    return _rows(batch, batch.row_columns(), mask)


def _removed(batch: ChangeBatch) -> list[pa.Table]:
    """In `_cdc_seq` order within each table; deletes and updates apart, since order among removals changes
    nothing.
    """
    ops = np.asarray(batch.ops)
    made = [_rows(batch, batch.row_columns(), ops == Operation.DELETE.code)]
    updates = ops == Operation.UPDATE.code
    if not updates.any():
        return made
    if batch.before is None or not np.asarray(batch.before.is_valid())[updates].all():
        raise DecodeError("an update of a table without a key carries no old image", where=str(batch.table))
    images = [batch.before.field(column.name) for column in batch.schema.columns]
    return [*made, _rows(batch, images, updates)]


def _rows(batch: ChangeBatch, columns: list[Any], mask: Any) -> pa.Table:
    envelope = [batch.data.column(name) for name in (Envelope.SEQ, Envelope.COMMIT_AT)]
    names = [*(c.name for c in batch.schema.columns), Envelope.SEQ, Envelope.COMMIT_AT]
    return pa.table([*columns, *envelope], names=names).filter(pa.array(mask))
