"""A capture loop for tests of a source: keeps what the log would keep."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeVar

from cdc.model import ChangeSet, Envelope, Position, Resnapshot, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, Snapshot, SnapshotChunk, Source
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

Row = dict[str, Any]


class Follower(ABC):
    """One source object after the other, with the position and facts of a log."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.sets: list[ChangeSet] = []
        self.stale: list[Resnapshot] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.counts: dict[str, int] = {}
        self.position: Position | None = None
        self.acknowledges = True
        self.source: Source = self._new_source()
        self._stream: Iterator[ChangeSet | None] | None = None

    def open(self, *, follow: bool = True) -> Self:
        """Open slot and stream; follow every table there is."""
        self.position = self.source.open(self.position, self.facts)
        self.step()  # A new stream begins with facts to keep.
        if follow:
            self.source.follow(self.source.discover())
        return self

    def stream(self) -> Iterator[ChangeSet | None]:
        if self._stream is None:
            assert self.position is not None
            self._stream = self.source.stream(self.position, dict(self.facts))
        return self._stream

    def step(self) -> ChangeSet | None:
        """One item of the stream, appended to the log and acknowledged."""
        changes = next(self.stream())
        if changes is None:
            return None
        self.sets.append(changes)
        self.stale += changes.resnapshot
        if changes.position is not None:
            self.position = changes.position
            for key, value in changes.memory.items():
                if value is None:
                    self.facts.pop(key, None)
                else:
                    self.facts[key] = value
            if self.acknowledges:
                self.source.acknowledge(changes.position)
        return changes

    def rows(self, table: str | None = None) -> list[Row]:
        """Everything up to the server's position now, since the last call, in order; rows of one table when
        named.
        """
        self.catch_up()
        return self.taken(table)

    def catch_up(self) -> None:
        target = self.source.current()
        deadline = time.monotonic() + DEFAULT_TIMEOUT_SECONDS
        while self.position is None or self.position.order < target.order:
            assert time.monotonic() < deadline, f"the stream stays at {self.position}, before {target}"
            self.step()

    def taken(self, table: str | None = None) -> list[Row]:
        """The rows of the sets read since the last call."""
        found, self.sets = rows_of(self.sets), []
        return [row for row in found if table is None or row["table"] == table]

    def ops(self, table: str | None = None) -> list[str]:
        return [row[Envelope.OP] for row in self.rows(table)]

    def schema(self, table: str) -> TableSchema:
        """The table's schema as discovery has it now."""
        return next(s for s in self.source.discover() if str(s.table) == table)

    def copy(
        self, *tables: str, earlier: Mapping[TableId, EarlierSnapshot] | None = None
    ) -> tuple[Snapshot, list[Row]]:
        """A whole snapshot of these tables (all, when none is named), closed again, and its rows."""
        chosen = [s for s in self.source.discover() if not tables or str(s.table) in tables]
        snapshot = self.source.snapshot(chosen, earlier or {})
        try:
            return snapshot, read_chunks(snapshot, snapshot.chunks)
        finally:
            snapshot.close()

    def restart(self) -> Self:
        """As after a kill: a new object, from what the log has."""
        self.close()
        self.source = self._new_source()
        self.position = self.source.open(self.position, self.facts)
        return self

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()  # type: ignore[attr-defined]
            self._stream = None
        self.source.close()

    @abstractmethod
    def _new_source(self) -> Source:
        """An object of the source that is tested, which reports to this follower."""

    def _log(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def _count(self, name: str, amount: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + amount


FollowerT = TypeVar("FollowerT", bound=Follower)


@contextmanager
def closing_followers(kind: Callable[..., FollowerT]) -> Iterator[Callable[..., FollowerT]]:
    """Makes followers, and closes all of them at the end of the block: before their databases are dropped."""
    with ExitStack() as stack:

        def make(database: Any, **options: Any) -> FollowerT:
            follower = kind(database, **options)
            stack.callback(follower.close)
            return follower

        yield make


def rows_of(sets: Sequence[ChangeSet]) -> list[Row]:
    """The rows of some sets in order, each with its table's name under `table`."""
    found = []
    for changes in sets:
        rows = [{"table": str(batch.table), **row} for batch in changes.batches for row in batch.rows()]
        ordinals = sorted(row[Envelope.SEQ] for row in rows)
        assert len(set(ordinals)) == len(ordinals)
        assert not ordinals or ordinals[-1] < changes.changes
        found += sorted(rows, key=lambda row: row[Envelope.SEQ])
    return found


def read_chunks(snapshot: Snapshot, chunks: Sequence[SnapshotChunk]) -> list[Row]:
    return [
        {"table": str(chunk.table), **row}
        for chunk in chunks
        for batch in snapshot.read(chunk)
        for row in batch.rows()
    ]


def position_of(snapshot: Snapshot) -> Position:
    """The one position of an exact view."""
    (position,) = set(snapshot.positions.values())
    return position
