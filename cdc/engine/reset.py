"""The marks of a copy in the log: an empty batch, or a truncate where a second copy begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from cdc.engine.tables import TableState
from cdc.model import Audience, ChangeBatch, CopyMark, CopyStep, Operation, Position, TableId, TableSchema
from cdc.model.batch import snapshot_batch


def mark_batch(
    schema: TableSchema, step: CopyStep, position: Position, audience: Audience, *, truncates: bool = False
) -> ChangeBatch:
    """Return a mark; with `truncates` one `t` row beside it, so that sinks forget what they hold."""
    rows = int(truncates)
    at = datetime.now(UTC)
    columns = [pa.nulls(rows, column.type) for column in schema.columns]
    batch = snapshot_batch(schema, Operation.TRUNCATE, columns, rows, position.text, at)
    return replace(batch, audience=audience, mark=CopyMark(step, at))


def due_batches(
    due: Mapping[TableId, TableState],
    schema_of: Callable[[TableId], TableSchema | None],
    position: Position,
    first: int = 0,
) -> list[ChangeBatch]:
    """Return a PENDING mark for each table that the log has a schema of, with ordinals from `first` on.

    A schema of another table that had the name before does not count.
    """
    made: list[ChangeBatch] = []
    for table, state in due.items():
        schema = schema_of(table)
        if schema is not None and (
            None in (schema.relation, state.relation) or schema.relation == state.relation
        ):
            made.append(mark_batch(schema, CopyStep.PENDING, position, state.audience))
    return [batch.shifted(first + i) for i, batch in enumerate(made)]
