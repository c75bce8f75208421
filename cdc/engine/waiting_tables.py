"""The tables whose copy the source delays, with the reason: in status at once, logged if the delay is long,
and an error if nothing will end it.
"""

from __future__ import annotations

from collections.abc import Collection

from cdc.engine.capture_context import CaptureContext
from cdc.engine.status import LastError
from cdc.engine.waits import TABLE
from cdc.errors import CdcError, StreamBehind, UnsupportedSchema
from cdc.model import Position, TableId


class WaitingTables:
    """Used by the coordinator's thread only."""

    def __init__(self, context: CaptureContext) -> None:
        self._log = context.log
        self._waits = context.status.waits
        self._pacing = context.pacing
        self._errors: dict[TableId, CdcError] = {}
        self._unready: set[TableId] = set()
        # Where the source was when a table was first seen to wait.
        self._seen_at: dict[TableId, Position] = {}

    @property
    def last_error(self) -> LastError | None:
        """The reason of the first waiting table, as the status shows it."""
        return LastError.of(next(iter(self._errors.values())), None) if self._errors else None

    def keep(self, tables: Collection[TableId]) -> None:
        """Forget the tables that are not among those still to copy."""
        for table in [table for table in self._errors if table not in tables]:
            self.note(table, None)

    def note(self, table: TableId, error: CdcError | None, source_at: Position | None = None) -> None:
        """Keep why this table waits; None when it does not any more. `source_at`: where the source is now."""
        what = f"{TABLE}{table}"
        if error is None:
            self._errors.pop(table, None)
            self._seen_at.pop(table, None)
            self._waits.end(what)
            return
        self._errors[table] = error
        if source_at is not None:
            self._seen_at.setdefault(table, source_at)
        self._waits.begin(what, error.message, error.remedy, kind=type(error).__name__)

    def keep_unready(self, tables: Collection[TableId]) -> None:
        """Keep the tables that wait until the stream reaches what the catalog shows under their names."""
        for table in self._unready - set(tables) - self._errors.keys():
            self._waits.end(f"{TABLE}{table}")
        self._unready = set(tables)
        for table in self._unready:
            self._waits.begin(
                f"{TABLE}{table}", "the stream has not reached the table's latest definition in the catalog"
            )

    def stuck(self) -> dict[TableId, UnsupportedSchema]:
        """Return the tables that wait for a stream that has passed them, each with its error."""
        stuck = [table for table in self._errors if self._is_stuck(table)]
        return {table: _never_copied(table, self._errors[table]) for table in stuck}

    def _is_stuck(self, table: TableId) -> bool:
        if not isinstance(self._errors[table], StreamBehind) or table not in self._seen_at:
            return False
        end = self._log.end
        has_passed = end is not None and end.position.order >= self._seen_at[table].order
        return has_passed and self._waits.seconds(f"{TABLE}{table}") >= self._pacing.behind_seconds


def _never_copied(table: TableId, error: CdcError) -> UnsupportedSchema:
    return UnsupportedSchema(
        f"the table is not copied: {error.message}, although the stream has passed it",
        where=str(table),
        remedy=error.remedy
        or f'Exclude the table with an entry "!{table}" in tables, and report this error.',
    )
