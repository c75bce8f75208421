"""The input of the three modes: the changes of one table under one schema version, and their mapping to its
table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch
from cdc.sql.connection import Connection
from cdc.sql.mapping import ColumnMapping
from cdc.sql.steps import Room


@dataclass(frozen=True, slots=True)
class Change:
    """`replayed_below`: changes with a lower `_cdc_seq` have been in this sink before; 0 when nothing is
    replayed. `room` counts values that are copied from stored rows.
    """

    connection: Connection
    mapping: ColumnMapping
    batches: Sequence[ChangeBatch]
    replayed_below: int
    count: Callable[[str, int], None]
    room: Room

    @property
    def is_replay(self) -> bool:
        return bool(self.batches) and self.batches[0].seq[0].as_py() < self.replayed_below

    def split_at(self, seq: int) -> list[Change]:
        """Return the changes below `seq`, then the others; omit empty parts."""
        if not self.is_replay:
            return [self]
        below = [batch.filtered(pc.less(batch.seq, pa.scalar(seq, pa.int64()))) for batch in self.batches]
        kept = [batch for batch in below if batch.row_count]
        return [one for one in (replace(self, batches=kept), self.not_below(seq)) if one.batches]

    def not_below(self, seq: int) -> Change:
        """Return the changes at `seq` and after it."""
        kept = [_from(batch, seq) for batch in self.batches]
        return replace(self, batches=[batch for batch in kept if batch.row_count])


def _from(batch: ChangeBatch, seq: int) -> ChangeBatch:
    if batch.row_count and batch.seq[0].as_py() >= seq:
        return batch
    return batch.filtered(pc.greater_equal(batch.seq, pa.scalar(seq, pa.int64())))
