"""The savepoints of the transaction at hand, and the rows that a rollback to one of them takes back.

A server leaves such rows out of its binlog where it can; where it can't (a temporary table was made, or rows
of an engine without transactions changed) it writes them, and ROLLBACK TO behind them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from cdc_source_mysql.binlog.taken_back import Retractions
from cdc_source_mysql.binlog.transactions import Savepoint
from cdc_source_mysql.wire.decoder import Binlog


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
