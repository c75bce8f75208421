"""The rows of one table with their envelope, and those of all tables, gathered between two takes in pure
Python: the twin of `gathering.pyx`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa

from cdc.native.gathered import (
    Count,
    Gathered,
    TableShape,
    before_position,
    change_batch,
    finish_columns,
    report_refused,
    rows_position,
)


class _Field(Protocol):
    def null(self) -> None: ...

    def finish(self) -> pa.Array: ...


FieldT = TypeVar("FieldT", bound=_Field)


class TableRows(ABC, Generic[FieldT]):
    """The rows of one table since the last take. `old_columns` are made when the first old image comes;
    `last_transaction` is the caller's number of the last of `transactions`.
    """

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.columns = self._make_fields()
        self.old_columns: list[FieldT] = []
        self.width = len(self.columns)
        self._reset()

    def _reset(self) -> None:
        self.first = -1
        self.ops = array("b")
        self.seqs = array("q")
        self.codes = array("i")
        self.commit_ats = array("q")
        self.transactions: list[str] = []
        self.positions: list[str] = []
        self.unchanged: array[int] | None = None
        self.sets: dict[tuple[int, ...], int] = {}
        self.before_rows = array("q")
        self.last_transaction = -1

    @abstractmethod
    def _make_fields(self) -> list[FieldT]:
        """A field for every column of the shape."""

    def append_envelope(self, op: int, ordinal: int, commit_at: int) -> None:
        """The envelope of the next row; its values follow. Its transaction's texts must have been added."""
        if not self.ops:
            self.first = ordinal
        self.ops.append(op)
        self.seqs.append(ordinal)
        self.codes.append(len(self.transactions) - 1)
        self.commit_ats.append(commit_at)
        if self.unchanged is not None:
            self.unchanged.append(-1)

    def append_nulls(self) -> None:
        """The values of a row that has none."""
        for field in self.columns:
            field.null()

    def begin_before(self) -> None:
        """An old image, of the row that is appended next; its values follow, in `old_columns`."""
        if not self.old_columns:
            self.old_columns = self._make_fields()
        self.before_rows.append(len(self.ops))

    def mark_unchanged(self, columns: tuple[int, ...]) -> None:
        """Name the unchanged columns of the newest row; there may be none."""
        if not columns:
            return
        if self.unchanged is None:
            self.unchanged = array("i", [-1]) * len(self.ops)
        self.unchanged[-1] = self.sets.setdefault(columns, len(self.sets))

    def _completed(self, gathered: Gathered, columns: list[pa.Array]) -> list[pa.Array]:
        """The rows' columns, with what the stream left out filled in by a subclass that knows it."""
        del gathered
        return columns

    def take(self) -> pa.RecordBatch:
        """The batch of the rows; begins anew."""
        gathered = Gathered(
            count=len(self.ops),
            ops=self.ops,
            seqs=self.seqs,
            codes=self.codes,
            commit_ats=self.commit_ats,
            transactions=self.transactions,
            positions=self.positions,
            unchanged=self.unchanged,
            unchanged_sets=list(self.sets),
            before_rows=self.before_rows,
        )
        columns = self._completed(gathered, finish_columns(self.shape, self.columns, rows_position(gathered)))
        before = None
        if self.before_rows:
            before = finish_columns(self.shape, self.old_columns, before_position(gathered))
        self._reset()
        return change_batch(self.shape, gathered, columns, before)


TableT = TypeVar("TableT", bound=TableRows[Any])


class Gathering(Generic[TableT]):
    """The tables with rows since the last take, and the batches that were finished before it."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self.touched: list[TableT] = []
        self._done: list[tuple[int, int, pa.RecordBatch]] = []

    def set_aside(self, table: TableT) -> None:
        """Finish the rows gathered so far: those that follow have other plans."""
        if table.ops:
            self.touched.remove(table)
            self._finish(table)

    def take(self) -> list[tuple[int, pa.RecordBatch]]:
        """Everything gathered, as (relid, batch), ordered by first ordinal."""
        touched, self.touched = self.touched, []
        for table in touched:
            self._finish(table)
        done, self._done = sorted(self._done, key=lambda entry: entry[0]), []
        return [(relid, batch) for _, relid, batch in done]

    def _finish(self, table: TableT) -> None:
        first = table.first
        batch = table.take()
        self._done.append((first, table.shape.relid, batch))
        report_refused(table.shape, self._count)
