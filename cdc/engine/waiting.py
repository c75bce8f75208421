"""The tables whose copy the source puts off, with the reason: in status at once, logged when it lasts."""

from __future__ import annotations

import time
from collections.abc import Collection

from cdc.engine.reading import Reading
from cdc.engine.status import Trouble
from cdc.errors import CdcError
from cdc.model import TableId

# A table that waits longer than this is logged: an operator may have to act.
REPORT_SECONDS = 10.0


class WaitingTables:
    """Used by the coordinator's thread only."""

    def __init__(self, reading: Reading) -> None:
        self._report = reading.report
        self._since: dict[TableId, float] = {}
        self._errors: dict[TableId, CdcError] = {}
        self._reported: set[TableId] = set()

    @property
    def trouble(self) -> Trouble | None:
        """The first waiting table's reason, as status shows it."""
        return Trouble.of(next(iter(self._errors.values())), None) if self._errors else None

    def keep(self, tables: Collection[TableId]) -> None:
        """Forget the tables that are not among those still to copy."""
        for table in [table for table in self._errors if table not in tables]:
            self.note(table, None)

    def note(self, table: TableId, error: CdcError | None) -> None:
        """Keep why this table waits; None when it does not any more."""
        if error is None:
            self._since.pop(table, None)
            self._errors.pop(table, None)
            if table in self._reported:
                self._reported.discard(table)
                self._report("the table's copy continues", table=str(table))
            return
        self._errors[table] = error
        since = self._since.setdefault(table, time.monotonic())
        if table not in self._reported and time.monotonic() - since >= REPORT_SECONDS:
            self._reported.add(table)
            self._report(
                "a table waits for its copy",
                level="warning",
                table=str(table),
                error=error.message,
                remedy=error.remedy,
            )
