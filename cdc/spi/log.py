"""The contract of the durable log, which capture writes and deliveries read.

A log is an ordered, durable sequence of ChangeSets of one source, with a dictionary of text beside it: the
log metadata. Offsets are the values of `_cdc_seq`. Each commit changes position, changes, buffered changes
and metadata together, or not at all. A reader sees committed changes only.

Changes of a table whose copy is not finished wait in a buffer of the log, which has a number, until the
engine appends them to the log itself (catch-up).

Every method may raise LogUnavailable, LogCorrupt, LogFull, LogFenced (another process has taken over as the
writer) or LogTrimmed where these apply. Methods may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self

from cdc.errors import LogCorrupt
from cdc.model import ChangeBatch, ChangeSet, Commit, Position, TableId, TableSchema
from cdc.spi.finding import Finding


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Result of a trim: what was removed, and the oldest offset that the log still has."""

    byte_count: int
    start: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of a check of a log: what was read, and every damage (one per part at most).

    `tail_bytes` come after the newest commit: a write in progress, or torn by a crash and cut at the next
    start. `passed` is the damage that no reader needs.
    """

    part_count: int
    commit_count: int
    batch_count: int
    byte_count: int
    tail_bytes: int
    damage: Sequence[LogCorrupt]
    passed: Sequence[LogCorrupt] = ()


class LogPart(Protocol):
    """A part of a log as it is stored, for operators; `place` is its file or what the storage calls it.

    It holds the offsets first ≤ offset < next. `oldest` and `newest` are None while it has no commit.
    """

    @property
    def place(self) -> str: ...

    @property
    def first(self) -> int: ...

    @property
    def next(self) -> int: ...

    @property
    def byte_count(self) -> int: ...

    @property
    def commit_count(self) -> int: ...

    @property
    def oldest(self) -> Commit | None: ...

    @property
    def newest(self) -> Commit | None: ...


class BufferReader(Protocol):
    """The committed changes of one buffer, with offsets of their own."""

    def commits(self, start: int) -> Iterator[Commit]:
        """Yield the commits from the one that holds offset `start` to the newest."""
        ...

    def read(self, first: int, next: int) -> Iterator[ChangeBatch]:  # noqa: A002  (the term of the docs)
        """Yield the batches with first ≤ offset < next in order. Both offsets are commit boundaries."""
        ...


class LogReader(Protocol):
    """Read access to one source's log, for a delivery in any process. Closed by its opener."""

    @property
    def identity(self) -> str:
        """The unique name of this history; a new log has another one."""
        ...

    @property
    def end(self) -> Commit | None:
        """The newest durable commit; None in an empty log."""
        ...

    @property
    def start(self) -> int:
        """The oldest offset that can be read; equals the end's `next` when nothing is kept."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """A copy of the log metadata as of the newest durable commit."""
        ...

    @property
    def tables(self) -> Collection[TableId]:
        """The tables whose changes the log has, or had before retention removed them."""
        ...

    @property
    def parts(self) -> Sequence[LogPart]:
        """The parts that the log is stored in, oldest first; the last one may still grow."""
        ...

    def commits(self, start: int) -> Iterator[Commit]:
        """Yield the durable commits from the one that holds offset `start` to the newest, oldest first.

        LogTrimmed when `start` is gone.
        """
        ...

    def read(
        self,
        first: int,
        next: int,  # noqa: A002  (the term of the docs)
        sink: str | None = None,
        tables: Collection[TableId] | None = None,
        before_large: Callable[[int], None] | None = None,
    ) -> Iterator[ChangeBatch]:
        """Yield the batches with first ≤ offset < next in the order they were appended.

        `sink` restricts them to those whose audience includes that sink, `tables` to those of these tables.
        Both offsets must be commit boundaries. `before_large` is called with the size in bytes of each batch
        of 1 MiB or more before it is in memory.
        """
        ...

    def wait(self, offset: int, timeout_seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Block until a durable change lies at or beyond `offset`; return False if the time is up first, or
        if `until` returns True: it is called at the beginning and after every `wake`.
        """
        ...

    def wake(self) -> None:
        """Make every `wait` call its `until` now. Any thread may call this."""
        ...

    def schema(self, table: TableId) -> TableSchema | None:
        """Return the newest version of a table's schema; None when the log never had it."""
        ...

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        """Return the newest commit whose position is ≤ `position`, or that was written at or before `at`."""
        ...

    def close(self) -> None:
        """Release what the reader holds. Its writer and other readers stay open. May be called twice."""
        ...


