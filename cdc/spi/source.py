"""The contract of a source: what a database connector promises to the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from cdc.errors import CdcError
from cdc.model import ChangeBatch, ChangeSet, Position, TableId, TableSchema
from cdc.spi.finding import Finding

# How an encrypted text of the source state begins (`cdc.transform.sealing`); no source writes this itself.
SEALED_PREFIX = "sealed:"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The log that reads a source, as the source stores it in its database if possible.

    `log_id` is the log's uuid, which a copy of its folder shares. `starts` counts the daemons that opened the
    log, including this one: of two copies of a log, the one with fewer starts is out of date. `is_new`: the
    log was empty when this process opened it. `takes_over`: the operator allowed this log to replace another
    log (`--adopt-slot`).
    """

    log_id: str
    starts: int
    is_new: bool
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Values that the engine passes to a source: its name in the config, where to report, and its owner.

    `log(event, **fields)` writes one structured line; `count(name, amount)` adds to a counter of that name.
    Neither may ever receive a row value or a secret. `owner` is the log that owns the objects which the
    source creates in the database; without one the source compares no owners. Each time before a source
    stores the owner in its database, it verifies that no other owner is stored, and then calls `claiming`:
    the log then has the number of this start. A start that fails earlier leaves no trace in the log, so a
    copy of a log is refused however often it is started.
    """

    name: str
    log: Callable[..., None]
    count: Callable[[str, int], None]
    owner: LogIdentity | None = None
    claiming: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Values that identify a database, all text. Postgres: system_identifier, timeline and database."""

    values: Mapping[str, str]

    def differences(self, other: SourceIdentity) -> dict[str, tuple[str, str]]:
        """Key → (here, there) for every value that differs."""
        keys = sorted({*self.values, *other.values})
        pairs = {k: (self.values.get(k, ""), other.values.get(k, "")) for k in keys}
        return {k: pair for k, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A part of a table that one worker reads at once.

    `id` is unique within the table, serialisable, and means the same rows for one `Snapshot.token`.
    """

    table: TableId
    id: str
    estimated_rows: int = 0


@dataclass(frozen=True, slots=True)
class EarlierSnapshot:
    """The part of an interrupted snapshot that is in the log: its token, its position, and the ids of the
    complete chunks.
    """

    token: str
    position: Position
    finished: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object that a source has created in its database.

    `what` describes it, such as `replication slot cdc_shop`. `statement` removes it: one line to
    paste, without a semicolon.
    """

    what: str
    statement: str


class Snapshot(Protocol):
    """A consistent view of some tables, open until closed.

    `positions` has the position of each table's view: the rows contain every change whose `_cdc_position`
    orders before it. An exact view contains no change that orders at it or after it. If the source cannot
    give several readers one view without locks (MySQL), the rows of a table with a key may be newer. All
    changes from the position on, applied to these rows in order, still produce the table, and columns that a
    change omits are correct in the rows. `schemas` has the schema of each table in its view, which sinks
    learn even if no row follows. `tokens` has, for each table, the text that a later process needs to
    continue after the finished chunks. `resumed` are the tables for which `chunks` completes an earlier
    snapshot: the rows of its finished chunks, then all changes up to its position, then these chunks are
    together a whole copy. The other tables start from the beginning. Several threads may call `read`, each
    with its own chunk. It yields batches of `r` rows whose ordinals start at 0 in every batch. `close` ends
    the view and may be called twice; the engine calls it as soon as it reads no chunk.

    A snapshot covers as many of the tables as the source wants to hold at once. The others are in none of
    `positions`, `chunks` and `tokens`, and the engine asks for them again. `waiting` are the tables that
    cannot be copied now, each with the reason; they do not delay other tables. `rows_left` estimates the rows
    of the tables that a later snapshot covers, 0 if the source does not know. Once `is_ending` is true the
    engine starts no further chunk and completes the tables with the next snapshot. `read` raises
    SnapshotYielded if the source has ended the view because another statement waited for it. Tables whose
    chunks were all read before are complete.
    """

    positions: Mapping[TableId, Position]
    schemas: Mapping[TableId, TableSchema]
    chunks: Sequence[SnapshotChunk]
    tokens: Mapping[TableId, str]
    resumed: frozenset[TableId]
    waiting: Mapping[TableId, CdcError]
    rows_left: int

    @property
    def is_ending(self) -> bool: ...

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]: ...

    def close(self) -> None: ...


