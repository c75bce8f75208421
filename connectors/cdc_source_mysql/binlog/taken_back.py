"""Rows that the binlog takes back after a part of their transaction was handed on: by ROLLBACK, to a
savepoint, or because a file ends inside of the transaction.

A part can't be called back, but whoever takes parts forgets them when the session ends before their
transaction does. So the session reads on to the end of the transaction, handing on nothing more, and ends;
the next one knows which rows are taken back, and leaves them out from the beginning.
"""

from __future__ import annotations

from cdc.errors import SourceUnavailable
from cdc_source_mysql.wire.decoder import Binlog

# Only the transaction that a session ended at is read again, and a prepared one; the rest is history.
MOST_TRANSACTIONS = 100


class TakenBack:
    """What the sessions of one source object have learned: by the name of a transaction (its GTID, which
    holds in whatever way the next session begins), half-open ranges of its rows' numbers.
    """

    def __init__(self) -> None:
        self._ranges: dict[str, set[tuple[int, int]]] = {}

    def note(self, tx: str, rows: tuple[int, int]) -> None:
        self._ranges.setdefault(tx, set()).add(rows)
        while len(self._ranges) > MOST_TRANSACTIONS:
            del self._ranges[next(iter(self._ranges))]

    def ranges(self, tx: str) -> frozenset[tuple[int, int]]:
        return frozenset(self._ranges.get(tx, ()))


class Retractions:
    """Takes rows back, of one decoder. `is_late`: of rows that have been handed on."""

    def __init__(self, decoder: Binlog, known: TakenBack) -> None:
        self._decoder = decoder
        self._known = known
        self.is_late = False

    def take_back(self, kept: int = 0) -> None:
        """The rows of the transaction at hand, or of the one that has just ended, but its first `kept`."""
        tx, rows = self._decoder.tx, (kept, self._decoder.transaction_changes)
        is_known = rows in self._known.ranges(tx)
        if self._decoder.drop_transaction(kept) and not is_known:
            self._known.note(tx, rows)
            self.is_late = True

    def leave_out(self) -> None:
        """Before a part of the transaction at hand is taken: without what will be taken back."""
        for first, end in self._known.ranges(self._decoder.tx):
            self._decoder.drop_transaction(first, end)

    def require_none_late(self) -> None:
        """To be called between two transactions.

        Raises:
            SourceUnavailable: rows were taken back that have been handed on.
        """
        if self.is_late:
            raise SourceUnavailable(
                "rows were taken back of a transaction of which a part had been read",
                where=self._decoder.position_text,
                remedy="The transaction is read again without them.",
            )
