"""The rows of one table with their envelope, and those of all tables, between two takes.

One source for both implementations: `batch_builder_native` is compiled from it, with the types in
`batch_builder_native.pxd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from cdc.native.record_batches import (
    Count,
    TableShape,
    TakenRows,
    before_position,
    change_batch,
    finish_columns,
    report_refused,
    rows_position,
)

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.columns_python import (
        FixedColumn,
        append_int8,
        append_int32,
        append_int64,
        set_last_int32,
    )


class TableRows:
    """The rows of one table since the last take.

    `columns` are objects with `finish`: the values; `old_columns` those of the old images, made when the
    first one comes. `first` is the ordinal of the first row, for the order of the batches. A row's code is
    the index of the last one of `transactions` (and `positions`), of which `last_transaction` is the caller's
    number.
    """

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.columns = self.make_fields()
        self.old_columns: list[Any] = []
        self.width = len(self.columns)
        self.reset()

    def reset(self) -> None:
        self.first = -1
        self.ops = FixedColumn(1)
        self.seqs = FixedColumn(8)
        self.codes = FixedColumn(4)
        self.commit_ats = FixedColumn(8)
        self.unchanged: FixedColumn | None = None
        self.before_rows = FixedColumn(8)
        self.transactions: list[str] = []
        self.positions: list[str] = []
        self.sets: dict[tuple[int, ...], int] = {}
        self.last_transaction = -1

    def make_fields(self) -> list[Any]:
        """A field for every column of the shape."""
        raise NotImplementedError

    def append_envelope(self, op: int, ordinal: int, commit_at: int) -> int:
        """The envelope of the next row; its values follow. Its transaction's texts must have been added."""
        if self.ops.length == 0:
            self.first = ordinal
        append_int8(self.ops, op)
        append_int64(self.seqs, ordinal)
        append_int32(self.codes, len(self.transactions) - 1)
        append_int64(self.commit_ats, commit_at)
        if self.unchanged is not None:
            append_int32(self.unchanged, -1)
        return 0

    def begin_before(self) -> int:
        """An old image, of the row that is appended next; its values follow, in `old_columns`."""
        if not self.old_columns:
            self.old_columns = self.make_fields()
        append_int64(self.before_rows, self.ops.length)
        return 0

    def mark_unchanged(self, columns: tuple[int, ...]) -> int:
        """Name the unchanged columns of the newest row; there is at least one."""
        if self.unchanged is None:
            self.unchanged = FixedColumn(4)
            for _ in range(self.ops.length):
                append_int32(self.unchanged, -1)
        set_last_int32(self.unchanged, self.sets.setdefault(columns, len(self.sets)))
        return 0

    def completed(self, taken: TakenRows, columns: list[pa.Array]) -> list[pa.Array]:
        """The rows' columns, with what the stream left out filled in by a subclass that knows it."""
        del taken
        return columns

    def take(self) -> pa.RecordBatch:
        """Return the batch of the rows, and start an empty one."""
        taken = TakenRows(
            count=self.ops.length,
            ops=self.ops.release(),
            seqs=self.seqs.release(),
            codes=self.codes.release(),
            commit_ats=self.commit_ats.release(),
            transactions=self.transactions,
            positions=self.positions,
            unchanged=None if self.unchanged is None else self.unchanged.release(),
            unchanged_sets=list(self.sets),
            before_rows=None if self.before_rows.length == 0 else self.before_rows.release(),
        )
        columns = self.completed(taken, finish_columns(self.shape, self.columns, rows_position(taken)))
        before = None
        if taken.before_rows is not None:
            before = finish_columns(self.shape, self.old_columns, before_position(taken))
        self.reset()
        return change_batch(self.shape, taken, columns, before)


class BatchBuilder:
    """The tables with rows since the last take, and the batches that were finished before it."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self.touched: list[Any] = []
        self.done: list[tuple[int, int, pa.RecordBatch]] = []

    def set_aside(self, table: TableRows) -> None:
        """Finish the rows so far: those that follow have other plans."""
        if table.ops.length:
            self.touched.remove(table)
            self.finish_table(table)

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        """Everything since the last take, as (relid, batch), ordered by first ordinal."""
        touched, self.touched = self.touched, []
        for table in touched:
            self.finish_table(table)
        done, self.done = sorted(self.done, key=_first), []
        return [(relid, batch) for _, relid, batch in done]

    def finish_table(self, table: TableRows) -> None:
        first = table.first
        batch = table.take()
        self.done.append((first, table.shape.relid, batch))
        report_refused(table.shape, self.count)


def _first(entry: Sequence[Any]) -> Any:
    return entry[0]
