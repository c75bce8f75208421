"""A copy of some tables in chunks of their keys, read by several connections, at positions of the binlog.

Tables with a key are read without locks that last: every chunk is a transaction of its own that sees at least
all changes before the position, perhaps newer ones too, and ends soon, so that nobody's ALTER waits long.
Tables without a key are read whole from one view that is exact; where their engine has no views, under a lock
for the whole read. A chunk makes sure, with the table's metadata locked, that the columns are those planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cdc.errors import CdcError
from cdc.kit.connections import closed_on_error
from cdc.kit.errors import snapshot_closed
from cdc.kit.readers import Readers
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, SnapshotChunk
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.schema.catalog import read_tables
from cdc_source_mysql.snapshot.copying import Copying, CopyShape, select_statement, touch_statement
from cdc_source_mysql.snapshot.planning import (
    READER_SETTINGS,
    SnapshotPlan,
    SnapshotPlanner,
    altered,
    is_as_planned,
    run,
)
from cdc_source_mysql.snapshot.source import SnapshotSource, require_same
from cdc_source_mysql.snapshot.views import View

# Each chunk has a read view of its own: it reads nothing older than its statement.
_ISOLATION = "set session transaction isolation level read committed"


class MysqlSnapshot:
    """See `cdc.spi.source.Snapshot`."""

    def __init__(self, source: SnapshotSource, plan: SnapshotPlan) -> None:
        self._source = source
        self._plan = plan
        self._readers: Readers[Connection] = Readers(self._connect, source.connector.where)
        self._ranges = {(table, r.id): r for table, found in plan.ranges.items() for r in found}
        self.positions: Mapping[TableId, Position] = {
            table: plan.views[table].position if table in plan.views else plan.position
            for table in plan.shapes
        }
        self.tokens: Mapping[TableId, str] = {table: token.text() for table, token in plan.tokens.items()}
        self.resumed = plan.resumed
        self.waiting: Mapping[TableId, CdcError] = plan.waiting
        self.rows_left = 0
        # Views first: the longer one is open, the more the server has to keep for it.
        order = sorted(plan.shapes, key=lambda table: table not in plan.views)
        self.chunks: Sequence[SnapshotChunk] = tuple(
            SnapshotChunk(table, r.id, r.rows) for table in order for r in plan.ranges[table]
        )

    @property
    def is_ending(self) -> bool:
        """Views stay until the tables without a key are read; chunks of the others need none."""
        return False

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        """The rows of one chunk: it is whole or fails."""
        shape = self._plan.shapes[chunk.table]
        statement = select_statement(shape, self._ranges[chunk.table, chunk.id])
        view = self._plan.views.get(chunk.table)
        reader = self._chunk_reader() if view is None else self._view_reader(view)
        with reader as connection, self._source.connector.translated(f"copying {chunk.table}"):
            self._hold(connection, shape)
            position = self.positions[chunk.table]
            copying = Copying(connection, self._source, shape, position, self._plan.taken_at)
            yield from copying.batches(statement, lambda: not self._readers.closed)

    def close(self) -> None:
        self._readers.close()
        for view in self._plan.views.values():
            if view.connection.open:
                view.connection.close()

    @contextmanager
    def _chunk_reader(self) -> Iterator[Connection]:
        """A connection in a transaction of its own."""
        with self._readers.lend() as connection, self._source.connector.translated("reading a chunk"):
            run(connection, "start transaction read only")
            yield connection
            run(connection, "commit")

    @contextmanager
    def _view_reader(self, view: View) -> Iterator[Connection]:
        """The view's own connection, for one table at a time."""
        with view.lock:
            if self._readers.closed or view.is_broken:
                raise snapshot_closed(self._source.connector.where)
            view.is_broken = True
            with self._source.connector.translated("reading from a view"):
                if not view.is_locked:
                    run(view.connection, "savepoint cdc")
                yield view.connection
                if not view.is_locked:
                    # MySQL then lets an ALTER of the table through, MariaDB at the end of the view.
                    run(view.connection, "rollback to savepoint cdc")
            view.is_broken = False

    def _hold(self, connection: Connection, shape: CopyShape) -> None:
        """Keep the table from being altered until the transaction ends, and see that it was not before."""
        with connection.cursor() as cursor:
            cursor.execute(touch_statement(shape))
            cursor.fetchall()
            infos = read_tables(cursor, [shape.table], self._plan.facts.flavour)
        info = infos.get(shape.table)
        if info is None or not is_as_planned(self._source, self._plan.facts, info.definition, shape):
            raise altered(self._source, shape.table, "it was altered while it was copied")

    def _connect(self) -> Connection:
        connector = self._source.connector
        connection = connector.connect("to read a chunk")
        with closed_on_error(connection), connector.translated("preparing to read a chunk"):
            require_same(self._source, self._plan.facts, connector.facts(connection))
            run(connection, _ISOLATION)
            run(connection, READER_SETTINGS)
        return connection


def open_snapshot(
    source: SnapshotSource, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
) -> MysqlSnapshot:
    """Plan the chunks of these tables, at a position that every later read has passed.

    Raises:
        SourceUnavailable: the stream has not come to an ALTER yet, a table is locked or was altered; tried
            again.
        SourceRefused: a privilege is missing; the remedy is the GRANT.
    """
    connection = source.connector.connect("to prepare a snapshot")
    try:
        with source.connector.translated("planning the snapshot"):
            return MysqlSnapshot(source, SnapshotPlanner(source, connection, tables).plan(earlier))
    finally:
        connection.close()
