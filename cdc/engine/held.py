"""The held logs: streamed changes of tables under snapshot wait here, on disk,
until the rows are in the main log.

One folder a held table. The main log's facts say up to where each is confirmed; at start the rest is cut off,
because the source sends it again.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cdc.model import ChangeSet
from cdc.spi import ChangeLog


class CuttableLog(ChangeLog, Protocol):
    """A log that can be cut back to a commit boundary."""

    def truncate(self, next_offset: int) -> None: ...


class HeldLogs:
    """Owns all held logs of one source; opened on first use, closed together."""

    def __init__(self, folder: Path, open_log: Callable[[Path], CuttableLog]) -> None:
        self._folder = folder
        self._open_log = open_log
        self._logs: dict[int, CuttableLog] = {}
        # Capture and the coordinator may both be the first to ask for a log.
        self._opening = threading.Lock()

    def recover(self, confirmed: dict[int, int]) -> None:
        """At start: cut each log to what the main log confirms (number → offset),
        delete those that nobody uses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {number: offset for number, offset in confirmed.items() if offset > 0}
        for number in [number for number in self._logs if number not in kept]:
            self.destroy(number)
        for child in self._folder.iterdir():
            if not child.name.isdigit() or int(child.name) not in kept:
                shutil.rmtree(child)
        for number, offset in kept.items():
            self.log(number).truncate(offset)

    def log(self, number: int) -> CuttableLog:
        with self._opening:
            if number not in self._logs:
                self._logs[number] = self._open_log(self._folder / str(number))
            return self._logs[number]

    def append(self, number: int, changes: ChangeSet) -> int | None:
        """Append to one held log; the confirmed-to offset when the set ends a transaction, else None."""
        commit = self.log(number).append(changes)
        return commit.next if commit else None

    def abandon(self) -> None:
        for log in list(self._logs.values()):
            log.abandon()

    def destroy(self, number: int) -> None:
        """Delete one held log; its changes are all in the main log."""
        with self._opening:
            log = self._logs.pop(number, None)
        if log is not None:
            log.close()
        shutil.rmtree(self._folder / str(number), ignore_errors=True)

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()
