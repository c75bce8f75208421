"""One attempt at a delivery: its changes go to files, table by table, and then every table has one commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from cdc.lake.columns import file_batch, file_schema
from cdc.lake.setaside import LakeShelf, of_table, unwritable
from cdc.merge import TableRefused
from cdc.model import ChangeBatch, CopyStep, TableId, TableSchema
from cdc.spi import Delivery, SinkContext
from cdc_sink_iceberg import mirror
from cdc_sink_iceberg.tables import CatalogTables
from cdc_sink_iceberg.work import EPOCH, LOG, NEXT, SOURCE, Work


@dataclass(slots=True)
class _Gathered:
    batches: list[ChangeBatch] = field(default_factory=list)
    bytes: int = 0


class Attempt:
    """The caller runs it, then commits or discards it."""

    def __init__(
        self, tables: CatalogTables, shelf: LakeShelf, mode: str, delivery: Delivery, context: SinkContext
    ) -> None:
        self.shelf = shelf
        self._tables = tables
        self._mode = mode
        self._delivery = delivery
        self._context = context
        self._works: dict[TableId, Work] = {}
        self._gathered: dict[TableId, _Gathered] = {}
        self._bytes = 0

    def run(self) -> None:
        """Write the files of all changes.

        Raises:
            TableRefused: a table cannot be stored.
        """
        for part in self._delivery.parts():
            for batch in part:
                with self._of_table(batch.schema):
                    admitted = self.shelf.admitted(batch)
                    if admitted is not None:
                        self._take(admitted)
            del part  # A wide row must be gone before the next is read.
        for table in list(self._gathered):
            self._flush(table)

    def commit(self) -> int:
        """Commit the tables, one after the other; return how many changed. A retry passes over those that
        have the delivery.
        """
        return sum(work.commit() for work in self._works.values())

    def discard(self) -> None:
        """Remove the files of tables that are not committed."""
        for work in self._works.values():
            work.discard()

    def _take(self, batch: ChangeBatch) -> None:
        work = self._works.get(batch.table)
        if work is None:
            self._tables.partition_prefix(batch.schema)
            work = self._tables.work(batch.schema)
            context = self._context
            work.set_properties(
                {
                    SOURCE: self._delivery.source, NEXT: str(max(self._delivery.next, work.next)),
                    EPOCH: str(context.epoch), LOG: context.log_id,
                }
            )  # fmt: skip
            self._works[batch.table] = work
        if batch.row_count and batch.seq[0].as_py() < work.next:
            batch = batch.filtered(pa.array(np.asarray(batch.seq) >= work.next))
            if not batch.row_count:
                return
        if batch.mark is not None and batch.mark.seq < work.next:
            return
        if batch.mark is not None or not batch.row_count:
            self._flush(batch.table)
            self._step(work, batch)
            return
        gathered = self._gathered.setdefault(batch.table, _Gathered())
        if gathered.batches and not _is_same(gathered.batches[-1].schema, batch.schema):
            self._flush(batch.table)
        gathered.batches.append(batch)
        gathered.bytes += batch.byte_count
        self._bytes += batch.byte_count
        while self._bytes > self._context.memory_bytes // 2:
            self._flush(max(self._gathered, key=lambda one: self._gathered[one].bytes))

    def _step(self, work: Work, batch: ChangeBatch) -> None:
        step = batch.mark.step if batch.mark is not None else CopyStep.ALTERED
        if self._mode == "mirror":
            if step is CopyStep.BEGIN:
                work.begin_copy()
            elif step is CopyStep.FINISHED:
                work.finish_copy()
            elif step is CopyStep.CANCELLED:
                work.cancel_copy()
        if step in {CopyStep.BEGIN, CopyStep.ALTERED}:
            self._follow(work, batch.schema)
        if batch.row_count and self._mode == "append":
            self._append(work, [batch])

    def _follow(self, work: Work, schema: TableSchema) -> None:
        new = work.follow(schema)
        if self._mode == "mirror" and new:
            mirror.fill(work, schema, new)

    def _flush(self, table: TableId) -> None:
        gathered = self._gathered.get(table)
        if gathered is None or not gathered.batches:
            return
        batches, gathered.batches = gathered.batches, []
        self._bytes -= gathered.bytes
        gathered.bytes = 0
        work, schema = self._works[table], batches[-1].schema
        with self._of_table(schema):
            if self._mode == "append":
                self._follow(work, schema)
                self._append(work, batches)
                return
            if mirror.truncates(batches):
                work.clear()
            self._follow(work, schema)
            mirror.apply(work, batches, self._context.count)

    @contextmanager
    def _of_table(self, schema: TableSchema) -> Iterator[None]:
        """Distinguish what one table cannot take from what stops the sink."""
        try:
            with of_table(schema):
                yield
        except pa.ArrowException as error:
            raise TableRefused(schema, unwritable(schema.table, self._tables)) from error

    def _append(self, work: Work, batches: Sequence[ChangeBatch]) -> None:
        schema = file_schema(batches[-1].schema)
        rows = pa.Table.from_batches([file_batch(batch, schema) for batch in batches], schema)
        work.add(work.staged(rows))


def _is_same(one: TableSchema, other: TableSchema) -> bool:
    return one is other or (one.version == other.version and one.same_shape(other))
