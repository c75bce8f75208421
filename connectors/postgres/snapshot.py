"""A consistent view of some tables, exact to the position of a temporary slot, read by several connections in
chunks of pages.

One transaction, the coordinator's, holds the view: it imports the slot's snapshot, takes ACCESS SHARE locks
on all tables before anything is planned, makes sure that nothing was rewritten between snapshot and lock (an
old snapshot sees no rows in a rewritten table), and exports the snapshot to the readers. When it dies the
locks are gone and so is the view.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from cdc.errors import SourceUnavailable
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.readers import Readers
from cdc.spi.source import EarlierSnapshot, SnapshotChunk
from connectors.postgres.catalog import read_infos, read_relations
from connectors.postgres.chunks import LeafSize, PageRange, Token, layout_of, plan
from connectors.postgres.connection import Connection
from connectors.postgres.copying import Copying, copy_statement
from connectors.postgres.looks import Seen, read_seen
from connectors.postgres.parts import Parts
from connectors.postgres.publication import Publication, read_publication, sent_columns
from connectors.postgres.shapes import Shape
from connectors.postgres.slot import export_snapshot

# A table that is rewritten or truncated in the moment between snapshot and lock makes it start again; more
# often than this is no accident.
OPEN_ATTEMPTS = 5
# Ranges of pages are read without passing over the whole table from this version on.
RANGES_SINCE = 140000

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


@dataclass(frozen=True, slots=True)
class View:
    """The coordinator's transaction and what it sees."""

    coordinator: Connection
    position: Position
    exported: str
    taken_at: datetime
    xmin: int
    next_xid: int
    page_bytes: int
    shapes: Mapping[TableId, Shape]
    seen: Sequence[Seen]
    publication: Publication | None


class PostgresSnapshot:
    """See `cdc.spi.source.Snapshot`."""

    def __init__(self, parts: Parts, view: View, earlier: Mapping[TableId, EarlierSnapshot]) -> None:
        self._parts = parts
        self._view = view
        # Of the coordinator, which readers ask whether it lives.
        self._lock = threading.Lock()
        self._readers: Readers[Connection] = Readers(self._connect, parts.connector.where)
        self._ranges: dict[tuple[TableId, str], PageRange] = {}
        self.position = view.position
        self.positions: Mapping[TableId, Position] = dict.fromkeys(view.shapes, view.position)
        tokens, resumed = {}, set()
        for table, shape in view.shapes.items():
            token, resumes = self._plan(table, shape, earlier.get(table))
            tokens[table] = token.text()
            if resumes:
                resumed.add(table)
        self.tokens: Mapping[TableId, str] = tokens
        self.resumed = frozenset(resumed)
        self.chunks: Sequence[SnapshotChunk] = tuple(
            SnapshotChunk(table, r.id, r.rows) for (table, _), r in self._ranges.items()
        )

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        """The rows of one chunk. The view is looked at before and after: a chunk is whole or fails."""
        shape = self._view.shapes[chunk.table]
        published = self._view.publication.tables.get(chunk.table) if self._view.publication else None
        condition = published.row_filter if published else None
        statement = copy_statement(shape, self._ranges[chunk.table, chunk.id], condition)
        self._check_alive()
        with self._readers.lend() as connection:
            copying = Copying(connection, self._parts, shape, self.position, self._view.taken_at)
            for batch in copying.batches(statement):
                yield batch
                self._readers.require_open()
            self._check_alive()

    def close(self) -> None:
        self._readers.close()
        with self._lock:
            self._view.coordinator.close()

    def _plan(self, table: TableId, shape: Shape, earlier: EarlierSnapshot | None) -> tuple[Token, bool]:
        """Plan a table's chunks; its token, and whether they go on from the earlier snapshot."""
        view = self._view
        leaves = self._leaves(shape)
        ranges = view.coordinator.info.server_version >= RANGES_SINCE
        now = Token(
            relid=shape.info.relid,
            xmin=view.xmin,
            attributes=_attributes(shape),
            columns=tuple(column.name for column in shape.schema.columns),
            layouts={leaf.relid: layout_of(leaf, view.page_bytes, ranges=ranges) for leaf in leaves},
        )
        before = Token.parse(earlier.token) if earlier and shape.schema.key else None
        finished = earlier.finished if earlier else frozenset[str]()
        resumes = before is not None and before.holds_for(now, view.next_xid)
        token = before if before is not None and resumes else now
        layouts = {**now.layouts, **token.layouts}
        # New partitions join the token: their chunks are whole under this snapshot, which is newer than the
        # token's xmin.
        for page_range in plan(leaves, layouts, finished, token.xmin if resumes else None):
            self._ranges[table, page_range.id] = page_range
        return Token(token.relid, token.xmin, token.attributes, token.columns, layouts), resumes

    def _leaves(self, shape: Shape) -> list[LeafSize]:
        relids = [leaf.relid for leaf in shape.info.leaves]
        rows = self._view.coordinator.execute(_SIZES, (relids,)).fetchall()
        return sorted(
            (LeafSize(relid, TableId(schema, name), *rest) for relid, schema, name, *rest in rows),
            key=lambda leaf: leaf.relid,
        )

    def _connect(self) -> Connection:
        """A connection inside the view."""
        connection = self._parts.connector.connect("to read a snapshot")
        try:
            with self._parts.connector.translated("joining the snapshot"):
                _import(connection, self._view.exported)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_alive(self) -> None:
        self._readers.require_open()
        with self._lock, self._parts.connector.translated("holding the snapshot"):
            self._view.coordinator.execute("select 1")


