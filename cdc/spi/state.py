"""The contract of the state: what capture and deliveries keep beside the log, and where they meet.

A log is the authority on its source, and a sink on what it has applied. The state stores the plan of a
delivery before its first attempt, and what capture and deliveries tell each other: the cursors of sinks, and
requests for copies and replays. Every writing method is one durable transaction. Any thread may call any
method. After StateError or StateFull nothing has changed, and the caller may repeat the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from cdc.model import Position, TableId
from cdc.spi.holder import StateHolder
from cdc.spi.status import StandbyReport


@dataclass(frozen=True, slots=True)
class Plan:
    """Range that a delivery applies as one: the offsets first ≤ offset < next, up to that position.

    The counts, and `written_at`, the time at which the log received the oldest change, serve flush limits and
    status only. A plan that was read from the state has none of them.
    """

    first: int
    next: int
    position: Position
    commit_at: datetime | None
    row_count: int = 0
    byte_count: int = 0
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublishedCursor:
    """Cursor of a sink for one source, as its delivery published it last; the sink itself may be ahead."""

    sink: str
    next: int
    position: Position


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place that a replay can start from."""

    id: int
    source: str
    offset: int
    position: Position
    at: datetime


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Request to rewind a sink to `offset`; finished when the delivery accepts it, or with the refusal's
    error.
    """

    id: int
    sink: str
    source: str
    offset: int
    requested_at: datetime
    finished_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """Request to copy tables of a source again. `tables` None means all tables, `sink` None all sinks.

    `reason` is None for a request of an operator. `taken_at` is when a commit of the log accepted the
    request. `finished_at` is when the log had all rows, or when the copies failed with `error`.
    """

    id: int
    source: str
    tables: tuple[TableId, ...] | None
    sink: str | None
    requested_at: datetime
    taken_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    reason: str | None = None

    @property
    def is_taken(self) -> bool:
        return self.taken_at is not None


Pausable = Literal["source", "sink"]


@dataclass(frozen=True, slots=True)
class Pause:
    """A source or sink that an operator has paused. It stays paused, also after a restart, until an operator
    resumes it. `by` names the operator.
    """

    kind: Pausable
    name: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class TablePauseRequest:
    """Request to pause a table of a source, or to resume it (`pauses` False); finished when it is done, or
    with the refusal's error. The log metadata stores which tables are paused.
    """

    id: int
    source: str
    table: TableId
    pauses: bool
    requested_at: datetime
    finished_at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """Request of `by` to load the configuration again, or with `dry_run` to list what would change. `result`
    is a JSON document once the request is done or refused.
    """

    id: int
    by: str
    dry_run: bool
    result: Any | None = None


@dataclass(frozen=True, slots=True)
class DefinedColumn:
    """A column of a table; `type` is Arrow's, `source_type` the database's."""

    name: str
    type: str
    source_type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class DefinedTable:
    """A table's shape, as `TableSchema` has it."""

    columns: tuple[DefinedColumn, ...]
    key: tuple[str, ...]
    identity: str


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One version of a table's definition, and the version before it. `at` and `position` are those of the
    commit that contains it; None if the log is older than this record, or if the daemon crashed after that
    commit.
    """

    id: int
    source: str
    table: TableId
    version: int
    at: datetime | None
    position: str | None
    definition: DefinedTable
    earlier: DefinedTable | None = None


class DeliveryState(Protocol):
    """The part of the state that one delivery, of one source to one sink, uses."""

    def plan(self, sink: str, source: str) -> Plan | None:
        """Return the plan that was saved last; None if it was cleared."""
        ...

    def save_plan(self, sink: str, source: str, plan: Plan) -> None:
        """Store the plan of the next delivery in place of the previous plan."""
        ...

    def clear_plan(self, sink: str, source: str) -> None:
        """Delete the plan; no-op if there is none."""
        ...

    def publish_cursor(self, source: str, cursor: PublishedCursor, epoch: int) -> None:
        """Store the sink's cursor and delete its plan; no-op if a newer epoch has published one."""
        ...

    def pending_replays(self, sink: str | None = None, source: str | None = None) -> Sequence[ReplayRequest]:
        """Return the requests that are not finished, of that sink and source where given, oldest first."""
        ...

    def finish_replay(self, number: int, error: str | None = None) -> None:
        """Mark the request as accepted, or as refused with that error."""
        ...

    def unfinished_copies(self, source: str | None = None) -> Sequence[CopyRequest]:
        """Return the requests that are not finished, of one source or of all, oldest first."""
        ...

    def request_copy(
        self, source: str, tables: Sequence[TableId] | None, sink: str | None, reason: str | None = None
    ) -> int:
        """Add a request; return its id."""
        ...


class CaptureState(Protocol):
    """The part of the state that the capture of one source uses."""

    def cursors(self, source: str) -> Mapping[str, PublishedCursor]:
        """Return by sink the cursors of the deliveries that run now: those with their sink's newest epoch."""
        ...

    def unfinished_copies(self, source: str | None = None) -> Sequence[CopyRequest]:
        """As DeliveryState."""
        ...

    def take_copy(self, number: int, tables: Sequence[TableId]) -> None:
        """Store that the log has accepted the request, for exactly these tables."""
        ...

    def finish_copy(self, number: int, error: str | None = None) -> None:
        """Mark the request as done, or as failed with that error."""
        ...


