"""A copy of some tables in chunks of their keys, read by several connections, at positions of the binlog.

Tables with a key are read without locks that last: every chunk is a transaction of its own that sees at least
all changes before the position, perhaps newer ones too, and ends soon, so that nobody's ALTER waits long.
Tables without a key are read whole from one view that is exact; where their engine has no views, under a lock
for the whole read. A chunk makes sure, with the table's metadata locked, that the columns are those planned.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cdc.errors import CdcError, SourceUnavailable, StreamBehind
from cdc.kit.connections import closed_on_error
from cdc.kit.errors import snapshot_closed
from cdc.kit.readers import Readers
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, SnapshotChunk
from cdc_source_mysql.binlog.positions import parse
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import ServerFacts, one
from cdc_source_mysql.schema.catalog import TableInfo, read_tables
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.type_plan import ColumnPlan, delivered, planned, schema_of
from cdc_source_mysql.snapshot.chunks import (
    Bound,
    KeyRange,
    ResumeToken,
    chunk_rows,
    find_bounds,
    key_index,
    ranges,
)
from cdc_source_mysql.snapshot.copying import (
    Copying,
    CopyShape,
    SnapshotSource,
    require_same,
    select_statement,
    touch_statement,
)
from cdc_source_mysql.snapshot.views import View, Views
from cdc_source_mysql.statements import probe

# Estimates of now, not of yesterday (MySQL 8 keeps them for a day).
_FRESH_ESTIMATES = "set session information_schema_stats_expiry = 0"
_FRESH_SINCE = (8, 0, 0)
_ENGINES = "select engine from information_schema.engines where transactions = 'YES'"
_FULL = "FULL"
# The server waits so long for a reader that a full disk holds up; then the copy continues from its chunks.
PATIENCE_SECONDS = 3600
# Values come in the bytes of their columns, as in the binlog.
READER_SETTINGS = f"set session net_write_timeout = {PATIENCE_SECONDS}, session character_set_results = null"
SETTLED_POLL_SECONDS = 0.05
# What helps where catalog and binlog stay different: the source then has the columns from the next change.
_DIFFERS = (
    "Run: set global binlog_row_metadata = full; then change a row of the table, or exclude it from tables."
)


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """Plan of a snapshot: the shapes of all tables, and the views of those that need one."""

    facts: ServerFacts
    position: Position
    taken_at: datetime
    shapes: Mapping[TableId, CopyShape]
    views: Mapping[TableId, View]
    ranges: Mapping[TableId, tuple[KeyRange, ...]]
    tokens: Mapping[TableId, ResumeToken]
    resumed: frozenset[TableId]
    waiting: Mapping[TableId, CdcError]


class SnapshotPlanner:
    """Plans one snapshot on one connection."""

    def __init__(self, source: SnapshotSource, connection: Connection, tables: Sequence[TableSchema]) -> None:
        self._source = source
        self._connection = connection
        self._facts = source.connector.facts(connection)
        self._captured = source.captured_of(self._facts)
        self._schemas = {schema.table: schema for schema in tables}
        self._settled: dict[TableId, TableDefinition] = {}
        self._waiting: dict[TableId, CdcError] = {}
        self._views = Views(source.connector, self._facts, connection)

    def plan(self, earlier: Mapping[TableId, EarlierSnapshot]) -> SnapshotPlan:
        with self._connection.cursor() as cursor:
            if not self._facts.is_mariadb and self._facts.version >= _FRESH_SINCE:
                cursor.execute(_FRESH_ESTIMATES)
            self._settle(cursor)
            infos = self._look(cursor)
            found_shapes = {table: self._shape(cursor, info) for table, info in infos.items()}
            shapes = {table: shape for table, shape in found_shapes.items() if shape is not None}
            transactional = _column(cursor, _ENGINES)
            cursor.execute("select @@global.binlog_row_image")
            is_full = str(one(cursor)).upper() == _FULL
            keyed = [table for table, shape in shapes.items() if shape.schema.key]
            keyless = [table for table in shapes if table not in keyed]
            self._views.wait_until_visible(self._captured.position, keyed, self._captured.prepared)
            found = {
                t: self._ranges(cursor, infos[t], shapes[t], earlier.get(t), is_full=is_full) for t in shapes
            }
            cursor.execute("select utc_timestamp(6)")
            taken_at = one(cursor).replace(tzinfo=UTC)
            # Last, because views and locks are a burden to the server as long as they are open.
            views = self._exact(keyless, infos, transactional)
        return SnapshotPlan(
            facts=self._facts,
            position=self._captured.position,
            taken_at=taken_at,
            shapes=shapes,
            views=views,
            ranges={table: chunks for table, (chunks, _, _) in found.items()},
            tokens={table: token for table, (_, token, _) in found.items()},
            resumed=frozenset(table for table, (_, _, resumes) in found.items() if resumes),
            waiting=self._waiting,
        )

    def _settle(self, cursor: Any) -> None:
        """Look at tables that the stream knows nothing sure of, then let it pass the end of the binlog: if
        they are still the same after that, this is what they are at its position.
        """
        unknown = [table for table in self._schemas if table not in self._captured.definitions]
        if not unknown:
            return
        infos = read_tables(cursor, unknown, self._facts.flavour)
        end = self._views.place(self._connection, parse(self._captured.position.text).epoch)
        deadline = time.monotonic() + self._source.connector.limits.settled_seconds
        while self._captured.position.order < end.order:
            if time.monotonic() > deadline:
                return  # They are left to a later snapshot; the others are copied.
            time.sleep(SETTLED_POLL_SECONDS)
            self._captured = self._source.captured_of(self._facts)
        self._settled = {table: info.definition for table, info in infos.items()}

    def _look(self, cursor: Any) -> dict[TableId, TableInfo]:
        """The tables as they are now, which must be as they were where the stream is."""
        for table in self._schemas:
            with self._views.granted("select", [table]):
                cursor.execute(probe(table))
                cursor.fetchall()
        infos = read_tables(cursor, list(self._schemas), self._facts.flavour)
        for table in self._schemas:
            if table not in infos:
                self._waits(table, "it no longer exists")
            elif table not in self._captured.definitions and table not in self._settled:
                del infos[table]
                self._waits(table, "the stream has not reached it yet")
        return {table: infos[table] for table in self._schemas if table in infos}

    def _waits(self, table: TableId, why: str, remedy: str = "") -> None:
        """Leave the table to a later snapshot."""
        self._waiting[table] = StreamBehind(why, where=str(table), remedy=remedy)

    def _shape(self, cursor: Any, info: TableInfo) -> CopyShape | None:
        """How the table is copied; None while the stream has not come to its latest ALTER."""
        table = info.table
        known = self._captured.definitions.get(table) or self._settled[table]
        definition = info.definition.labelled_as(known)
        plans = plans_of(self._source, self._facts, definition)
        if known.key != definition.key or plans_of(self._source, self._facts, known) != plans:
            self._waits(table, "the stream has not reached its latest ALTER yet", _DIFFERS)
            return None
        schema = schema_of(definition, plans, self._schemas[table].identity)
        if schema.same_shape(self._schemas[table]):
            schema = self._schemas[table]
        return CopyShape(definition, plans, schema, key_index(cursor, definition, plans))

    def _exact(
        self, tables: Sequence[TableId], infos: Mapping[TableId, TableInfo], transactional: frozenset[str]
    ) -> dict[TableId, View]:
        """Views for tables without a key."""
        epoch = parse(self._captured.position.text).epoch
        with_views = [t for t in tables if infos[t].definition.engine.lower() in transactional]
        without = [t for t in tables if t not in with_views]
        opened = self._views.exact(with_views, epoch)
        found = {table: opened[i % len(opened)] for i, table in enumerate(with_views)}
        try:
            if without:
                opened.append(self._views.locked_view(without, epoch))
                found |= dict.fromkeys(without, opened[-1])
                names = ", ".join(map(str, without))
                self._source.context.log("tables are locked until they are copied", tables=names)
            for view in opened:
                run(view.connection, READER_SETTINGS)
        except BaseException:
            for view in opened:
                view.connection.close()
            raise
        return found

    def _ranges(
        self,
        cursor: Any,
        info: TableInfo,
        shape: CopyShape,
        earlier: EarlierSnapshot | None,
        *,
        is_full: bool,
    ) -> tuple[tuple[KeyRange, ...], ResumeToken, bool]:
        """A table's chunks, its token, and whether they continue from the earlier snapshot.

        Without full row images a key that changes from one chunk to another while both are read would lose
        the columns that the change leaves out: the table is read in one piece.
        """
        found = fingerprint(shape.definition, shape.plans, is_full=is_full)
        before = ResumeToken.parse(earlier.token) if earlier and shape.schema.key else None
        if earlier and before and is_full and before.shape == found:
            return tuple(ranges(before.bounds, earlier.finished, info.rows)), before, True
        bounds: tuple[Bound, ...] = ()
        if shape.schema.key and is_full:
            wanted = chunk_rows(info.rows, info.data_bytes, self._source.connector.limits)
            bounds = find_bounds(cursor, shape.index, wanted, self._facts.flavour)
        return tuple(ranges(bounds, (), info.rows)), ResumeToken(found, bounds), False


def altered(source: SnapshotSource, table: TableId, what: str) -> SourceUnavailable:
    """The copy of a table must begin again."""
    return SourceUnavailable(
        what, where=f"{source.connector.where}, {table}", remedy="The snapshot is retried automatically."
    )


def plans_of(
    source: SnapshotSource, facts: ServerFacts, definition: TableDefinition
) -> tuple[ColumnPlan, ...]:
    """How the delivered columns are decoded."""
    return delivered(planned(definition, facts, source.options.unrepresentable))


def is_as_planned(
    source: SnapshotSource, facts: ServerFacts, definition: TableDefinition, shape: CopyShape
) -> bool:
    """Return whether a table still has the columns and the key that it is copied by."""
    labelled = definition.labelled_as(shape.definition)
    return (
        labelled.key == shape.definition.key
        and plans_of(source, facts, labelled) == shape.plans
        and _collations(labelled) == _collations(shape.definition)
    )


def _collations(definition: TableDefinition) -> tuple[tuple[str | None, str | None], ...]:
    """Return the collations of the key: under another one, the same bounds hold other rows."""
    columns = map(definition.column, definition.key)
    return tuple((column.charset, column.collation) for column in columns)


def fingerprint(definition: TableDefinition, plans: tuple[ColumnPlan, ...], *, is_full: bool) -> str:
    """Return what `ResumeToken.shape` has for a table that is copied like this."""
    text = repr((plans, definition.key, _collations(definition), is_full))
    # A copy that another release began goes on only where the texts are equal: fields keep their first names.
    text = text.replace("omitted=False", "left_out=False")
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _column(cursor: Any, statement: str) -> frozenset[str]:
    cursor.execute(statement)
    return frozenset(str(row[0]).lower() for row in cursor.fetchall())


def run(connection: Connection, statement: str) -> None:
    """One statement whose answer doesn't matter."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


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
        self.schemas: Mapping[TableId, TableSchema] = {t: shape.schema for t, shape in plan.shapes.items()}
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
