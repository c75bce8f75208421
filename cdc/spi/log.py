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
from typing import Any, Protocol, Self

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
    """Result of a check of a log: what was read, and the damage that was found (at most one per part).

    `tail_bytes` follow the newest commit: a write in progress, or one that a crash interrupted and that the
    next start removes. `passed` is the damage in bytes that no reader needs.
    """

    part_count: int
    commit_count: int
    batch_count: int
    byte_count: int
    tail_bytes: int
    damage: Sequence[LogCorrupt]
    passed: Sequence[LogCorrupt] = ()


class LogPart(Protocol):
    """A part of a log as it is stored, for operators; `place` is the storage's name for it, such as a file.

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
        """The parts that store the log, oldest first; the last one may still grow."""
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

        `sink` restricts them to the batches whose audience includes that sink, `tables` to the batches of
        these tables. Both offsets must be commit boundaries. Before a batch of 1 MiB or more is read into
        memory, `before_large` is called with its size in bytes.
        """
        ...

    def wait(self, offset: int, timeout_seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Block until the log has a durable change at or beyond `offset`; return whether it has.

        Return after `timeout_seconds` at the latest, or when `until` returns True: it is called at the start
        and after every `wake`.
        """
        ...

    def wake(self) -> None:
        """Make every `wait` call its `until` now. Any thread may call this."""
        ...

    def schema(self, table: TableId) -> TableSchema | None:
        """Return the newest version of a table's schema; None if the log never had the table."""
        ...

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        """Return the newest commit whose position is ≤ `position`, or that was written at or before `at`."""
        ...

    def close(self) -> None:
        """Release the reader's resources. The writer and other readers stay open. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedChanges:
    """A set as a log stores it, made by `LogWriter.encode` for an append to the same log."""

    changes: ChangeSet
    batches: Sequence[Any]


class LogTransaction(Protocol):
    """An uncommitted transaction. While it is open, `begin` of the same log waits.

    `with` closes it, and discards it if it is not committed.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def append(self, changes: ChangeSet | EncodedChanges) -> None:
        """Add a set, or a part of a large one, whose ordinals become offsets.

        The log numbers schemas: equal shapes have one version. After an error the transaction is unchanged,
        so the caller may repeat the append.
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

    def encode(self, changes: ChangeSet) -> EncodedChanges:
        """Do the part of an append that needs no transaction, while others hold one."""
        ...

    def buffered(self, number: int) -> BufferReader:
        """Return a reader of the buffer of that number, which may be empty."""
        ...

    def close(self) -> None:
        """Release the log's resources. An open transaction is discarded. May be called twice."""
        ...


class LogRetention(Protocol):
    """The upkeep of one source's log."""

    @property
    def damage(self) -> Sequence[LogCorrupt]:
        """The damage that the opening of the log found in changes that no reader needs."""
        ...

    @property
    def byte_count(self) -> int:
        """The stored size of the log's changes in bytes."""
        ...

    def size_between(self, first: int, next: int) -> int:  # noqa: A002  (the term of the docs)
        """Return the approximate stored size in bytes of the changes with first ≤ offset < next, without
        reading them.
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

        No reader needs the changes before the offset `needed_from`. Damage there does not keep the log from
        opening: its retention lists it as `damage`, and removes it as soon as it can.
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

        With `newest_bytes`, check only the newest parts of that total size. No reader needs the changes
        before the offset `needed_from`.
        """
        ...

    def free_bytes(self) -> int:
        """Return the free space for logs in bytes."""
        ...

    def check(self, retained_bytes: int) -> Iterator[Finding]:
        """Yield findings on the storage of the logs, which together may keep `retained_bytes`."""
        ...
