"""The contract of a sink: what a target promises to the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.capabilities import Capabilities
from cdc.spi.finding import Finding, Severity
from cdc.spi.holder import StateHolder

# The most that one delivery may hold in memory: more gains nothing measurable. The engine passes less where
# it runs many deliveries.
DEFAULT_MEMORY_BYTES = 64 * 1024**2


def _no_gauge(_name: str, _value: float) -> None:
    """Gauges are read in the daemon only."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Values that the engine passes to a sink: its name in the config, its epoch, and where to report (never
    a row value, never a secret).

    `count(name, amount)` adds to a counter of that name, `gauge(name, value)` sets the current value of a
    gauge; the status shows both. `memory_bytes` limits the memory of a delivery, in addition to the memory
    that the sink's own options allow. `scratch` is a folder for files that no other process needs. The sink
    creates it on first use; the engine has deleted the files of earlier processes. It is None if the command
    applies nothing. `stop` is set when the daemon stops; a sink that is in a long wait then raises an error.

    Each process of a deployment that opens the sink has a higher `epoch` than earlier processes. A sink
    refuses (SinkFenced) to apply for an epoch older than the newest that it has seen. `log_id` identifies the
    log of the changes, '' if unknown. A sink that holds rows of another log refuses it (SinkRefused).
    `cdc.merge.continuity` compares both for all sinks. `daemon` is set for `check` only: the daemon that runs
    and has this sink open, None if none runs.
    """

    name: str
    epoch: int
    log: Callable[..., None]
    count: Callable[[str, int], None]
    log_id: str = ""
    daemon: StateHolder | None = None
    gauge: Callable[[str, float], None] = _no_gauge
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    scratch: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Cursor of one sink for one source, as the sink itself stores it.

    Everything with an offset below `next` is applied and visible; all tables of the sink are consistent to
    source commit `position`, made at `commit_at`. `high` is the highest `next` that this sink ever had: above
    `next` during a replay. `log_id` identifies the log of the offsets, '' if an older version, which did not
    store it, wrote the cursor.
    """

    source: str
    next: int
    position: Position
    commit_at: datetime | None
    epoch: int
    high: int
    log_id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The range of changes of one `apply`, fixed and durable before the first attempt, so that a retry
    applies the same range.

    Holds all changes with first ≤ offset < next, whole source transactions. `parts()` yields them in order,
    each part a list of batches that fits in memory (`Capabilities.part_bytes`, or less); a retry may call it
    again. Batches of one part are in `_cdc_seq` order within a table; between tables order by
    `_cdc_seq`.
    `replaying`: the sink had these offsets before. `begins`: the sink begins or continues at `first` without
    the offsets before it, which the log no longer holds.

    `parts()` omits batches whose audience does not include the sink, so it may yield nothing for a range that
    is not empty. The batches of one log commit follow each other, in one part or several. A commit ends
    between two batches whose `commit` has a different `next`.
    """

    source: str
    first: int
    next: int
    position: Position
    commit_at: datetime | None
    row_count: int
    byte_count: int
    replaying: bool
    parts: Callable[[], Iterator[Sequence[ChangeBatch]]]
    begins: bool = False

    def behind(self, offset: int) -> Delivery:
        """Return the rest of the delivery after `offset`, the end of a commit."""

        def parts() -> Iterator[Sequence[ChangeBatch]]:
            for part in self.parts():
                rest = [batch for batch in part if batch.commit is None or batch.commit.next > offset]
                if rest:
                    yield rest

        return replace(self, first=offset, parts=parts, begins=False)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A table that a sink cannot store, while it stores the others.

    The sink holds the table's changes with an offset below `since`, and no later ones. `kind`, `message` and
    `remedy` are those of the error. `deliverable`: the cause is gone, and the sink stores the table again
    from its next truncate, the beginning of a copy. If `skips` is False, the sink stores the table's changes,
    but shows its rows only after a copy.
    """

    table: TableId
    since: int
    kind: str
    message: str
    remedy: str
    deliverable: bool = False
    skips: bool = True

    def finding(self, docs: str) -> Finding:
        """Return the finding of `cdc check` about the table."""
        if self.skips and not self.deliverable:
            message = f"the table {self.table} is set aside since offset {self.since}: {self.message}"
            return Finding(Severity.ERROR, "table-set-aside", message, self.remedy, docs)
        message = f"the table {self.table} waits to be copied again: {self.message}"
        return Finding(Severity.WARNING, "table-set-aside", message, "cdc run", docs)