class LogTransaction(Protocol):
    """An uncommitted transaction. While it is open, `begin` of the same log waits.

    `with` closes it, and discards it if it is not committed.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def append(self, changes: ChangeSet) -> None:
        """Add a set, or a part of a large one, whose ordinals become offsets.

        Schemas are numbered: same shape, same version. After an error the transaction is as it was before,
        so the same append may be repeated.
        """
        ...

    def buffer(self, number: int, changes: ChangeSet) -> None:
        """Add a set, or a part of one, to the buffer of that number; a new buffer when there is none."""
        ...

    def drop(self, number: int) -> None:
        """Delete the buffer of that number with this commit, if there is one."""
        ...

    def commit(self, position: Position, metadata: Mapping[str, str | None] | None = None) -> Commit:
        """Make everything durable and visible at once, at this position; once a transaction.

        `metadata` changes the log metadata: None deletes a key. The transaction still excludes others until
        it is closed. After LogFull, close it and begin again. After any other error the commit may have
        happened: once the next `begin` returns, the log's `end` and `metadata` say.
        """
        ...

    def close(self) -> None:
        """End the transaction. Without a commit, discard it. May be called twice."""
        ...


class LogWriter(LogReader, Protocol):
    """The log of one source, opened by the one process that writes it; several threads may begin in turn."""

    def begin(self) -> LogTransaction:
        """Open a transaction; wait until no other one of this log is open."""
        ...

    def buffered(self, number: int) -> BufferReader:
        """Return a reader of the buffer of that number, which may be empty."""
        ...

    def close(self) -> None:
        """Release what the log holds. An open transaction is discarded. May be called twice."""
        ...


class LogRetention(Protocol):
    """The upkeep of one source's log."""

    @property
    def damage(self) -> Sequence[LogCorrupt]:
        """The damage that was found when the log was opened, and that no reader needs."""
        ...

    @property
    def byte_count(self) -> int:
        """Bytes that the log's changes take where they are stored."""
        ...

    def size_between(self, first: int, next: int) -> int:  # noqa: A002  (the term of the docs)
        """Return about how many bytes the changes with first ≤ offset < next take where they are stored,
        without reading them.
        """
        ...

    def trim(
        self,
        keep_from_offset: int,
        *,
        max_age: timedelta | None = None,
        max_bytes: int | None = None,
        force: bool = False,
    ) -> Trimmed:
        """Remove the oldest changes that are below `keep_from_offset` (unless `force`) and older than
        `max_age` or above `max_bytes`. Without either limit nothing is removed.
        """
        ...


class LogStore(Protocol):
    """Opens the logs of one deployment by the names of their sources."""

    def exists(self, source: str) -> bool:
        """Return whether the source has a log."""
        ...

    def writer(self, source: str, needed_from: int = 0) -> LogWriter:
        """Open the log for writing, and create it if there is none.

        No reader needs what lies before the offset `needed_from`: if that is damaged, the log is opened all
        the same, its retention names the `damage`, and removes it once it can.
        """
        ...

    def reader(self, source: str) -> LogReader:
        """Open the log for reading.

        Raises:
            StateError: there is none yet.
        """
        ...

    def retention(self, source: str) -> LogRetention:
        """Return the upkeep of a log that this process writes."""
        ...

    def verify(self, source: str, newest_bytes: int | None = None, needed_from: int = 0) -> Verified:
        """Read the log, which another process may be writing, and check every checksum.

        With `newest_bytes`, check only the newest parts of that total size. No reader needs what lies before
        the offset `needed_from`.
        """
        ...

    def free_bytes(self) -> int:
        """Return the bytes that the place of the logs still has room for."""
        ...

    def check(self, retained_bytes: int) -> Iterator[Finding]:
        """Yield findings on the place of the logs, which together may keep `retained_bytes`."""
        ...
