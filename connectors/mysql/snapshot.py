"""A copy of some tables in chunks of their keys, read by several connections, at positions of the binlog.

Tables with a key are read without locks that last: every chunk is a transaction of its own that sees at least
all changes before the position, perhaps newer ones too, and ends soon, so that nobody's ALTER waits long.
Tables without a key are read whole from one view that is exact; where their engine has no views, under a lock
for the whole read. A chunk makes sure, with the table's metadata locked, that the columns are those planned.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cdc.errors import SourceUnavailable
from cdc.model import ChangeBatch, Position, TableId, TableSchema
from cdc.spi.source import EarlierSnapshot, SnapshotChunk, SourceContext
from connectors.mysql.bounds import find_bounds, key_index
from connectors.mysql.catalog import TableInfo, read_tables
from connectors.mysql.channel import Connection
from connectors.mysql.chunks import Bound, KeyRange, Token, chunk_rows, ranges
from connectors.mysql.connection import Connector, ServerFacts, one
from connectors.mysql.copying import Copying, Shape, select_statement, touch_statement
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.options import MysqlOptions
from connectors.mysql.positions import parse
from connectors.mysql.statements import quoted
from connectors.mysql.type_plan import ColumnPlan, plan_table, schema_of
from connectors.mysql.views import View, Views

# The server waits so long for a reader that a full disk holds up; then the copy goes on from its chunks.
PATIENCE_SECONDS = 3600
# Values come in the bytes of their columns, as they stand in the binlog.
_READER = (
    "set session transaction isolation level read committed",
    f"set session net_write_timeout = {PATIENCE_SECONDS}, session character_set_results = null",
)
# Estimates of now, not of yesterday (MySQL 8 keeps them for a day).
_FRESH_ESTIMATES = "set session information_schema_stats_expiry = 0"
_FRESH_SINCE = (8, 0, 0)
_ENGINES = "select engine from information_schema.engines where transactions = 'YES'"
_FULL = "FULL"


@dataclass(frozen=True, slots=True)
class Captured:
    """What the stream has given to its caller so far: the position after the last set, and the definitions of
    the selected tables at that very position, looked at together.
    """

    position: Position
    definitions: Mapping[TableId, TableDefinition]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a snapshot needs of its source. `captured` is called from the snapshot's thread, once a snapshot;
    before any stream it gives the position that `open` returned, and the definitions of its memory.
    """

    connector: Connector
    context: SourceContext
    options: MysqlOptions
    captured: Callable[[], Captured]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read: the shapes of all tables, the views of those that need one."""

    facts: ServerFacts
    position: Position
    taken_at: datetime
    shapes: Mapping[TableId, Shape]
    views: Mapping[TableId, View]
    ranges: Mapping[TableId, tuple[KeyRange, ...]]
    tokens: Mapping[TableId, Token]
    resumed: frozenset[TableId]


class MysqlSnapshot:
    """See `cdc.spi.source.Snapshot`."""

    def __init__(self, parts: Parts, plan: Plan) -> None:
        self._parts = parts
        self._plan = plan
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._ranges = {(table, r.id): r for table, found in plan.ranges.items() for r in found}
        self.positions: Mapping[TableId, Position] = {
            table: plan.views[table].position if table in plan.views else plan.position
            for table in plan.shapes
        }
        self.tokens: Mapping[TableId, str] = {table: token.text() for table, token in plan.tokens.items()}
        self.resumed = plan.resumed
        # Views first: the longer one stands, the more the server has to keep for it.
        order = sorted(plan.shapes, key=lambda table: table not in plan.views)
        self.chunks: Sequence[SnapshotChunk] = tuple(
            SnapshotChunk(table, r.id, r.rows) for table in order for r in plan.ranges[table]
        )

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        """The rows of one chunk: it is whole or fails."""
        shape = self._plan.shapes[chunk.table]
        statement = select_statement(shape, self._ranges[chunk.table, chunk.id])
        view = self._plan.views.get(chunk.table)
        reader = self._chunk_reader() if view is None else self._view_reader(view)
        with reader as connection, self._parts.connector.translated(f"copying {chunk.table}"):
            self._hold(connection, shape)
            position = self.positions[chunk.table]
            copying = Copying(connection, self._parts, shape, position, self._plan.taken_at)
            yield from copying.batches(statement, lambda: not self._closed)

    def close(self) -> None:
        self._closed = True
        with self._lock:
            for connection in (*self._idle, *(v.connection for v in self._plan.views.values())):
                if connection.open:
                    connection.close()
            self._idle.clear()

    @contextmanager
    def _chunk_reader(self) -> Iterator[Connection]:
        """A connection in a transaction of its own."""
        connection = self._reader()
        is_whole = False
        try:
            with self._parts.connector.translated("reading a chunk"):
                _run(connection, "start transaction read only")
                yield connection
                _run(connection, "commit")
            is_whole = True
        finally:
            self._give_back(connection, reusable=is_whole)

    @contextmanager
    def _view_reader(self, view: View) -> Iterator[Connection]:
        """The view's own connection, for one table at a time."""
        with view.lock:
            if self._closed or view.is_broken:
                raise self._gone()
            view.is_broken = True
            with self._parts.connector.translated("reading from a view"):
                if not view.is_locked:
                    _run(view.connection, "savepoint cdc")
                yield view.connection
                if not view.is_locked:
                    # MySQL then lets an ALTER of the table through, MariaDB at the end of the view.
                    _run(view.connection, "rollback to savepoint cdc")
            view.is_broken = False

    def _hold(self, connection: Connection, shape: Shape) -> None:
        """Keep the table from being altered until the transaction ends, and see that it was not before."""
        with connection.cursor() as cursor:
            cursor.execute(touch_statement(shape))
            cursor.fetchall()
            infos = read_tables(cursor, [shape.table], self._plan.facts.flavour)
        info = infos.get(shape.table)
        if info is None or not _same(self._parts, self._plan.facts, info.definition, shape):
            raise altered(self._parts, shape.table, "it was altered while it was copied")

    def _reader(self) -> Connection:
        with self._lock:
            if self._closed:
                raise self._gone()
            if self._idle:
                return self._idle.pop()
        connection = self._parts.connector.connect("to read a chunk")
        with self._parts.connector.translated("preparing to read a chunk"):
            for statement in _READER:
                _run(connection, statement)
        return connection

    def _give_back(self, connection: Connection, *, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _gone(self) -> SourceUnavailable:
        return SourceUnavailable(
            "the snapshot is closed", where=self._parts.connector.where, remedy="It is taken again."
        )


def open_snapshot(
    parts: Parts, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
) -> MysqlSnapshot:
    """Plan the chunks of these tables, at a position that every later read has passed.

    Raises:
        SourceUnavailable: the stream has not come to an ALTER yet, a table is locked or was altered; tried
            again.
        SourceRefused: a privilege is missing; the remedy is the GRANT.
    """
    captured = parts.captured()
    connection = parts.connector.connect("to prepare a snapshot")
    try:
        with parts.connector.translated("planning the snapshot"):
            return MysqlSnapshot(parts, _Planner(parts, connection, captured, tables).plan(earlier))
    finally:
        connection.close()


class _Planner:
    """Plans one snapshot on one connection."""

    def __init__(
        self, parts: Parts, connection: Connection, captured: Captured, tables: Sequence[TableSchema]
    ) -> None:
        self._parts = parts
        self._connection = connection
        self._captured = captured
        self._schemas = {schema.table: schema for schema in tables}
        self._facts = parts.connector.facts(connection)
        self._views = Views(parts.connector, self._facts, connection)

    def plan(self, earlier: Mapping[TableId, EarlierSnapshot]) -> Plan:
        with self._connection.cursor() as cursor:
            if not self._facts.is_mariadb and self._facts.version >= _FRESH_SINCE:
                cursor.execute(_FRESH_ESTIMATES)
            infos = self._look(cursor)
            shapes = {table: self._shape(cursor, info) for table, info in infos.items()}
            transactional = _column(cursor, _ENGINES)
            cursor.execute("select @@global.binlog_row_image")
            is_full = str(one(cursor)).upper() == _FULL
            keyed = [table for table, shape in shapes.items() if shape.schema.key]
            keyless = [table for table in shapes if table not in keyed]
            self._views.wait_until_visible(self._captured.position, keyed)
            cursor.execute("select utc_timestamp(6)")
            taken_at = one(cursor).replace(tzinfo=UTC)
            views = self._exact(keyless, infos, transactional)
            try:
                found = {
                    t: self._ranges(cursor, infos[t], shapes[t], earlier.get(t), is_full=is_full)
                    for t in shapes
                }
            except BaseException:
                for view in views.values():
                    view.connection.close()
                raise
        return Plan(
            facts=self._facts,
            position=self._captured.position,
            taken_at=taken_at,
            shapes=shapes,
            views=views,
            ranges={table: chunks for table, (chunks, _, _) in found.items()},
            tokens={table: token for table, (_, token, _) in found.items()},
            resumed=frozenset(table for table, (_, _, resumes) in found.items() if resumes),
        )

    def _look(self, cursor: Any) -> dict[TableId, TableInfo]:
        """The tables as they are now, which must be as they were where the stream is."""
        for table in self._schemas:
            with self._views.granted("select", [table]):
                cursor.execute(_probe(table))
                cursor.fetchall()
        infos = read_tables(cursor, list(self._schemas), self._facts.flavour)
        for table in self._schemas:
            if table not in infos:
                raise altered(self._parts, table, "it is not there any more")
        return {table: infos[table] for table in self._schemas}

    def _shape(self, cursor: Any, info: TableInfo) -> Shape:
        definition = info.definition
        table = definition.table
        plans = _plans(self._parts, self._facts, definition)
        known = self._captured.definitions.get(table)
        if known is None or _plans(self._parts, self._facts, known) != plans or known.key != definition.key:
            raise altered(self._parts, table, "the stream has not come to its latest ALTER yet")
        schema = schema_of(definition, plans, self._schemas[table].identity)
        if schema.same_shape(self._schemas[table]):
            schema = self._schemas[table]
        return Shape(definition, plans, schema, key_index(cursor, definition, plans))

    def _exact(
        self, tables: Sequence[TableId], infos: Mapping[TableId, TableInfo], transactional: frozenset[str]
    ) -> dict[TableId, View]:
        """Views for tables without a key."""
        epoch = parse(self._captured.position.text).epoch
        with_views = [t for t in tables if infos[t].definition.engine.lower() in transactional]
        without = [t for t in tables if t not in with_views]
        views = self._views.exact(with_views, epoch)
        found = {table: views[i % len(views)] for i, table in enumerate(with_views)}
        if without:
            try:
                locked = self._views.locked_view(without, epoch)
            except BaseException:
                for view in views:
                    view.connection.close()
                raise
            found |= dict.fromkeys(without, locked)
            names = ", ".join(map(str, without))
            self._parts.context.log("tables are locked until they are copied", tables=names)
        for view in {id(view): view for view in found.values()}.values():
            for statement in _READER[1:]:
                _run(view.connection, statement)
        return found

    def _ranges(
        self, cursor: Any, info: TableInfo, shape: Shape, earlier: EarlierSnapshot | None, *, is_full: bool
    ) -> tuple[tuple[KeyRange, ...], Token, bool]:
        """A table's chunks, its token, and whether they go on from the earlier snapshot.

        Without full row images a key that changes from one chunk to another while both are read would lose
        the columns that the change leaves out: the table is read in one piece.
        """
        fingerprint = _fingerprint(shape, is_full=is_full)
        before = Token.parse(earlier.token) if earlier and shape.schema.key else None
        if earlier and before and is_full and before.shape == fingerprint:
            return tuple(ranges(before.bounds, earlier.finished, info.rows)), before, True
        bounds: tuple[Bound, ...] = ()
        if shape.schema.key and is_full:
            wanted = chunk_rows(info.rows, info.data_bytes)
            bounds = find_bounds(cursor, shape.index, wanted, self._facts.flavour)
        return tuple(ranges(bounds, (), info.rows)), Token(fingerprint, bounds), False


def altered(parts: Parts, table: TableId, what: str) -> SourceUnavailable:
    """The copy of a table must begin again."""
    return SourceUnavailable(
        what, where=f"{parts.connector.where}, {table}", remedy="The snapshot is taken again by itself."
    )


def _plans(parts: Parts, facts: ServerFacts, definition: TableDefinition) -> tuple[ColumnPlan, ...]:
    return plan_table(definition, None, facts.flavour, parts.options.unrepresentable)


def _same(parts: Parts, facts: ServerFacts, definition: TableDefinition, shape: Shape) -> bool:
    return definition.key == shape.definition.key and _plans(parts, facts, definition) == shape.plans


def _fingerprint(shape: Shape, *, is_full: bool) -> str:
    text = repr((shape.plans, shape.schema.key, is_full))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _probe(table: TableId) -> str:
    return f"select 1 from {quoted(table.schema)}.{quoted(table.name)} where false"


def _column(cursor: Any, statement: str) -> frozenset[str]:
    cursor.execute(statement)
    return frozenset(str(row[0]).lower() for row in cursor.fetchall())


def _run(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
