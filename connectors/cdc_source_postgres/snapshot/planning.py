"""Which tables the next snapshot covers: small ones together, a large one alone and not for long.

Remembers for the life of the source object what a snapshot found out: sizes, and whose copy had to give way
to an application's statement how often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc.errors import SourceUnavailable
from cdc.model import TableId
from cdc_source_postgres.limits import Limits
from cdc_source_postgres.schema.catalog import leaf_relations
from cdc_source_postgres.schema.tables import CatalogRelation

# Interruptions of one table's copy without progress, or starts from nothing, that are made good at once.
# After them each attempt waits twice as long as the one before.
FREE_SETBACKS = 3
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0
_PAGE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Waiter:
    """A session that waits for a lock or a snapshot of ours."""

    pid: int
    mode: str
    relation: str

    def __str__(self) -> str:
        return f"process {self.pid}, {self.mode}{f' on {self.relation}' if self.relation else ''}"


@dataclass(slots=True)
class _Setbacks:
    """Setbacks of one table's copy: interruptions since it last got further, and starts from nothing."""

    interruptions: int = 0
    restarts: int = 0
    by: Waiter | None = None
    not_before: float = 0.0

    def put_off(self) -> None:
        times = max(self.interruptions, self.restarts) - FREE_SETBACKS
        if times > 0:
            wait = min(FIRST_DELAY_SECONDS * 2 ** (times - 1), LONGEST_DELAY_SECONDS)
            self.not_before = time.monotonic() + wait


class Turns:
    """Used by the snapshot coordinator's thread; interruptions and progress come from other ones."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes: dict[int, int] = {}
        self._setbacks: dict[int, _Setbacks] = {}
        self._lock = threading.Lock()
        self._small_ones_had_it = False

    def order(
        self,
        wanted: Sequence[CatalogRelation],
        relations: Sequence[CatalogRelation],
        begun: Collection[TableId],
    ) -> list[CatalogRelation]:
        """As many tables as a snapshot may cover, in the order in which they should be tried.

        Small ones first: they are soon live. A large one whose copy has begun continues in every second
        snapshot, however many small tables appear meanwhile.
        """
        sizes = {relation.relid: self._size(relation, relations) for relation in wanted}

        def key(relation: CatalogRelation) -> tuple[bool, bool, int, TableId]:
            is_large = sizes[relation.relid] > self._limits.group_bytes
            goes_on = is_large and relation.table in begun
            first = goes_on if self._small_ones_had_it else not is_large
            return not first, not goes_on, sizes[relation.relid], relation.table

        return sorted(wanted, key=key)[: self._limits.group_tables]

    def measured(self, relid: int, byte_count: int) -> None:
        """Keep a table's size: the catalog's estimate is 0 until the table is vacuumed or analysed."""
        self._bytes[relid] = byte_count

    def fit_together(self, byte_count: int) -> bool:
        """Return whether tables of that size may share a snapshot."""
        return byte_count <= self._limits.group_bytes

    def taken(self, byte_count: int) -> None:
        """A snapshot of tables of that size was opened."""
        self._small_ones_had_it = byte_count <= self._limits.group_bytes

    def interrupted(self, relids: Iterable[int], by: Waiter) -> None:
        """The copies of these tables gave way."""
        with self._lock:
            for relid in relids:
                setbacks = self._setbacks.setdefault(relid, _Setbacks())
                setbacks.interruptions, setbacks.by = setbacks.interruptions + 1, by
                setbacks.put_off()

    def started_again(self, relid: int) -> None:
        """The table's copy begins from nothing: what was read of it is not good any more."""
        with self._lock:
            setbacks = self._setbacks.setdefault(relid, _Setbacks())
            setbacks.restarts += 1
            setbacks.put_off()

    def progressed(self, relid: int) -> None:
        """A part of the table was copied that need not be read again."""
        with self._lock:
            if relid in self._setbacks:
                self._setbacks[relid].interruptions = 0

    def finished(self, relid: int) -> None:
        """Every part of the table was copied."""
        with self._lock:
            self._setbacks.pop(relid, None)

    def delays(self, wanted: Iterable[CatalogRelation], where: str) -> Mapping[TableId, SourceUnavailable]:
        """The tables that are left alone for a while, with the reason."""
        now = time.monotonic()
        with self._lock:
            found = {r.table: self._setbacks.get(r.relid) for r in wanted}
        return {
            table: _too_often(setbacks, f"{where}, {table}")
            for table, setbacks in found.items()
            if setbacks is not None and setbacks.not_before > now
        }

    def _size(self, relation: CatalogRelation, relations: Sequence[CatalogRelation]) -> int:
        if relation.relid in self._bytes:
            return self._bytes[relation.relid]
        return _PAGE_BYTES * sum(max(leaf.pages, 0) for leaf in leaf_relations(relation, relations))


def _too_often(setbacks: _Setbacks, where: str) -> SourceUnavailable:
    message = (
        f"the copy of the table was interrupted {setbacks.interruptions} times by statements that waited for"
        f" its lock, and restarted {setbacks.restarts} times from the beginning; the next attempt is delayed"
    )
    if setbacks.by is None:
        return SourceUnavailable(
            message, where=where, remedy="Alter the table less often until it is copied."
        )
    remedy = f"Find what alters the table: select query from pg_stat_activity where pid = {setbacks.by.pid};"
    return SourceUnavailable(f"{message} (last: {setbacks.by})", where=where, remedy=remedy)
