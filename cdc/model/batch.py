"""The unit of work everywhere: changes of one table under one schema version, as one Arrow record batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.model.audience import EVERYONE, Audience
from cdc.model.copy_mark import CopyMark
from cdc.model.operation import OPERATION_DICTIONARY, Operation
from cdc.model.schema import TableId, TableSchema

if TYPE_CHECKING:
    from cdc.model.transaction import Commit

RESERVED_PREFIX = "_cdc_"
# `_cdc_tx` of changes that no transaction of the stream brought.
SNAPSHOT_TX = "snapshot"
# Measuring a slice exactly takes as long as half of an append to the log (60 µs for ten columns). Of buffers
# smaller than this a slice counts as the whole: a few KiB decide nothing.
MEASURED_WHOLE_BYTES = 4096


class Envelope:
    """Names and Arrow types of the envelope columns (DESIGN section 3)."""

    OP = "_cdc_op"
    SEQ = "_cdc_seq"
    TX = "_cdc_tx"
    POSITION = "_cdc_position"
    COMMIT_AT = "_cdc_commit_at"
    BEFORE = "_cdc_before"
    UNCHANGED = "_cdc_unchanged"

    # Types in memory and in the log. `_cdc_before` is a struct of the table's columns.
    OP_TYPE = pa.dictionary(pa.int8(), pa.string())
    SEQ_TYPE = pa.int64()
    TX_TYPE = pa.dictionary(pa.int32(), pa.string())
    POSITION_TYPE = pa.dictionary(pa.int32(), pa.string())
    COMMIT_AT_TYPE = pa.timestamp("us", "UTC")
    UNCHANGED_TYPE = pa.dictionary(pa.int32(), pa.list_(pa.string()))

    ALWAYS = (OP, SEQ, TX, POSITION, COMMIT_AT)


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Changes of one table, ordered by `_cdc_seq`.

    `data` holds the schema's columns first, in schema order, under their own names, then the envelope
    columns: the five of `Envelope.ALWAYS`, and `_cdc_before` and `_cdc_unchanged` only when some row has one.
    Between the source and the log `_cdc_seq` holds ordinals that start at 0 in each ChangeSet and order the
    changes of all its tables; the log adds its own next offset, and from then on the values are final. A
    truncate is a row of its own whose columns are all null. A delete's columns hold the old image; columns
    that the source did not send are null and named in `_cdc_unchanged`.

    `audience` are the sinks that see the batch. A batch with a `mark` tells of a step of the table's copy: it
    has no row, or, where a copy of a known table begins, one truncate.

    `commit` is the log commit that holds the batch, set when the log is read for delivery.
    """

    schema: TableSchema
    data: pa.RecordBatch
    audience: Audience = EVERYONE
    mark: CopyMark | None = None
    commit: Commit | None = field(default=None, compare=False, repr=False)

    @property
    def table(self) -> TableId:
        return self.schema.table

    @property
    def row_count(self) -> int:
        return int(self.data.num_rows)

    @property
    def byte_count(self) -> int:
        """Bytes in memory of this batch's slice of its buffers; of small batches, of the whole buffers."""
        whole = int(self.data.get_total_buffer_size())
        return whole if whole < MEASURED_WHOLE_BYTES else int(self.data.nbytes)

    @property
    def ops(self) -> pa.Array:
        """int8 codes of the operations (`Operation.code`)."""
        return self.data.column(Envelope.OP).indices

    @property
    def seq(self) -> pa.Array:
        return self.data.column(Envelope.SEQ)

    @property
    def before(self) -> pa.StructArray | None:
        return self._optional(Envelope.BEFORE)

    @property
    def unchanged(self) -> pa.DictionaryArray | None:
        return self._optional(Envelope.UNCHANGED)

    def row_columns(self) -> list[pa.Array]:
        """The table's own columns, in schema order."""
        return [self.data.column(i) for i in range(len(self.schema.columns))]

    def shifted(self, base: int) -> ChangeBatch:
        """The same changes with `base` added to every `_cdc_seq`."""
        index = self.data.schema.get_field_index(Envelope.SEQ)
        seq = pc.add(self.data.column(index), pa.scalar(base, pa.int64()))
        mark = self.mark and self.mark.shifted(base)
        return replace(self, data=self.data.set_column(index, Envelope.SEQ, seq), mark=mark)

    def filtered(self, mask: pa.Array) -> ChangeBatch:
        """The rows where the boolean `mask` is true, in order."""
        return replace(self, data=self.data.filter(mask))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict a change, envelope included: for people and tests, never for the hot path."""
        decoded = {name: self._plain(name) for name in self.data.schema.names}
        for i in range(self.row_count):
            yield {name: column[i] for name, column in decoded.items()}

    def _plain(self, name: str) -> list[Any]:
        column = self.data.column(name)
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary.take(column.indices)
        return list(column.to_pylist())

    def _optional(self, name: str) -> Any:
        index = self.data.schema.get_field_index(name)
        return None if index < 0 else self.data.column(index)


def snapshot_batch(
    schema: TableSchema,
    operation: Operation,
    columns: Sequence[pa.Array],
    count: int,
    place: str,
    at: datetime,
) -> ChangeBatch:
    """What a snapshot at a place of the stream says: `count` times the same operation, numbered from 0."""
    envelope = [
        op_array(operation, count),
        pa.array(np.arange(count, dtype=np.int64)),
        constant_text(SNAPSHOT_TX, count),
        constant_text(place, count),
        pa.repeat(pa.scalar(at, Envelope.COMMIT_AT_TYPE), count),
    ]
    names = [*schema.arrow.names, *Envelope.ALWAYS]
    return ChangeBatch(schema, pa.RecordBatch.from_arrays([*columns, *envelope], names=names))


def op_array(operation: Operation, count: int) -> pa.DictionaryArray:
    """`count` times the same operation, as an op column."""
    codes = pa.repeat(pa.scalar(operation.code, pa.int8()), count)
    return pa.DictionaryArray.from_arrays(codes, OPERATION_DICTIONARY)


def constant_text(value: str, count: int) -> pa.DictionaryArray:
    """`count` times the same text, as a `_cdc_tx` or `_cdc_position` column."""
    zeros = pa.repeat(pa.scalar(0, pa.int32()), count)
    return pa.DictionaryArray.from_arrays(zeros, pa.array([value], pa.string()))