class Source(Protocol):
    """A database whose changes the daemon follows.

    Constructed with its validated options and a context; connects lazily.

    `stream` and `acknowledge` are called from one thread (capture); `discover`, `follow`, `snapshot` and
    `current` from another (the snapshot coordinator), at the same time; `close` from any, after which all
    others may raise. Methods raise errors of `cdc.errors` only. A lost connection is SourceUnavailable; the
    engine then repeats calls on the same object.
    """

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: Any, context: SourceContext) -> None: ...

    def check(self) -> Sequence[Finding]:
        """Check connection, privileges, settings and tables; return each finding with its fix.

        Raise no error that a finding can report.
        """
        ...

    def identity(self) -> SourceIdentity:
        """Return the identity of the database that answers now."""
        ...

    def discover(self) -> Sequence[TableSchema]:
        """Return the tables that the config selects and that exist now, in name order.

        Change nothing in the source.
        """
        ...

    def selects(self, table: TableId) -> bool:
        """Return whether the config selects a table of this name, whether or not it exists.

        Called after `open`.
        """
        ...

    def follow(self, tables: Sequence[TableSchema]) -> None:
        """Include the changes of these tables in the stream (Postgres: add them to the publication).

        Idempotent. Raises UnsupportedSchema for a table that cannot be followed without harm (without a
        replica identity, updates would fail).
        """
        ...

    def open(self, after: Position | None, memory: Mapping[str, str]) -> Position:
        """Prepare the source to stream after that position, and return the position that it will start from.

        `None` starts a new history at the source's current position: the log is empty, or this source has
        just raised SourceGap and all tables are copied again (`on_gap: resnapshot`). Create missing objects
        (slot, publication), and replace unusable ones.

        Raises:
            SourceGap: the source no longer has everything after `after`.
            SourceClaimed: the slot belongs to another log than the context's `owner`.
        """
        ...

    def stream(self, after: Position, memory: Mapping[str, str]) -> Generator[ChangeSet | None]:
        """Yield every committed change after that position, in commit order and whole transactions, without
        end.

        `memory` is the source state: what earlier ChangeSets of this log asked to keep. Yields None at least
        once a second when idle, so that the caller can stop, and an empty ChangeSet from time to time when
        only the position has changed. Omits tables that the config does not select. A stream that starts
        after the position of any yielded set yields exactly the changes that follow it. The caller closes the
        generator.
        """
        ...

    def acknowledge(self, durable: Position) -> None:
        """Confirm that everything before this position is durable, so that the source may discard it.

        Must be cheap. While it accepts no changes, the engine repeats the call with the same position as a
        keep-alive.
        """
        ...

    def snapshot(self, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]) -> Snapshot:
        """Open a consistent view of some of these tables, resuming `earlier` ones where that is exact."""
        ...

    def current(self) -> Position:
        """Return the source's newest position: the one that `run --once` catches up to."""
        ...

    def position(self, text: str) -> Position:
        """Parse a position as `_cdc_position` and checkpoints show it; raise ConfigError if it is invalid."""
        ...

    def close(self) -> None:
        """Close connections; keep the objects that make the source resumable (slot). May be called twice."""
        ...


@runtime_checkable
class MeasuresDistance(Protocol):
    """A source whose position orders do not count bytes."""

    def distance(self, position: Position, target: Position) -> int | None:
        """Return the bytes of the source's history from one position to another: 0 if it is past the target,
        None if unknown. Must be cheap: called once a second.
        """
        ...


