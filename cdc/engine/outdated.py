"""Tables whose rows in the log were captured under other transforms than the current ones.

What was delivered stays as it was until the table is copied again. Where a column of the key is captured
differently there is no choice: changes would not find the rows that were delivered, so the copy is due at
once.
"""

from __future__ import annotations

from collections.abc import Callable

from cdc.engine.ledger import Ledger, LedgerEntry, Phase, TableBook, TableState
from cdc.engine.routing import Routed, Router
from cdc.model import TableId
from cdc.model.batch import EVERYONE
from cdc.spi import Source
from cdc.spi.source import TransformsRows
from cdc.transform.record import difference, key_differs

KEY_REASON = "a column of its key is masked or named differently now"

Record = Callable[[TableId], str]


def record_of(source: Source) -> Record:
    """Return what records the transforms of a table, to compare them later."""
    return source.record if isinstance(source, TransformsRows) else lambda _table: ""


class Outdated:
    """Looks at the states of one source's tables. Any thread."""

    def __init__(self, ledger: Ledger, record: Record) -> None:
        self._ledger = ledger
        self._record = record
        self._seen: TableBook | None = None
        self._names: list[str] = []

    def names(self) -> list[str]:
        """The tables that `cdc snapshot` would mend, by name."""
        book = self._ledger.tables
        if book is not self._seen:
            self._names = [str(table) for table, state in book.items() if self._is_outdated(table, state)]
            self._seen = book
        return sorted(self._names)

    def changes(self) -> dict[TableId, list[str]]:
        """Return the change of each outdated table, for people."""
        return {
            table: difference(state.transforms, self._record(table))
            for table, state in self._ledger.tables.items()
            if self._is_outdated(table, state)
        }

    def copy_where_keys_changed(self, entry: LedgerEntry, router: Router) -> Routed:
        """Have the tables copied again whose keys are captured differently."""
        due = []
        for table, state in entry.tables.items():
            schema = entry.schema(table)
            is_live = state.phase is Phase.LIVE and table.schema
            if is_live and schema and key_differs(state.transforms, self._record(table), schema.key):
                due.append(table)
        return router.copy_for(entry.tables, due, EVERYONE, KEY_REASON)

    def _is_outdated(self, table: TableId, state: TableState) -> bool:
        if not table.schema or (state.is_copied and state.audience.is_everyone):
            return False
        return state.transforms != self._record(table)
