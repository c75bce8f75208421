"""What a copy begins with: an empty batch that makes the table known, or a truncate before a second copy."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from cdc.model import ChangeBatch, Operation, Position, TableSchema
from cdc.model.batch import snapshot_batch


def empty_batch(schema: TableSchema, position: Position, at: datetime) -> ChangeBatch:
    """No row at all: sinks create the table, so that one without rows is there too."""
    return _control_batch(schema, position, at, rows=0)


def truncate_batch(schema: TableSchema, position: Position, at: datetime) -> ChangeBatch:
    """One `t` row: sinks forget what they hold of the table."""
    return _control_batch(schema, position, at, rows=1)


def _control_batch(schema: TableSchema, position: Position, at: datetime, *, rows: int) -> ChangeBatch:
    columns = [pa.nulls(rows, column.type) for column in schema.columns]
    return snapshot_batch(schema, Operation.TRUNCATE, columns, rows, position.text, at)