class StateReader(Protocol):
    """The state for commands, whether a daemon runs or not: they read it, and add requests.

    A reader can open a state that an older version wrote. Closed by its opener.
    """

    def checkpoints(self, source: str | None = None, limit: int = 100) -> Sequence[Checkpoint]:
        """Return the newest checkpoints, of one source or of all, newest first."""
        ...

    def checkpoint(self, number: int) -> Checkpoint | None:
        """Return the checkpoint of that id."""
        ...

    def cursors(self, source: str) -> Mapping[str, PublishedCursor]:
        """As CaptureState."""
        ...

    def request_replay(self, sink: str, source: str, offset: int) -> int:
        """Add a request to rewind `sink` to `offset` of `source`; return its id."""
        ...

    def pending_replays(self, sink: str | None = None, source: str | None = None) -> Sequence[ReplayRequest]:
        """As DeliveryState."""
        ...

    def replay(self, number: int) -> ReplayRequest | None:
        """Return the request of that id, finished or not."""
        ...

    def request_copy(
        self, source: str, tables: Sequence[TableId] | None, sink: str | None, reason: str | None = None
    ) -> int:
        """As DeliveryState."""
        ...

    def unfinished_copies(self, source: str | None = None) -> Sequence[CopyRequest]:
        """As DeliveryState."""
        ...

    def copy_request(self, number: int) -> CopyRequest | None:
        """Return the request of that id, finished or not."""
        ...

    def pauses(self) -> Sequence[Pause]:
        """Return the sources and sinks that are paused, by kind and name."""
        ...

    def add_pause(self, kind: Pausable, name: str, by: str) -> None:
        """Store a pause; no-op if there is one."""
        ...

    def remove_pause(self, kind: Pausable, name: str) -> None:
        """Delete a pause; no-op if there is none."""
        ...

    def table_pause_requests(self) -> Sequence[TablePauseRequest]:
        """Return the requests that are not finished, oldest first."""
        ...

    def request_table_pause(self, source: str, table: TableId, *, pauses: bool) -> int:
        """Add a request to pause or resume a table; return its id."""
        ...

    def table_pause_request(self, number: int) -> TablePauseRequest | None:
        """Return the request of that id, finished or not."""
        ...

    def definitions(
        self, source: str | None = None, search: str = "", limit: int = 100, before: int | None = None
    ) -> Sequence[TableVersion]:
        """Return the newest versions of definitions with an id below `before`, newest first; of one source,
        and of tables whose `schema.name` contains `search` in upper or lower case, where given.
        """
        ...

    def request_reload(self, by: str, *, dry_run: bool) -> int:
        """Add a request to load the configuration again; return its id."""
        ...

    def reload_requests(self) -> Sequence[ReloadRequest]:
        """Return the requests that are not finished, oldest first."""
        ...

    def reload_request(self, number: int) -> ReloadRequest | None:
        """Return the request of that id, finished or not."""
        ...

    def finish_reload(self, number: int, result: object) -> None:
        """Mark the request as done or refused, with the JSON document `result`; delete older requests."""
        ...

    def close(self) -> None:
        """Release the state. May be called twice."""
        ...


class State(StateReader, DeliveryState, CaptureState, Protocol):
    """The whole state, as the engine uses it. Locked for one process, `holder`, until `close`."""

    @property
    def holder(self) -> StateHolder: ...

    def next_epoch(self, sink: str, *, at_least: int = 1) -> int:
        """Claim the sink for this process: return a number higher than every one that a process of this
        deployment was given for it, and not below `at_least`.

        Epochs of two deployments do not compare: sinks tell those apart by the identity of the log.
        """
        ...

    def add_checkpoint(self, source: str, offset: int, position: Position, at: datetime) -> int:
        """Store that the log of `source` reached `offset` at `position`; return the checkpoint's id."""
        ...

    def thin_checkpoints(self, source: str, start: int, now: datetime | None = None) -> int:
        """Remove the checkpoints below offset `start` and most of the old ones; return how many."""
        ...

    def finish_table_pause(self, number: int, error: str | None = None) -> None:
        """Mark the request as done, or as refused with that error."""
        ...

    def definition_versions(self, source: str) -> Mapping[TableId, int]:
        """Return by table the newest stored version of its definition."""
        ...

    def add_definitions(self, source: str, versions: Sequence[TableVersion]) -> None:
        """Store these versions of one source in this order, each with a new id. The oldest versions of a
        table
        with many may be deleted.
        """
        ...

    def write_status(self, document: Any) -> None:
        """Replace the status document, which any program may read at any time."""
        ...


class StateStore(Protocol):
    """Opens the state of one deployment."""

    def open(self) -> State:
        """Open the state and lock it for this process; create it if there is none.

        Raises:
            StateHeld: another process holds it.
            StateError: it cannot be used, or is of a newer version.
        """
        ...

    def reader(self) -> StateReader:
        """Open the state for reading.

        Raises:
            StateError: there is none yet.
        """
        ...

    def standing_by(self) -> AbstractContextManager[None]:
        """List this process as one that waits for the lock, until the end of the block."""
        ...

    def standbys(self) -> Sequence[StandbyReport]:
        """Return the processes that wait for the lock."""
        ...

    def status(self) -> Any | None:
        """Return the status document that was written last; None when there is none."""
        ...

    def holds(self, holder: StateHolder | None) -> bool:
        """Return whether the process that a status names still holds the state, on any machine.

        None asks whether any process holds it: an older version wrote the status, which names none.
        """
        ...