def open_snapshot(
    parts: Parts, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
) -> PostgresSnapshot:
    """A view in which no table was rewritten between its snapshot and its lock."""
    for _ in range(OPEN_ATTEMPTS):
        view = _open_view(parts, tables)
        if view is None:
            continue
        try:
            with parts.connector.translated("planning the snapshot"):
                snapshot = PostgresSnapshot(parts, view, earlier)
        except BaseException:
            view.coordinator.close()
            raise
        for seen in view.seen:
            parts.history.learn(seen)
        return snapshot
    raise SourceUnavailable(
        "the tables are altered or truncated all the time",
        where=parts.connector.where,
        remedy="The snapshot is tried again.",
    )


def _open_view(parts: Parts, tables: Sequence[TableSchema]) -> View | None:
    """One attempt; None when a table changed under it."""
    ordinary = parts.connector.connect("to prepare a snapshot")
    coordinator = parts.connector.connect("to hold a snapshot")
    view = None
    try:
        with parts.connector.translated("opening a snapshot"):
            view = _look(parts, ordinary, coordinator, [table.relation or 0 for table in tables])
    finally:
        ordinary.close()
        if view is None:
            coordinator.close()
    return view


def _look(parts: Parts, ordinary: Connection, coordinator: Connection, relids: Sequence[int]) -> View | None:
    slot = parts.options.slot_name(parts.context.name)
    replication, name, position = export_snapshot(parts.connector, ordinary, slot, parts.context.log)
    try:
        _import(coordinator, name)
    finally:
        # The transaction keeps the snapshot; the slot would keep WAL for as long.
        replication.close()
    publication = read_publication(coordinator, parts.publication)
    parts.shaper.learn_types(coordinator)
    relations = read_relations(coordinator)
    infos = read_infos(coordinator, [r for r in relations if r.relid in relids], relations)
    shapes = {
        info.table: parts.shaper.shape(info, sent_columns(info, publication, parts.options)) for info in infos
    }
    _lock(coordinator, shapes)
    seen = read_seen(coordinator, parts.publication, relids)
    now = read_seen(ordinary, parts.publication, relids)
    if len(shapes) < len(relids) or not _same(seen, now):
        return None
    row = coordinator.execute(_VIEW).fetchone()
    exported = coordinator.execute("select pg_export_snapshot()").fetchone()
    if row is None or exported is None:
        raise AssertionError
    xmin, next_xid, taken_at, page_bytes = row
    return View(
        coordinator,
        position,
        exported[0],
        taken_at,
        xmin,
        next_xid,
        page_bytes,
        shapes,
        [*seen.values(), *now.values()],
        publication,
    )


def _same(snapshot: Mapping[int, Seen], now: Mapping[int, Seen]) -> bool:
    return snapshot.keys() == now.keys() and all(
        now[relid].same_storage(found) for relid, found in snapshot.items()
    )


def _attributes(shape: Shape) -> str:
    """Moves with every column that is added, altered or dropped."""
    return ",".join(f"{number}:{xmin}" for number, xmin in shape.info.attribute_xmins.items())


def _lock(coordinator: Connection, tables: Mapping[TableId, Shape]) -> None:
    """All at once, before anything is planned: from here on nothing is rewritten, truncated or altered."""
    if tables:
        names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
        coordinator.execute(sql.SQL("lock table {} in access share mode").format(names))


def _import(connection: Connection, snapshot: str) -> None:
    connection.execute("begin isolation level repeatable read read only")
    connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