class Sink(Protocol):
    """A target that changes are written to.

    Constructed with its validated options and a context; opened lazily.

    All methods are called from one thread per (source, sink) pair; a sink object serves one pair. Errors are
    of `cdc.errors`: SinkUnavailable is retried without limit, SinkRefused waits for an operator.
    """

    Options: ClassVar[type[BaseModel]]
    capabilities: ClassVar[Capabilities]

    def __init__(self, options: Any, context: SinkContext) -> None: ...

    def check(self) -> Sequence[Finding]:
        """Check whether the sink can reach and write the target, and keep the exactly-once promise.

        Create nothing.
        """
        ...

    def prepare(self, source: str) -> None:
        """Open the sink for this source, store the context's epoch as the fence, create missing objects.

        Idempotent.
        """
        ...

    def committed(self, source: str) -> Cursor | None:
        """Return the cursor, read from the sink itself; None if it has no changes of that source."""
        ...

    def apply(self, delivery: Delivery) -> None:
        """Apply all changes of the delivery and store its `next`, atomically.

        After a return the whole delivery is applied. After an error, or a crash at any instruction, nothing
        of it is applied, or everything up to the end of one of its log commits. In that case `next` and
        `position` of the cursor are those of that commit, and the engine plans a new delivery from there.
        Applying the same delivery twice gives the same result as once. A sink that cannot hold a log commit
        in one transaction may commit a part of it, with the cursor before it; its documentation says so.

        Create new tables and apply new schema versions where they occur in the order. An empty delivery
        (first == next) only changes position and commit time. Refuse a delivery that would leave a hole (its
        first is above the cursor's next, or above 0 without a cursor) with SinkRefused, naming both offsets.
        If it `begins`, move the cursor to its first offset instead.

        A batch with a `mark` (`CopyMark`) is a step of a copy of its table. A sink that holds the current
        state continues to show the old rows when a copy begins, and replaces them with the copy in one step
        when the copy is finished. A sink that ignores marks is correct too, but shows the copy while it
        grows: the mark at the beginning is a batch with a truncate. The mark ALTERED is not a step of a copy:
        it carries a new schema or name of the table, whether rows follow or not.

        A table that the sink cannot store (its name, a type, a change of its schema) does not stop the
        others. A sink that `SetsAside` tables stores the table, the reason and the offset together with the
        cursor, and skips the changes of that table until a copy of it begins.
        """
        ...

    def close(self) -> None:
        """Close connections and release locks. May be called twice."""
        ...


@runtime_checkable
class SupportsRewind(Protocol):
    """A sink whose cursor can be moved back, for replay."""

    def rewind(self, source: str, offset: int) -> None:
        """Move the cursor back so that the next delivery starts at `offset`.

        The stored rows stay readable until the replay has passed `high`, and are then equal to those of a
        sink without a replay. Raises `SinkFenced` like `apply`.
        """
        ...


@runtime_checkable
class SupportsIdle(Protocol):
    """A sink with maintenance work (a checkpoint, a copy for readers) for the time between deliveries."""

    def idle(self) -> None:
        """Called between deliveries when the sink has caught up, at most once a second."""
        ...


@runtime_checkable
class SupportsPeek(Protocol):
    """A sink whose cursor can be read while another process has the sink open, or before the sink exists."""

    def peek(self, source: str) -> Cursor | None:
        """Return the cursor as `committed` does, without `prepare`: create nothing and take no lock."""
        ...


@runtime_checkable
class SetsAside(Protocol):
    """A sink that sets aside a table that it cannot store, and remembers it over restarts."""

    def set_aside(self, source: str) -> Sequence[SetAside]:
        """Return the tables that are set aside, in name order; after `prepare`."""
        ...

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """Return whether the sink can store a table that is set aside, with this schema; if so, mark it
        `deliverable`.
        """
        ...


@runtime_checkable
class ChecksSchemas(Protocol):
    """A sink that restricts the names of schemas."""

    def check_schemas(self, schemas: Collection[str]) -> Sequence[Finding]:
        """Return findings on these schemas; connect to nothing."""
        ...


@runtime_checkable
class WritesSinkStarter(Protocol):
    """A sink whose class suggests an entry for the configuration that `cdc init` writes: one that works
    without an account or a server.
    """

    @classmethod
    def starter(cls, source: str, schemas: Collection[str]) -> Sequence[str]:
        """Return the lines of an entry of `sinks`, its name first, for a source that has these schemas."""
        ...
