"""Savepoints of the current transaction, and rows in the binlog that were rolled back: by ROLLBACK, by
ROLLBACK TO a savepoint, or because a file ends inside the transaction.

Servers usually keep such rows out of the binlog. A transaction that created a temporary table or changed
rows of a non-transactional engine is the exception: the server writes its rows, then the ROLLBACK. A part
of a transaction that was already delivered cannot be recalled, but its reader discards the parts if the
session ends before the transaction does. So the session reads to the end of the transaction, delivers
nothing more, and ends. The next session skips the rolled-back rows from the start.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from cdc.errors import SourceUnavailable
from cdc_source_mysql.binlog.transactions import Savepoint
from cdc_source_mysql.wire.decoder import Binlog

# Only the transaction that a session ended at, and prepared ones, are read again; older entries are unused.
MOST_TRANSACTIONS = 100


class RolledBackRows:
    """Rolled-back rows that the sessions of one source have seen: half-open ranges of row numbers by
    transaction. Transactions are named by GTID where they have one, which holds however the next session
    begins.
    """

    def __init__(self) -> None:
        self._ranges: dict[str, set[tuple[int, int]]] = {}

    def note(self, tx: str, rows: tuple[int, int]) -> None:
        self._ranges.setdefault(tx, set()).add(rows)
        while len(self._ranges) > MOST_TRANSACTIONS:
            del self._ranges[next(iter(self._ranges))]

    def ranges(self, tx: str) -> frozenset[tuple[int, int]]:
        return frozenset(self._ranges.get(tx, ()))


class Rollbacks:
    """Drops rolled-back rows from one decoder. `is_late`: some of them were already delivered."""

    def __init__(self, decoder: Binlog, known: RolledBackRows) -> None:
        self._decoder = decoder
        self._known = known
        self.is_late = False

    def roll_back(self, kept: int = 0) -> None:
        """Drop the rows of the current transaction, or of the one that just ended, after the first `kept`."""
        tx, rows = self._decoder.tx, (kept, self._decoder.transaction_changes)
        is_known = rows in self._known.ranges(tx)
        if self._decoder.drop_transaction(kept) and not is_known:
            self._known.note(tx, rows)
            self.is_late = True

    def drop_known(self) -> None:
        """Drop the current transaction's rows that are known to be rolled back; call before taking a part."""
        for first, end in self._known.ranges(self._decoder.tx):
            self._decoder.drop_transaction(first, end)

    def require_none_late(self) -> None:
        """Call between two transactions.

        Raises:
            SourceUnavailable: rows were rolled back after they had been delivered.
        """
        if self.is_late:
            raise SourceUnavailable(
                "a transaction rolled back rows after part of it had been read",
                where=self._decoder.position_text,
                remedy="The transaction is read again without them.",
            )


class Savepoints:
    """The savepoints of one decoder's current transaction: for each, how many rows preceded it."""

    def __init__(self, decoder: Binlog, rollbacks: Rollbacks, doubt: Callable[[str], None]) -> None:
        """`doubt` requests a copy of every table, with the reason."""
        self._doubt = doubt
        self._decoder = decoder
        self._rollbacks = rollbacks
        self._transaction = ""
        self._marks: dict[str, int] = {}

    def apply(self, savepoint: Savepoint) -> bool:
        """Apply the statement; return whether it rolled back rows."""
        if self._transaction != self._decoder.position_text:
            self._transaction = self._decoder.position_text
            self._marks = {}
        name = _folded(savepoint.name)
        if savepoint.verb == "rollback":
            return self._roll_back(name)
        # Setting a savepoint again moves it; RELEASE also ends the later ones.
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
        self._rollbacks.roll_back(mark)
        # Rows that are gone are not rolled back twice.
        now = self._decoder.transaction_changes
        kept = {**self._before(name), name: mark}
        self._marks = {each: now if at == mark else at for each, at in kept.items()}
        return has_rows

    def _before(self, name: str) -> dict[str, int]:
        names = list(self._marks)
        end = names.index(name) if name in self._marks else len(names)
        return {each: self._marks[each] for each in names[:end]}


def _folded(name: str) -> str:
    """Fold a savepoint's name as servers compare it: without case and accents."""
    plain = unicodedata.normalize("NFD", name.upper())
    return "".join(c for c in plain if not unicodedata.combining(c)).rstrip(" ")
