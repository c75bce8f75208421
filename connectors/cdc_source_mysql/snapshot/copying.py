"""Reads the rows of one chunk into change batches: one statement, one connection, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from cdc.errors import SourceUnavailable
from cdc.model import ChangeBatch, Operation, Position, TableId, TableSchema
from cdc.model.batch import snapshot_batch
from cdc_source_mysql.binlog.positions import parse
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.errors import translate_packet
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.snapshot.bounds import KeyIndex
from cdc_source_mysql.snapshot.chunks import KeyRange, condition
from cdc_source_mysql.snapshot.context import Parts
from cdc_source_mysql.snapshot.prepared import PreparedStatement
from cdc_source_mysql.statements import quoted
from cdc_source_mysql.wire.results import ResultDecoder, comes_as_text, result_plans

# One log frame; larger batches only cost memory, of which each reader holds some three times this.
BATCH_BYTES = 4 * 1024 * 1024
_DOING = "copying the table"
# MariaDB sends these as text; as bytes they are what the binlog has.
_BYTES_OF = {"uuid": 16, "inet6": 16, "inet4": 4}


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as it is copied."""

    definition: TableDefinition
    plans: tuple[ColumnPlan, ...]
    schema: TableSchema
    index: KeyIndex

    @property
    def table(self) -> TableId:
        return self.definition.table


class Copying:
    """Runs SELECTs for one table."""

    def __init__(
        self, connection: Connection, parts: Parts, shape: Shape, position: Position, taken_at: datetime
    ) -> None:
        self._connection = connection
        self._shape = shape
        self._parts = parts
        self._place = parse(position.text).place
        self._taken_at = taken_at
        self._where = f"{parts.connector.where}, {shape.table}"

    def batches(self, statement: str, is_wanted: Callable[[], bool]) -> Iterator[ChangeBatch]:
        """All rows of the statement, each batch about BATCH_BYTES; ends early when no more `is_wanted`."""
        decoder = ResultDecoder(
            str(self._shape.table),
            result_plans(self._shape.plans),
            self._parts.options.unrepresentable,
            self._parts.context.count,
        )
        prepared = PreparedStatement(self._connection, statement, self._where, _DOING)
        with prepared.execute(is_wanted) as received:
            for data in received:
                decoder.feed(data)
                if decoder.error is not None:
                    raise translate_packet(decoder.error, self._where, _DOING)
                if decoder.byte_count >= BATCH_BYTES or decoder.finished:
                    record = decoder.take()
                    if record is not None:
                        yield self._batch(record)
                if decoder.finished:
                    break
        if not decoder.finished:
            raise self._stopped()
        prepared.close()

    def _batch(self, record: pa.RecordBatch) -> ChangeBatch:
        return snapshot_batch(
            self._shape.schema, Operation.READ, record.columns, record.num_rows, self._place, self._taken_at
        )

    def _stopped(self) -> SourceUnavailable:
        return SourceUnavailable(
            "the snapshot is closed", where=self._where, remedy="It is retried automatically."
        )


def select_statement(shape: Shape, chunk: KeyRange) -> str:
    """All rows of the chunk, every column by name: `*` leaves out invisible ones."""
    columns = ", ".join(_selected(plan) for plan in shape.plans)
    where = condition(shape.index.columns, chunk.lower, chunk.upper)
    return f"select {columns} from {shape.index.from_clause} where {where}"


def touch_statement(shape: Shape) -> str:
    """Reads nothing, but keeps the table as it is until the transaction ends."""
    return f"select 1 from {shape.index.from_clause} where false"


def _selected(plan: ColumnPlan) -> str:
    name = quoted(plan.name)
    if comes_as_text(plan):
        return f"convert({name} using utf8mb4)"
    if plan.kind in {"enum", "set"}:
        return f"cast({name} as unsigned)"
    if plan.kind in _BYTES_OF:
        return f"cast({name} as binary({_BYTES_OF[plan.kind]}))"
    return name
