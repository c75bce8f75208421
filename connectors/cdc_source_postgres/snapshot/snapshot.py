"""Reads a consistent view of some tables, exact to the position of a temporary slot, by several connections
in chunks of pages.

The view's transaction (`cdc_source_postgres.snapshot.views`) holds the locks; when it dies, or ends because
an application's statement waits for them, no chunk under way counts as read. A large table is read in several
views, each for `Limits.snapshot_seconds` at most: later ones complete the earlier as
`cdc_source_postgres.snapshot.chunks` says.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cdc.errors import CdcError, SourceUnavailable
from cdc.kit.connections import closed_on_error
from cdc.kit.readers import Readers
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, Snapshot, SnapshotChunk
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.schema.shapes import Shape
from cdc_source_postgres.snapshot.chunks import AGAIN, PageRange, ResumeToken, layout_of, plan
from cdc_source_postgres.snapshot.context import SnapshotContext
from cdc_source_postgres.snapshot.copying import Copying, copy_statement
from cdc_source_postgres.snapshot.planning import Waiter
from cdc_source_postgres.snapshot.views import Postponed, View, import_snapshot, open_view

# Ranges of pages are read without passing over the whole table from this version on.
RANGES_SINCE = 140000
# Tables that a log line names.
_SHOWN = 5


class PostgresSnapshot:
    """See `cdc.spi.source.Snapshot`."""

    def __init__(
        self, context: SnapshotContext, view: View, earlier: Mapping[TableId, EarlierSnapshot]
    ) -> None:
        self._context = context
        self._view = view
        self._readers: Readers[Connection] = Readers(self._connect, context.connector.where)
        self._ranges: dict[tuple[TableId, str], PageRange] = {}
        self._opened_at = time.monotonic()
        self.positions: Mapping[TableId, Position] = dict.fromkeys(view.shapes, view.position)
        self.schemas: Mapping[TableId, TableSchema] = {t: shape.schema for t, shape in view.shapes.items()}
        tokens, resumed = {}, set()
        for table, shape in view.shapes.items():
            token, resumes = self._plan(table, shape, earlier.get(table))
            tokens[table] = token.text()
            if resumes:
                resumed.add(table)
        self.tokens: Mapping[TableId, str] = tokens
        self.resumed = frozenset(resumed)
        self.waiting = view.waiting
        self.rows_left = view.rows_left
        # Whole chunks first: until the last of them is begun, another view can take over.
        ordered = sorted(self._ranges.items(), key=lambda item: item[1].since is not None)
        self.chunks: Sequence[SnapshotChunk] = tuple(
            SnapshotChunk(table, r.id, r.rows) for (table, _), r in ordered
        )
        # Guards what follows: chunks that are not read, and whole ones that are not begun.
        self._counting = threading.Lock()
        self._unread = Counter(chunk.table for chunk in self.chunks)
        self._not_begun = {chunk.id for chunk in self.chunks if not chunk.id.startswith(AGAIN)}
        self._any_begun = False
        view.watcher.tell(self._end, self._yielded)

    @property
    def is_ending(self) -> bool:
        """Whether it is over time and a later view can complete what is left."""
        if time.monotonic() - self._opened_at < self._context.connector.limits.snapshot_seconds:
            return False
        shapes = list(self._view.shapes.values())
        can_be_completed = len(shapes) == 1 and bool(shapes[0].schema.key) and bool(self._not_begun)
        return can_be_completed or not self._any_begun

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        """The rows of one chunk. The view is looked at before and after: a chunk is whole or fails."""
        shape = self._view.shapes[chunk.table]
        with self._counting:
            self._any_begun = True
            self._not_begun.discard(chunk.id)
        try:
            self._check_alive()
            with self._readers.lend() as connection:
                yield from self._rows(connection, chunk, shape)
            self._check_alive()
        except CdcError as error:
            raise self._view.watcher.explained(error) from error
        with self._counting:
            self._unread[chunk.table] -= 1
            is_read = self._unread[chunk.table] == 0
        if is_read:
            self._context.turns.finished(shape.info.relid)
        elif shape.schema.key and not chunk.id.startswith(AGAIN):
            self._context.turns.progressed(shape.info.relid)

    def close(self) -> None:
        self._view.watcher.close()
        self._end()

    def _rows(self, connection: Connection, chunk: SnapshotChunk, shape: Shape) -> Iterator[ChangeBatch]:
        """The chunk's rows; the reader's own locks go with them."""
        publication = self._view.publication
        published = publication.tables.get(chunk.table) if publication else None
        condition = published.row_filter if published else None
        statement = copy_statement(shape, self._ranges[chunk.table, chunk.id], condition)
        self._run(connection, "savepoint cdc")
        copying = Copying(connection, self._context, shape, self._view.position, self._view.taken_at)
        for batch in copying.batches(statement):
            # Rows are good when they were read while the view's locks were held.
            self._readers.require_open()
            yield batch
        self._run(connection, "rollback to savepoint cdc")

    def _run(self, connection: Connection, statement: str) -> None:
        with self._context.connector.translated("reading a chunk"):
            connection.execute(statement.encode())

    def _end(self) -> None:
        """End the view. Readers at work find it closed."""
        self._readers.close()
        self._view.holder.close()

    def _yielded(self, waiter: Waiter) -> None:
        with self._counting:
            tables = [table for table, count in self._unread.items() if count > 0]
        self._context.turns.interrupted((self._view.shapes[table].info.relid for table in tables), waiter)
        self._context.source.log(
            "the snapshot gave way to a statement that waits for it",
            waiter=str(waiter),
            tables=[str(table) for table in tables[:_SHOWN]],
        )

    def _plan(
        self, table: TableId, shape: Shape, earlier: EarlierSnapshot | None
    ) -> tuple[ResumeToken, bool]:
        """Plan a table's chunks; its token, and whether they continue from the earlier snapshot."""
        view = self._view
        leaves = view.leaves[table]
        ranges = view.holder.connection.info.server_version >= RANGES_SINCE
        limits = self._context.connector.limits
        published = view.publication.tables.get(table) if view.publication else None
        now = ResumeToken(
            relid=shape.info.relid,
            xmin=view.xmin,
            attributes={
                c.attnum: f"{c.type_oid}:{c.typmod}:{c.generated}:{c.name}" for c in shape.info.columns
            },
            columns=tuple(column.id or 0 for column in shape.schema.columns),
            key=shape.schema.key,
            row_filter=published.row_filter if published else None,
            layouts={leaf.relid: layout_of(leaf, view.page_bytes, limits, ranges=ranges) for leaf in leaves},
        )
        before = ResumeToken.parse(earlier.token) if earlier and shape.schema.key else None
        finished = earlier.finished if earlier else frozenset[str]()
        resumes = before is not None and before.holds_for(now, view.next_xid)
        if earlier is not None and not resumes:
            self._context.turns.started_again(shape.info.relid)
        token = before if before is not None and resumes else now
        layouts = {**now.layouts, **token.layouts}
        # New partitions join the token: their chunks are whole under this snapshot, which is newer than the
        # token's xmin.
        for page_range in plan(leaves, layouts, finished, token.xmin if resumes else None):
            self._ranges[table, page_range.id] = page_range
        return replace(now, xmin=token.xmin, layouts=layouts), resumes

    def _connect(self) -> Connection:
        """A connection inside the view."""
        connector = self._context.connector
        connection = connector.connect("to read a snapshot")
        with closed_on_error(connection), connector.translated("joining the snapshot"):
            import_snapshot(connection, self._view.exported)
        self._view.watcher.add(connection.info.backend_pid)
        return connection

    def _check_alive(self) -> None:
        self._readers.require_open()
        with self._context.connector.translated("holding the snapshot"):
            self._view.holder.execute("select 1")


