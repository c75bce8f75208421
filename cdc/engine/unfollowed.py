"""Tables that the log has, and that the source no longer sends by their own names: renamed, parts of others,
or gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cdc.engine.capture_context import CaptureContext
from cdc.engine.ledger import Phase
from cdc.engine.routing import forget
from cdc.errors import CdcError, SourceRefused
from cdc.model import Commit, Position, TableId
from cdc.spi.source import Absence, ExplainsAbsence, NamesUnreadable


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
        self._unreadable: Collection[TableId] = ()

    @property
    def is_waiting(self) -> bool:
        """Whether the stream has yet to pass a place where the catalog showed one of them."""
        return bool(self._leaving)

    def look(self, discovered: Collection[TableId], seen_at: Position) -> Mapping[TableId, CdcError]:
        """Look at the source, whose catalog was read before it was at `seen_at`; return the errors of the
        tables whose rows are not delivered.
        """
        # Read first: what the source says of its tables is of this place, or of a later one.
        end = self._log.end
        known = self._missing(discovered)
        found = self._source.absent(known) if known and isinstance(self._source, ExplainsAbsence) else {}
        self.tables = found.keys()
        self._status.unfollow({table: one for table, one in found.items() if one.within is not None})
        self._leave(found, self._gone(known.keys() - found.keys()), seen_at, end)
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

    def _gone(self, missing: Collection[TableId]) -> set[TableId]:
        """Return those of the tables that were live, and do not exist any more.

        What waits for a copy that can no longer be made, or is paused, is the coordinator's.
        """
        states = {table: self._ledger.tables.get(table) for table in missing}
        gone = {table for table, state in states.items() if state is not None and state.phase is Phase.LIVE}
        if not isinstance(self._source, NamesUnreadable):
            return gone
        errors = self._source.unreadable(gone) if gone else {}
        unreadable = gone & errors.keys()
        for table in sorted(unreadable.difference(self._unreadable)):
            self._report(
                "a table that was copied can no longer be read",
                level="warning",
                table=str(table),
                reason=errors[table].message,
                remedy=errors[table].remedy,
            )
        self._unreadable = unreadable
        return gone - unreadable

    def _leave(
        self,
        found: Mapping[TableId, Absence],
        gone: Collection[TableId],
        seen_at: Position,
        end: Commit | None,
    ) -> None:
        """Forget the state of each table that the stream shows as the catalog does."""
        before, self._leaving = self._leaving, {}
        for table in (*found, *gone):
            if self._ledger.tables.get(table) is None:
                continue
            first_seen = before.get(table, seen_at)
            is_passed = end is not None and end.position.order >= first_seen.order
            # A catalog without transactions can miss a table for a moment.
            if not is_passed or (table in gone and table not in before):
                self._leaving[table] = first_seen
            elif table in found:
                self._forget(table)
                self._warn(table, found[table])
            else:
                self._remove(table)

    def _forget(self, table: TableId) -> None:
        with self._ledger.begin() as entry:
            state = entry.tables.get(table)
            if state is not None:
                forget(entry, {table: state}, self._ledger.reached)
                entry.commit()

    def _remove(self, table: TableId) -> None:
        """Forget a table that is gone: the sinks have all its rows, and wait for none."""
        with self._ledger.begin() as entry:
            state = entry.tables.get(table)
            if state is None or state.phase is not Phase.LIVE:
                return
            entry.tables.remove(table)
            entry.commit()
        message = "a table no longer exists under its name: the sinks keep its rows"
        self._report(message, level="warning", table=str(table))

    def _warn(self, table: TableId, absence: Absence) -> None:
        if absence.within is not None:
            self._report(
                "a table is no longer followed by its own name: the sinks keep its rows",
                level="warning",
                table=str(table),
                reason=absence.reason,
                remedy=absence.remedy,
            )
