"""Groups of changes that become durable together, and what the log says of each such commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cdc.model.batch import EVERYONE, Audience, ChangeBatch
from cdc.model.position import Position
from cdc.model.schema import TableId


@dataclass(frozen=True, slots=True)
class Resnapshot:
    """A source's word that a table's rows changed without row events (a rewrite) and must be read again.

    `relation` is the source's number of the table, which stays when it is renamed. `remedy` ends what an
    application may do again and again: then each copy waits longer than the one before.
    """

    table: TableId
    reason: str
    relation: int | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """One or more whole source transactions in commit order, or a part of one that is too large for memory.

    `position` is where the source can go on after this set: everything before it is contained. None says that
    more parts of the same transaction follow; the part that ends it carries the position. A set may be empty:
    it then only moves the position (an idle source). `changes` is the number of ordinals used by the batches'
    `_cdc_seq` (at least the number of rows). `memory` is what the source wants back at its next start, by
    key; None deletes a key.
    """

    batches: tuple[ChangeBatch, ...]
    position: Position | None
    changes: int = 0
    transactions: int = 0
    commit_at: datetime | None = None
    memory: Mapping[str, str | None] = field(default_factory=dict)
    resnapshot: tuple[Resnapshot, ...] = ()

    @property
    def byte_count(self) -> int:
        return sum(batch.byte_count for batch in self.batches)

    @property
    def row_count(self) -> int:
        return sum(batch.row_count for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Commit:
    """What the log keeps of one durable ChangeSet.

    The set holds the offsets `first` ≤ offset < `next`; a set without changes has first == next. Offsets are
    the values of `_cdc_seq`. `position` is the source position reached, `commit_at` the commit time of the
    last transaction in it (None for snapshot reads and heartbeats), `written_at` the wall clock of the log.
    `audience` holds every sink that sees one of its batches: a sink outside has nothing to read here.
    """

    first: int
    next: int
    position: Position
    commit_at: datetime | None
    written_at: datetime
    row_count: int
    byte_count: int
    transactions: int = 0
    audience: Audience = EVERYONE
