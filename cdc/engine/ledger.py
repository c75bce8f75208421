"""A source's log together with the states of its tables.

Rule: a change of state is committed first, and then applied in memory. An entry works on a draft of
its own; nobody else sees it before the commit, and after a commit that fails it is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from cdc.engine.repeats import Repeats
from cdc.engine.tables import TableBook, TableDraft
from cdc.model import ChangeSet, Commit, Position, Resnapshot, TableId, TableSchema
from cdc.spi import LogTransaction, LogWriter


@dataclass(frozen=True, slots=True)
class Requested:
    """A request of the source to copy a table again. `is_void`: the present copy of the table, or the one in
    progress, is no longer valid.
    """

    table: TableId
    request: Resnapshot
    is_void: bool


class Ledger:
    """Reads may come from any thread at any time; changes are made by one entry after the other."""

    def __init__(self, log: LogWriter) -> None:
        self.log = log
        self._book = TableBook.from_metadata(log.metadata)
        self._requests: Counter[TableId] = Counter()
        self._requested_at: dict[TableId, int] = {}
        self.repeats = Repeats()

    @property
    def tables(self) -> TableBook:
        """The states as of the newest commit."""
        return self._book

    @property
    def reached(self) -> Position:
        """The position of the newest commit; the log has one before the stream begins."""
        end = self.log.end
        assert end is not None, "the log has no commit yet"
        return end.position

    def requests(self, table: TableId) -> int:
        """Return how often the source has asked in this process for the table to be read again.

        A snapshot that was opened before such a request may lack what it is about, even of a table that only
        waits for its copy, whose phase the request leaves as it is.
        """
        return self._requests[table]

    def requested_at(self, table: TableId) -> int:
        """Return the order of the position of the last such request: what it is about may be missing in a
        snapshot that orders before.
        """
        return self._requested_at.get(table, 0)

    def start_new_history(self) -> None:
        """Forget the positions of requests: later ones belong to another history of the source."""
        self._requested_at.clear()

    def begin(self) -> LedgerEntry:
        """Open an entry; wait until no other one is open."""
        transaction = self.log.begin()
        return LedgerEntry(transaction, self._book, self.log, self._follow)

    def _follow(
        self, changes: Mapping[str, str | None] | None, requested: Sequence[Requested], position: Position
    ) -> None:
        if changes is None:
            self._book = TableBook.from_metadata(self.log.metadata)
        elif changes:
            self._book = self._book.following(changes)
        for one in requested:
            self._requests[one.table] += 1
            self._requested_at[one.table] = position.order
            if one.is_void:
                self.repeats.note(one.table, one.request)


class LedgerEntry:
    """An uncommitted entry of a ledger. `with` closes it; without a commit it is discarded."""

    def __init__(
        self,
        transaction: LogTransaction,
        book: TableBook,
        log: LogWriter,
        follow: Callable[[Mapping[str, str | None] | None, Sequence[Requested], Position], None],
    ) -> None:
        self._transaction = transaction
        self._log = log
        self._follow = follow
        self.tables = TableDraft(book)
        self.requested: list[Requested] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def schema(self, table: TableId) -> TableSchema | None:
        """Return the newest schema of a table as of the previous commit."""
        return self._log.schema(table)

    def append(self, changes: ChangeSet) -> None:
        self._transaction.append(changes)

    def buffer(self, number: int, changes: ChangeSet) -> None:
        self._transaction.buffer(number, changes)

    def commit(
        self, position: Position | None = None, metadata: Mapping[str, str | None] | None = None
    ) -> Commit:
        """Commit at this position (None: that of the previous commit) and apply the changes in memory."""
        if position is None:
            end = self._log.end
            assert end is not None, "the first commit has a position of its own"
            position = end.position
        for number in self.tables.unused_buffers:
            self._transaction.drop(number)
        changes = {**self.tables.metadata, **(metadata or {})}
        before = self._log.end
        try:
            commit = self._transaction.commit(position, changes)
        except BaseException:
            # It may have happened all the same: the log knows.
            has_happened = self._log.end != before
            self._follow(None, self.requested if has_happened else (), position)
            raise
        self._follow(changes, self.requested, position)
        return commit

    def close(self) -> None:
        """End the entry. May be called twice."""
        self._transaction.close()
