"""The rows of one table gathered in pure Python: the twin of the class `Table` of `native.pyx`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import pyarrow as pa

from cdc.native.gathered import (
    Gathered,
    TableShape,
    before_position,
    change_batch,
    finish_columns,
    rows_position,
)
from connectors.postgres.messages import lsn_text
from connectors.postgres.wire.fields_python import Field


@dataclass(frozen=True, slots=True)
class Transaction:
    """What its Begin says; `commit_at` counts from 1970."""

    xid: int = 0
    commit_lsn: int = 0
    commit_at: int = 0

    @property
    def position(self) -> str:
        return lsn_text(self.commit_lsn)


class Table:
    """The rows of one table since the last take."""

    def __init__(self, shape: TableShape) -> None:
        self.shape = shape
        self.columns = [Field(p.codec, r) for p, r in zip(shape.plans, shape.refusals, strict=True)]
        self.old_columns: list[Field] = []
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
        self.last_transaction: Transaction | None = None

    def append_envelope(self, transaction: Transaction, ordinal: int, op: int) -> None:
        if self.last_transaction is not transaction:
            self.last_transaction = transaction
            self.transactions.append(str(transaction.xid))
            self.positions.append(transaction.position)
        if not self.ops:
            self.first = ordinal
        self.ops.append(op)
        self.seqs.append(ordinal)
        self.codes.append(len(self.transactions) - 1)
        self.commit_ats.append(transaction.commit_at)
        if self.unchanged is not None:
            self.unchanged.append(-1)

    def mark_unchanged(self, columns: tuple[int, ...]) -> None:
        """Name these columns for the newest row."""
        if not columns:
            return
        if self.unchanged is None:
            self.unchanged = array("i", [-1]) * len(self.ops)
        self.unchanged[-1] = self.sets.setdefault(columns, len(self.sets))

    def take(self) -> pa.RecordBatch:
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
        columns = finish_columns(self.shape, self.columns, rows_position(gathered))
        before = None
        if self.before_rows:
            before = finish_columns(self.shape, self.old_columns, before_position(gathered))
        self._reset()
        return change_batch(self.shape, gathered, columns, before)