@runtime_checkable
class MeasuresRetained(Protocol):
    """A source that keeps history for the log that reads it, and knows how much."""

    def retained_bytes(self) -> int | None:
        """Return the bytes that the source keeps for this log; None if unknown. Called every few seconds."""
        ...


@runtime_checkable
class NamesUnreadable(Protocol):
    """A source whose stream has tables that discovery may not see."""

    def unreadable(self, hidden: Collection[TableId]) -> Mapping[TableId, CdcError]:
        """Return the tables whose changes are skipped now, and those of the `hidden` ones (known, but not
        discovered) that exist but cannot be read, each with the reason and the remedy.

        The engine shows them as skipped, and treats none of them as dropped. It copies such a table once the
        table is readable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Absence:
    """Why a table is no longer followed, and what an operator can do. `within` is the table that now delivers
    its rows; None if they are not delivered.
    """

    reason: str
    remedy: str
    within: TableId | None = None


@runtime_checkable
class ExplainsAbsence(Protocol):
    """A source whose tables can become unreachable, be renamed, or become a part of another table."""

    def absent(self, known: Mapping[TableId, int | None]) -> Mapping[TableId, Absence]:
        """Return those of the `known` tables that exist.

        `known` are selected tables of the log that discovery did not find, each with its `relation`. The
        engine shows those returned, treats none of them as dropped, and copies them when they return.
        """
        ...


@runtime_checkable
class VerifiesReach(Protocol):
    """A source that can check, without changing anything, whether it can continue a log."""

    def verify_reach(self, after: Position, memory: Mapping[str, str]) -> Sequence[Finding]:
        """Return findings if the source still has everything after the log's end.

        Raises:
            SourceGap, SourceMismatch: as `open` would with these arguments.
        """
        ...


@runtime_checkable
class LeavesObjects(Protocol):
    """A source that creates objects in its database which outlast the daemon: for `cdc teardown`."""

    def leftovers(self) -> Sequence[Leftover]:
        """Return the existing objects that nothing else uses, in the order of their removal.

        Change nothing. Raise CdcError if the source still reads, or if an object belongs to another log than
        the context's `owner`.
        """
        ...

    def remove(self, leftover: Leftover) -> None:
        """Remove one of them."""
        ...


@runtime_checkable
class WholeRowsOnRequest(Protocol):
    """A source that sends whole old rows of a table only if its database is configured to."""

    def whole_rows_statement(self, table: TableId) -> str:
        """Return the statement that an operator runs to configure it. Connects to nothing."""
        ...


@runtime_checkable
class TransformsRows(Protocol):
    """A source whose rows are filtered, masked or renamed before the engine sees them."""

    def record(self, table: TableId) -> str:
        """Return a text that changes whenever rows of this table would be captured differently; empty if the
        rows stay as they are. Called after `open`.
        """
        ...


@runtime_checkable
class WritesStarter(Protocol):
    """A source whose class can describe the database of a URL, for `cdc init`."""

    url_schemes: ClassVar[tuple[str, ...]]
    """The schemes of its URLs."""

    @classmethod
    def starter(cls, url: str) -> str:
        """Return the text of a configuration for the database; connects, and changes nothing."""
        ...


@runtime_checkable
class CopiesInParallel(Protocol):
    """Options of a source that copies tables over several connections, which the engine drives."""

    @property
    def snapshot_workers(self) -> int: ...


@runtime_checkable
class FixesOptions(Protocol):
    """Options of a source, some of which must not change while it runs."""

    fixed: ClassVar[Sequence[str]]
    """The options that name the object which the log is read from (a slot, a database)."""


@runtime_checkable
class SelectsTables(Protocol):
    """Options of a source whose tables are selected by globs on `schema.table`."""

    @property
    def tables(self) -> Sequence[str]: ...
