"""The contract of the durable log: what capture writes and delivery reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

from cdc.model import ChangeBatch, ChangeSet, Commit, Position, TableId, TableSchema


class ChangeLog(Protocol):
    """An ordered, durable sequence of ChangeSets of one source, with a small dictionary of facts beside it.

    Offsets are the values of `_cdc_seq`. One process writes; in it, several threads may append and read. A
    reader sees only what is durable and committed. Facts (text by key) change atomically with the commit that
    carries them and are complete at every open. All methods raise LogCorrupt, LogFull or LogTrimmed where
    those apply.
    """

    @property
    def end(self) -> Commit | None:
        """The newest durable commit; None in an empty log."""
        ...

    @property
    def start(self) -> int:
        """The oldest offset that can be read; equals the end's `next` when nothing is kept."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """All facts as of the newest durable commit (a copy)."""
        ...

    def append(
        self,
        changes: ChangeSet,
        position: Position | None = None,
        facts: Mapping[str, str | None] | None = None,
    ) -> Commit | None:
        """Append a set.

        When it carries a position (or `position` is given: snapshot reads give the newest known one) it is
        durable on return and its Commit is given back. A set without one is a part: it becomes visible with
        the part that ends it; until then other threads' appends wait. Ordinals become offsets; schemas are
        numbered (same shape, same version).
        """
        ...

    def abandon(self) -> None:
        """Forget parts that this thread appended and never ended. No-op when there are none."""
        ...

    def commits(self, start: int) -> Iterator[Commit]:
        """The durable commits from the one that holds offset `start` on, oldest first; ends at the newest.

        LogTrimmed when `start` is gone.
        """
        ...

    def read(
        self,
        first: int,
        next: int,  # noqa: A002  (the term of the docs)
        sink: str | None = None,
    ) -> Iterator[ChangeBatch]:
        """Yield the batches with first ≤ offset < next in the order they were appended, with `sink` only
        those whose audience includes that sink.

        Both offsets must be commit boundaries.
        """
        ...

    def wait(self, offset: int, timeout_seconds: float) -> bool:
        """Block until something durable lies at or beyond `offset`; False when the time is up first."""
        ...

    def schema(self, table: TableId) -> TableSchema | None:
        """The newest version of a table's schema; None when the log never had it."""
        ...

    def find(self, *, position: Position | None = None, at: datetime | None = None) -> Commit | None:
        """The newest commit whose position is ≤ `position`, or that was written at or before `at`."""
        ...

    def close(self) -> None:
        """Release the files. Parts that were never ended are gone."""
        ...
