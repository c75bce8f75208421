"""Savepoints of the current transaction, and rows that the binlog takes back: by ROLLBACK, by ROLLBACK TO a
savepoint, or because a file ends inside the transaction.

A server leaves such rows out of its binlog where it can; where it can't (a temporary table was made, or
rows of an engine without transactions changed) it writes them, and the ROLLBACK behind them. A part of a
transaction that was already delivered cannot be recalled, but its reader discards the parts when the
session ends before their transaction does. So the session reads on to the end of the transaction, delivers
nothing more, and ends. The next session knows which rows are taken back, and skips them from the start.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from cdc.errors import SourceUnavailable
from cdc_source_mysql.binlog.transactions import Savepoint
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
                "a transaction rolled back rows after part of it had been read",
                where=self._decoder.position_text,
                remedy="The transaction is read again without them.",
            )


class Savepoints:
    """Of one decoder. How many rows the transaction had when each was set, in the order of setting."""

    def __init__(self, decoder: Binlog, retractions: Retractions, doubt: Callable[[str], None]) -> None:
        """`doubt` has every table copied again, for a reason."""
        self._doubt = doubt
        self._decoder = decoder
        self._retractions = retractions
        self._transaction = ""
        self._marks: dict[str, int] = {}

    def apply(self, savepoint: Savepoint) -> bool:
        """Follow the statement; true when it took rows back."""
        if self._transaction != self._decoder.position_text:
            self._transaction = self._decoder.position_text
            self._marks = {}
        name = _folded(savepoint.name)
        if savepoint.verb == "rollback":
            return self._roll_back(name)
        # One that is set again is the latest; release ends the later ones too.
        if savepoint.verb == "release":
            self._marks = self._before(name)
            return False
        self._marks.pop(name, None)
        self._marks[name] = self._decoder.transaction_changes
        return False

    def _roll_back(self, name: str) -> bool:
        mark = self._marks.get(name)
        if mark is None:
            self._doubt(
                "a transaction was rolled back to a savepoint that the binary log does not show, at"
                f" {self._decoder.position_text}"
            )
            return False
        has_rows = self._decoder.transaction_changes > mark
        self._retractions.take_back(mark)
        # What is gone need not be taken back again.
        now = self._decoder.transaction_changes
        kept = {**self._before(name), name: mark}
        self._marks = {each: now if at == mark else at for each, at in kept.items()}
        return has_rows

    def _before(self, name: str) -> dict[str, int]:
        names = list(self._marks)
        end = names.index(name) if name in self._marks else len(names)
        return {each: self._marks[each] for each in names[:end]}


def _folded(name: str) -> str:
    """As servers compare the names of savepoints: without case and accents."""
    plain = unicodedata.normalize("NFD", name.upper())
    return "".join(c for c in plain if not unicodedata.combining(c)).rstrip(" ")
