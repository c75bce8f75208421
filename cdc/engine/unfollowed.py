"""Tables that the log has, and that the source no longer sends by their own names, though they exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cdc.engine.capture_context import CaptureContext
from cdc.engine.routing import forget
from cdc.errors import CdcError, SourceRefused
from cdc.model import Position, TableId
from cdc.spi.source import Absence, ExplainsAbsence


class UnfollowedTables:
    """Show why each of them is not followed, until it is again, is dropped, or is excluded.

    Its state is forgotten once the stream has passed the place where the catalog showed this: a table that
    comes back is copied.
    """

    def __init__(self, context: CaptureContext) -> None:
        self._source = context.source
        self._ledger = context.ledger
        self._log = context.log
        self._status = context.status
        self._report = context.report
        # Those whose state is to be forgotten, each with the position by which the stream must show it.
        self._leaving: dict[TableId, Position] = {}
        self.tables: Collection[TableId] = ()

    @property
    def is_waiting(self) -> bool:
        """Whether the stream has yet to pass a place where the catalog showed one of them."""
        return bool(self._leaving)

    def look(self, discovered: Collection[TableId], seen_at: Position) -> Mapping[TableId, CdcError]:
        """Look at the source, whose catalog was read before it was at `seen_at`; return the errors of the
        tables whose rows are not delivered.
        """
        if not isinstance(self._source, ExplainsAbsence):
            return {}
        known = self._missing(discovered)
        found = self._source.absent(known) if known else {}
        self.tables = found.keys()
        self._status.unfollow({table: one for table, one in found.items() if one.within is not None})
        self._leave(found, seen_at)
        where = f"sources.{self._status.name}"
        return {
            table: SourceRefused(one.reason, where=where, remedy=one.remedy)
            for table, one in found.items()
            if one.within is None
        }

    def _missing(self, discovered: Collection[TableId]) -> dict[TableId, int | None]:
        return {
            table: schema.relation
            for table in self._log.tables
            if table not in discovered
            and self._source.selects(table)
            and (schema := self._log.schema(table)) is not None
        }

    def _leave(self, found: Mapping[TableId, Absence], seen_at: Position) -> None:
        """Forget the state of each table that the stream shows as the catalog does."""
        left = [table for table in found if self._ledger.tables.get(table) is not None]
        self._leaving = {table: self._leaving.get(table, seen_at) for table in left}
        end = self._log.end
        for table in left:
            if end is None or end.position.order < self._leaving[table].order:
                continue
            del self._leaving[table]
            with self._ledger.begin() as entry:
                state = entry.tables.get(table)
                if state is not None:
                    forget(entry, {table: state}, self._ledger.reached)
                    entry.commit()
            self._warn(table, found[table])

    def _warn(self, table: TableId, absence: Absence) -> None:
        if absence.within is not None:
            self._report(
                "a table is no longer followed by its own name: the sinks keep its rows",
                level="warning",
                table=str(table),
                reason=absence.reason,
                remedy=absence.remedy,
            )
