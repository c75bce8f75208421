"""Opens a consistent view of some tables: one transaction that imports a temporary slot's snapshot and holds
ACCESS SHARE locks on the tables that are read under it, and on no others.

The snapshot comes first, the locks second: creating a slot may wait for transactions that want our locks.
An old snapshot sees no rows in a table that was rewritten after it, so each table is compared with the
catalog as it is once the lock is there. A lock is taken at once or not at all: a request of ours that waits
would wait in a queue with the application's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from cdc.errors import CdcError, SourceUnavailable
from cdc.model import Position, TableId, TableSchema
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.errors import translate
from cdc_source_postgres.schema.catalog import leaf_relations, read_infos, read_relations
from cdc_source_postgres.schema.catalog_looks import Seen, read_seen
from cdc_source_postgres.schema.shapes import Shape
from cdc_source_postgres.schema.tables import CatalogRelation
from cdc_source_postgres.snapshot.chunks import LeafSize
from cdc_source_postgres.snapshot.context import SnapshotContext
from cdc_source_postgres.snapshot.watcher import Watcher
from cdc_source_postgres.stream.blockers import exclusive_locks, lock_holders
from cdc_source_postgres.stream.publication import Publication, read_publication, sent_columns
from cdc_source_postgres.stream.slot import export_snapshot

# Most locks that are in the way are gone in a moment (VACUUM cuts off empty pages, TRUNCATE); after this many
# looks the tables are left for later.
OPEN_ATTEMPTS = 5
AGAIN_SECONDS = 0.1
# Measuring a table opens its TOAST table and indexes, which somebody may have locked.
MEASURE_TIMEOUT_MILLISECONDS = 300

_VIEW = """
    select pg_snapshot_xmin(pg_current_snapshot())::text::int8,
           pg_snapshot_xmax(pg_current_snapshot())::text::int8,
           clock_timestamp(), current_setting('block_size')::int
"""
_SIZES = """
    select c.oid::int8, n.nspname, c.relname, c.relfilenode::int8, pg_relation_size(c.oid),
           pg_table_size(c.oid), greatest(c.reltuples, 0)::int8
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any(%s::oid[])
"""
# No savepoint stays open: a snapshot can't be exported inside of one.
_UNLOCK = "rollback to savepoint cdc; release savepoint cdc"
_ONLY_THIS_TABLE = frozenset(
    {
        "55P03",  # lock_not_available: another session alters it
        "42P01",  # undefined_table: dropped or renamed since
        "3F000",  # invalid_schema_name
        "42809",  # wrong_object_type: its name is another object's now
        "42501",  # insufficient_privilege
    }
)


class Holder:
    """The view's transaction. Statements of several threads run one after the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def execute(self, query: Any, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self._lock:
            cursor = self.connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """End the transaction; its locks are free at once."""
        with self._lock:
            self.connection.close()


@dataclass(frozen=True, slots=True)
class View:
    """The holder's transaction and what it sees."""

    holder: Holder
    watcher: Watcher
    position: Position
    exported: str
    taken_at: datetime
    xmin: int
    next_xid: int
    page_bytes: int
    shapes: Mapping[TableId, Shape]
    leaves: Mapping[TableId, Sequence[LeafSize]]
    seen: Sequence[Seen]
    publication: Publication | None
    waiting: Mapping[TableId, CdcError]
    rows_left: int


@dataclass(frozen=True, slots=True)
class Postponed:
    """No table can be copied now: nothing was opened."""

    waiting: Mapping[TableId, CdcError]


def open_view(
    context: SnapshotContext, tables: Sequence[TableSchema], begun: Collection[TableId]
) -> View | Postponed:
    """A view of as many of the tables as fit together and are free."""
    for attempt in range(1, OPEN_ATTEMPTS + 1):
        view = _attempt(context, tables, begun)
        if isinstance(view, View) or attempt == OPEN_ATTEMPTS:
            return view
        time.sleep(AGAIN_SECONDS)
    raise AssertionError  # The last attempt returned.