class NothingToCopy:
    """A snapshot that covers no table: all of them have to wait."""

    def __init__(self, waiting: Mapping[TableId, CdcError]) -> None:
        self.positions: Mapping[TableId, Position] = {}
        self.schemas: Mapping[TableId, TableSchema] = {}
        self.chunks: Sequence[SnapshotChunk] = ()
        self.tokens: Mapping[TableId, str] = {}
        self.resumed: frozenset[TableId] = frozenset()
        self.waiting = waiting
        self.rows_left = 0
        self.is_ending = True

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        raise AssertionError(chunk)

    def close(self) -> None:
        pass


def open_snapshot(
    context: SnapshotContext, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
) -> Snapshot:
    """A view of some of the tables, planned."""
    digits = context.shaper.money_digits
    view = open_view(context, tables, earlier.keys())
    if isinstance(view, Postponed):
        return NothingToCopy(view.waiting)
    try:
        with context.connector.translated("planning the snapshot"):
            snapshot = PostgresSnapshot(context, view, earlier)
    except BaseException:
        view.watcher.close()
        view.holder.close()
        raise
    for seen in view.seen:
        context.history.learn(seen)
    if context.shaper.money_digits != digits:
        # The look that found it knew nothing of tables that are new here.
        snapshot.close()
        raise SourceUnavailable(
            "lc_monetary was changed while the snapshot was opened",
            where=context.connector.where,
            remedy="It is retried automatically.",
        )
    return snapshot
