"""Reads rows by COPY BINARY into change batches: one statement, one connection, one thread."""

from __future__ import annotations

import select
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pyarrow as pa
from psycopg import pq, sql

from cdc.errors import DecodeError
from cdc.kit.pacing import COPY_BATCH_BYTES
from cdc.model import ChangeBatch, Operation, Position
from cdc.model.batch import snapshot_batch
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.errors import translate, translate_result
from cdc_source_postgres.schema.shapes import Shape
from cdc_source_postgres.schema.type_plan import ColumnPlan
from cdc_source_postgres.snapshot.chunks import PageRange
from cdc_source_postgres.snapshot.context import SnapshotContext
from cdc_source_postgres.wire import decoder as wire

# How often a reader whose server is silent looks whether its connection is still there.
_POLL_MILLISECONDS = 1000
_XID_CIRCLE = 2**32


class Copying:
    """Runs COPY statements for one table under one snapshot."""

    def __init__(
        self,
        connection: Connection,
        context: SnapshotContext,
        shape: Shape,
        position: Position,
        taken_at: datetime,
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._shape = shape
        self._position = position
        self._taken_at = taken_at
        self._unrepresentable = context.options.unrepresentable
        self._count = context.source.count
        self._where = f"{context.connector.where}, {shape.schema.table}"
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)

    def batches(self, statement: sql.Composed) -> Iterator[ChangeBatch]:
        """All rows of the statement, each batch about COPY_BATCH_BYTES."""
        try:
            self._pgconn.send_query(statement.as_string(self._connection).encode())
            self._begin()
            yield from self._rows()
            self._end()
        except psycopg.Error as error:
            raise translate(error, self._where, "copying the table") from error

    def _begin(self) -> None:
        result = self._result()
        if result is None or result.status != pq.ExecStatus.COPY_OUT:
            raise translate_result(self._pgconn, result, self._where, "copying the table")

    def _rows(self) -> Iterator[ChangeBatch]:
        table = str(self._shape.schema.table)
        decoder = wire.CopyDecoder(table, self._shape.plans, self._unrepresentable, self._count)
        frames, code = wire.Frames(self._pgconn), wire.WOULD_BLOCK
        while code != wire.ENDED:
            code = decoder.drain(frames, COPY_BATCH_BYTES)
            if code == wire.WOULD_BLOCK:
                self._wait()
                continue
            record = decoder.take()
            if record is not None and record.num_rows:
                yield self._batch(record)
        if not decoder.finished:
            self._end()
            raise DecodeError("the copy ended before its trailer", where=self._where)

    def _end(self) -> None:
        """The command's own result: an error in the middle of the rows shows only here."""
        while (result := self._result()) is not None:
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise translate_result(self._pgconn, result, self._where, "copying the table")

    def _batch(self, record: pa.RecordBatch) -> ChangeBatch:
        return snapshot_batch(
            self._shape.schema,
            Operation.READ,
            record.columns,
            record.num_rows,
            self._position.text,
            self._taken_at,
        )

    def _result(self) -> pq.abc.PGresult | None:
        while self._pgconn.flush() or self._pgconn.is_busy():
            self._wait()
        return self._pgconn.get_result()

    def _wait(self) -> None:
        if self._poll.poll(_POLL_MILLISECONDS):
            self._pgconn.consume_input()


def copy_statement(shape: Shape, chunk: PageRange, row_filter: str | None) -> sql.Composed:
    """COPY of one chunk, with the columns and rows that the stream has."""
    conditions: list[sql.Composable] = [sql.SQL("ctid >= {}::tid").format(f"({chunk.first},0)")]
    if chunk.end is not None:
        conditions.append(sql.SQL("ctid < {}::tid").format(f"({chunk.end},0)"))
    if chunk.since is not None:
        # Older versions than that are in the chunk as it was read first. Ages are distances on the circle of
        # transaction ids.
        since = str(chunk.since % _XID_CIRCLE)
        conditions.append(sql.SQL("age(xmin) <= age({}::xid)").format(since))
    if row_filter is not None:
        # As the server prints the publication's own expression.
        conditions.append(sql.SQL("({})").format(sql.SQL(row_filter)))
    return sql.SQL("copy (select {} from only {} where {}) to stdout (format binary)").format(
        sql.SQL(", ").join(_selected(plan) for plan in shape.plans),
        sql.Identifier(chunk.leaf.schema, chunk.leaf.name),
        sql.SQL(" and ").join(conditions),
    )


def _selected(plan: ColumnPlan) -> sql.Composable:
    column = sql.Identifier(plan.name)
    if not plan.text_only:
        return column
    # format prints a value by its type's own output function, as the stream does; a cast to text may be
    # user-defined.
    return sql.SQL("case when {0} is null then null else pg_catalog.format('%s', {0}) end").format(column)
