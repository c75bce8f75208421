"""The event model: frozen values, columnar batches, no I/O."""

from cdc.model.batch import (
    Audience,
    ChangeBatch,
    ChangeSet,
    Commit,
    CopyMark,
    CopyStep,
    Envelope,
    Operation,
    Resnapshot,
)
from cdc.model.position import Position
from cdc.model.schema import Column, TableId, TableSchema
from cdc.names import printable, shown

__all__ = [
    "Audience",
    "ChangeBatch",
    "ChangeSet",
    "Column",
    "Commit",
    "CopyMark",
    "CopyStep",
    "Envelope",
    "Operation",
    "Position",
    "Resnapshot",
    "TableId",
    "TableSchema",
    "printable",
    "shown",
]
