"""The synthetic truncate that begins a second copy of a table from nothing."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from cdc.model import ChangeBatch, Envelope, Operation, Position, TableSchema
from cdc.model.batch import constant_text, op_array

RESET_TX = "snapshot"


def truncate_batch(schema: TableSchema, position: Position, at: datetime) -> ChangeBatch:
    """One `t` row: sinks forget what they hold of the table."""
    columns = [pa.nulls(1, column.type) for column in schema.columns]
    envelope = [
        op_array(Operation.TRUNCATE, 1),
        pa.array([0], pa.int64()),
        constant_text(RESET_TX, 1),
        constant_text(position.text, 1),
        pa.array([at], Envelope.COMMIT_AT_TYPE),
    ]
    names = [*schema.arrow.names, *Envelope.ALWAYS]
    return ChangeBatch(schema, pa.RecordBatch.from_arrays([*columns, *envelope], names=names))