def _attempt(
    context: SnapshotContext, tables: Sequence[TableSchema], begun: Collection[TableId]
) -> View | Postponed:
    ordinary = context.connector.connect("to prepare a snapshot")
    watcher = Watcher(context, ordinary)
    opener = _Opener(context, watcher)
    view: View | Postponed | None = None
    try:
        with context.connector.translated("opening a snapshot"):
            view = opener.open([table.relation or 0 for table in tables], begun)
    except CdcError as error:
        raise watcher.explained(error) from error
    finally:
        if not isinstance(view, View):
            watcher.close()
            opener.close()
    return view


class _Opener:
    """One attempt."""

    def __init__(self, context: SnapshotContext, watcher: Watcher) -> None:
        self._context = context
        self._watcher = watcher
        self._holder: Holder | None = None
        self._waiting: dict[TableId, CdcError] = {}

    def close(self) -> None:
        if self._holder is not None:
            self._holder.close()

    def open(self, relids: Sequence[int], begun: Collection[TableId]) -> View | Postponed:
        wanted = set(relids)
        with self._watcher.connection() as ordinary:
            relations = [r for r in read_relations(ordinary) if r.relid in wanted]
            self._leave_out_locked(ordinary, relations)
            if len(self._waiting) == len(relations):
                return Postponed(self._waiting)
            slot = self._context.options.slot_name(self._context.source.name)
            log = self._context.source.log
            replication, exported, position = export_snapshot(self._context.connector, ordinary, slot, log)
        coordinator = self._context.connector.connect("to hold a snapshot")
        self._holder = Holder(coordinator)
        try:
            import_snapshot(coordinator, exported)
        finally:
            # The transaction keeps the snapshot; the slot would keep WAL for as long.
            replication.close()
        return self._look(self._holder, position, wanted, begun)

    def _look(
        self, holder: Holder, position: Position, wanted: set[int], begun: Collection[TableId]
    ) -> View | Postponed:
        publication = read_publication(holder.connection, self._context.publication)
        self._context.shaper.learn_types(holder.connection)
        relations = read_relations(holder.connection)
        candidates = [r for r in relations if r.relid in wanted]
        free = [r for r in candidates if r.table not in self._waiting]
        tried = self._context.turns.order(free, relations, begun)
        infos = read_infos(holder.connection, tried, relations)
        relids = [relation.relid for relation in tried]
        seen = read_seen(holder.connection, self._context.publication, relids)
        # From here on others may wait for us, and the transaction end at any time.
        self._watcher.watch(holder.close, [holder.connection.info.backend_pid])
        leaves = self._take(holder, tried, relations)
        same = self._compare([r for r in tried if r.table in leaves], seen)
        shapes = {
            info.table: self._context.shaper.shape(
                info, sent_columns(info, publication, self._context.options)
            )
            for info in infos
            if info.relid in same
        }
        if not shapes:
            return Postponed(self._waiting)
        self._context.turns.taken(sum(leaf.total_bytes for table in shapes for leaf in leaves[table]))
        ((xmin, next_xid, taken_at, page_bytes),) = holder.execute(_VIEW)
        ((exported,),) = holder.execute("select pg_export_snapshot()")
        return View(
            holder=holder,
            watcher=self._watcher,
            position=position,
            exported=exported,
            taken_at=taken_at,
            xmin=xmin,
            next_xid=next_xid,
            page_bytes=page_bytes,
            shapes=shapes,
            leaves=leaves,
            seen=[look for looks in same.values() for look in looks],
            publication=publication,
            waiting=self._waiting,
            rows_left=sum(_rows(r, relations) for r in candidates if r.table not in shapes),
        )

    def _leave_out_locked(self, ordinary: Connection, relations: Sequence[CatalogRelation]) -> None:
        """Tables that are locked or left alone for a while cost no slot."""
        self._waiting |= self._context.turns.delays(relations, self._context.connector.where)
        locked = exclusive_locks(ordinary, [relation.relid for relation in relations])
        for relation in relations:
            if relation.relid in locked:
                self._waiting[relation.table] = self._locked(ordinary, relation)

    def _locked(self, ordinary: Connection, relation: CatalogRelation) -> SourceUnavailable:
        who = lock_holders(ordinary, relation.relid)
        holder = f", held or awaited by {who[0].who}" if who else ""
        return SourceUnavailable(
            f"the copy of the table waits for an exclusive lock of another session{holder}",
            where=f"{self._context.connector.where}, {relation.table}",
            remedy=who[0].remedy if who else "It is retried automatically.",
        )

    def _take(
        self, holder: Holder, ordered: Sequence[CatalogRelation], relations: Sequence[CatalogRelation]
    ) -> dict[TableId, list[LeafSize]]:
        """Lock and measure tables until the view has enough of them."""
        holder.execute(f"set local lock_timeout = {MEASURE_TIMEOUT_MILLISECONDS}")
        taken: dict[TableId, list[LeafSize]] = {}
        byte_count = 0
        for relation in ordered:
            leaves = self._lock_and_measure(holder, relation, leaf_relations(relation, relations))
            if leaves is None:
                continue
            size = sum(leaf.total_bytes for leaf in leaves)
            self._context.turns.measured(relation.relid, size)
            if taken and not self._context.turns.fit_together(byte_count + size):
                holder.execute(_UNLOCK)
                continue
            holder.execute("release savepoint cdc")
            taken[relation.table] = leaves
            byte_count += size
            if not self._context.turns.fit_together(byte_count):
                break
        return taken

    def _lock_and_measure(
        self, holder: Holder, relation: CatalogRelation, leaves: Sequence[CatalogRelation]
    ) -> list[LeafSize] | None:
        """The sizes of a table that is locked now, since a savepoint; None when it has to wait."""
        try:
            holder.execute(_lock(relation.table))
            rows = holder.execute(_SIZES, [[leaf.relid for leaf in leaves]])
        except psycopg.Error as error:
            if error.sqlstate not in _ONLY_THIS_TABLE:
                raise
            holder.execute(_UNLOCK)
            where = f"{self._context.connector.where}, {relation.table}"
            self._waiting[relation.table] = translate(error, where, "locking the table for its copy")
            return None
        found = (LeafSize(relid, TableId(schema, name), *rest) for relid, schema, name, *rest in rows)
        return sorted(found, key=lambda leaf: leaf.relid)

    def _compare(
        self, taken: Sequence[CatalogRelation], seen: Mapping[int, Seen]
    ) -> dict[int, tuple[Seen, Seen]]:
        """Both looks at those tables that are still as the snapshot saw them."""
        relids = [relation.relid for relation in taken]
        with self._watcher.connection() as ordinary:
            now = read_seen(ordinary, self._context.publication, relids)
        same: dict[int, tuple[Seen, Seen]] = {}
        for relation in taken:
            here, there = seen.get(relation.relid), now.get(relation.relid)
            if here and there and there.same_storage(here):
                same[relation.relid] = here, there
            else:
                self._waiting[relation.table] = SourceUnavailable(
                    "the table was altered, truncated or dropped while its snapshot was opened",
                    where=f"{self._context.connector.where}, {relation.table}",
                    remedy="It is retried automatically.",
                )
        return same


def import_snapshot(connection: Connection, snapshot: str) -> None:
    """Begin a transaction in an exported snapshot."""
    connection.execute("begin isolation level repeatable read read only")
    connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))


def _lock(table: TableId) -> sql.Composed:
    name = sql.Identifier(table.schema, table.name)
    return sql.SQL("savepoint cdc; lock table {} in access share mode nowait").format(name)


def _rows(relation: CatalogRelation, relations: Sequence[CatalogRelation]) -> int:
    return sum(leaf.estimated_rows for leaf in leaf_relations(relation, relations))
