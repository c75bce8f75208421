"""Tables that a sink cannot store: it sets them aside, with a reason, until a truncate makes them
complete.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cdc.errors import CdcError
from cdc.model import ChangeBatch, Operation, TableSchema
from cdc.spi import SetAside


class TableRefused(Exception):
    """One table cannot be stored, for the reason `error`; the others can.

    `since`: the sink has the table's changes before this offset; None if it has those before the delivery.
    """

    def __init__(self, schema: TableSchema, error: CdcError, since: int | None = None) -> None:
        super().__init__(str(schema.table))
        self.schema = schema
        self.error = error
        self.since = since


def set_aside_for(error: CdcError, schema: TableSchema, since: int, *, deliverable: bool = False) -> SetAside:
    """Return the entry of a table that is set aside since this offset, for this reason."""
    message = f"{error.where}: {error.message}" if error.where else error.message
    return SetAside(schema.table, since, type(error).__name__, message, error.remedy, deliverable)


def from_truncate(batch: ChangeBatch, since: int) -> ChangeBatch | None:
    """Return the changes from the first truncate at or after `since`; None without one.

    A copy of a table begins with a truncate too.
    """
    mask = (np.asarray(batch.ops) == Operation.TRUNCATE.code) & (np.asarray(batch.seq) >= since)
    if not mask.any():
        return None
    return replace(batch, data=batch.data.slice(int(np.flatnonzero(mask)[0])))
