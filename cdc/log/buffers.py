"""Buffers of a log on local disk: a folder of segments each, confirmed by the commits of the log.

Order of durability: the buffers first, then the log's own commit, whose metadata says how far each buffer
counts. Later bytes of a buffer belong to a commit that never happened: readers do not see them, and they are
cut before the buffer is written again. The source sends these changes again.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cdc import failpoints
from cdc.model import ChangeBatch, ChangeSet, Commit, Position
from cdc.spi.log import BufferReader, LogTransaction

# The log's own keys in its metadata: the offset to which it confirms the buffer of a number.
_PREFIX = "buffer:"
# Before there were such keys, the engine kept them by table, and the number in the table's state.
_OLD_PREFIX = "held:"
_OLD_STATE_PREFIX = "table:"


class BufferLog(BufferReader, Protocol):
    """A log that can be cut back to a commit boundary."""

    def begin(self) -> LogTransaction: ...

    def truncate(self, next_offset: int) -> None: ...

    def close(self) -> None: ...


class Buffers:
    """All buffers of one log; each is opened on first use. `metadata` returns the log's as of its newest
    commit.
    """

    def __init__(
        self, folder: Path, open_log: Callable[[Path], BufferLog], metadata: Callable[[], Mapping[str, str]]
    ) -> None:
        self._folder = folder
        self._open_log = open_log
        self._metadata = metadata
        self._logs: dict[int, BufferLog] = {}
        # A reader and the writer may both be the first to ask for a buffer.
        self._opening = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for child in folder.iterdir():
            if not child.name.isdigit() or self._confirmed(int(child.name)) == 0:
                shutil.rmtree(child)

    def begin(self, number: int) -> LogTransaction:
        """Open a transaction of one buffer, after what the log confirms."""
        log = self._log(number)
        log.truncate(self._confirmed(number))
        return log.begin()

    def commit(
        self,
        touched: Mapping[int, LogTransaction],
        dropped: Collection[int],
        position: Position,
        commit_at: datetime | None,
    ) -> dict[str, str | None]:
        """Make the buffers durable; return the metadata by which the log's commit confirms them."""
        confirmed: dict[str, str | None] = {}
        for number, transaction in touched.items():
            # The part that ends a transaction may have had nothing for this buffer.
            transaction.append(ChangeSet((), None, commit_at=commit_at))
            confirmed[_key(number)] = str(transaction.commit(position).next)
        if touched:
            failpoints.hit("log.buffers-durable")
        return confirmed | {_key(number): None for number in dropped if _key(number) in self._metadata()}

    def remove(self, numbers: Collection[int]) -> None:
        """Delete buffers that the log no longer confirms."""
        for number in numbers:
            with self._opening:
                log = self._logs.pop(number, None)
            if log is not None:
                log.close()
            shutil.rmtree(self._folder / str(number), ignore_errors=True)

    def reader(self, number: int) -> BufferReader:
        """Return a reader of the confirmed changes."""
        confirmed = self._confirmed(number)
        return _ConfirmedReader(self._log(number) if confirmed else None, confirmed)

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()

    def _log(self, number: int) -> BufferLog:
        with self._opening:
            if number not in self._logs:
                self._logs[number] = self._open_log(self._folder / str(number))
            return self._logs[number]

    def _confirmed(self, number: int) -> int:
        return int(self._metadata().get(_key(number), 0))


class _ConfirmedReader:
    """Implements `cdc.spi.log.BufferReader` below an offset; without a log there is nothing."""

    def __init__(self, log: BufferReader | None, end: int) -> None:
        self._log = log
        self._end = end

    def commits(self, start: int) -> Iterator[Commit]:
        for commit in self._log.commits(start) if self._log else ():
            if commit.next > self._end:
                return
            yield commit

    def read(self, first: int, next: int) -> Iterator[ChangeBatch]:  # noqa: A002
        return self._log.read(first, min(next, self._end)) if self._log else iter(())


def without_buffers(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a copy without the log's own keys."""
    return {key: text for key, text in metadata.items() if not key.startswith(_PREFIX)}


def renamed_keys(metadata: Mapping[str, str]) -> dict[str, str | None]:
    """Return the changes that turn the keys of an earlier version into those of this one."""
    changes: dict[str, str | None] = {}
    for key, offset in metadata.items():
        if key.startswith(_OLD_PREFIX):
            changes[key] = None
            state = metadata.get(_OLD_STATE_PREFIX + key.removeprefix(_OLD_PREFIX))
            number = None if state is None else json.loads(state)["held"]
            if number is not None:
                changes[_key(number)] = offset
    return changes


def _key(number: int) -> str:
    return f"{_PREFIX}{number}"
