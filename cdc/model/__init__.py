"""The event model: frozen values, columnar batches, no I/O."""

from cdc.model.audience import Audience
from cdc.model.batch import ChangeBatch, Envelope
from cdc.model.copy_mark import CopyMark, CopyStep
from cdc.model.names import printable, shown
from cdc.model.operation import Operation
from cdc.model.position import Position
from cdc.model.schema import Column, TableId, TableSchema
from cdc.model.transaction import ChangeSet, Commit, Resnapshot

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
