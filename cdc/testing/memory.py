"""A source and a sink in memory that keep every promise of the contracts: for tests of the engine and as the
suites' reference.

The source follows a MemoryDatabase. The sink keeps all rows and its cursor in a MemoryStore, or in a file
that is replaced atomically, so that a killed process finds exactly what its last whole delivery left.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from cdc.errors import (
    CdcError,
    ConfigError,
    SourceGap,
    SourceUnavailable,
    UnsupportedSchema,
)
from cdc.files import replacing
from cdc.merge import continuity
from cdc.model import ChangeBatch, ChangeSet, Envelope, Position, TableId, TableSchema
from cdc.spi import Atomicity, Capabilities
from cdc.spi.finding import Finding, Severity
from cdc.spi.sink import Cursor, Delivery, SinkContext
from cdc.spi.source import EarlierSnapshot, SnapshotChunk, SourceContext, SourceIdentity
from cdc.testing.database import MemoryDatabase, Row, table_id
from cdc.testing.events import changes, position
from cdc.testing.fold import fold

# How long an idle stream waits before it lets its caller look at the clock; the contract allows a second.
IDLE_SECONDS = 0.05


class MemorySourceOptions(BaseModel):
    """`history` lets a first start stream what was committed before it; `chunk_rows` cuts snapshots, which
    cover at most `snapshot_tables` tables and end after `snapshot_chunks` chunks of a table with a key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    database: MemoryDatabase
    history: bool = False
    chunk_rows: int = 100
    snapshot_tables: int | None = None
    snapshot_chunks: int | None = None


class MemorySource:
    """Streams a MemoryDatabase."""

    Options: ClassVar[type[Any]] = MemorySourceOptions

    def __init__(self, options: MemorySourceOptions, context: SourceContext) -> None:
        self._options = options
        self._context = context
        self._database = options.database

    def check(self) -> Sequence[Finding]:
        return [Finding(Severity.OK, "memory", "the database is in this process")]

    def identity(self) -> SourceIdentity:
        self._database.raise_fault("identity")
        return SourceIdentity({"database": self._database.name})

    def discover(self) -> Sequence[TableSchema]:
        self._database.raise_fault("discover")
        self._database.before_discover()
        with self._database.changed:
            tables = sorted(table for table in self._database.tables if self.selects(table))
            return [self._database.tables[table].schema for table in tables]

    def selects(self, table: TableId) -> bool:
        return table not in self._database.excluded

    def follow(self, tables: Sequence[TableSchema]) -> None:
        self._database.raise_fault("follow")
        for schema in tables:
            if schema.identity == "none":
                message = "updates and deletes of this table cannot be followed: it has no identity"
                raise UnsupportedSchema(message, where=str(schema.table))
        with self._database.changed:
            self._database.followed |= {schema.table for schema in tables}

    def open(self, after: Position | None, memory: Mapping[str, str]) -> Position:  # noqa: ARG002  (nothing is remembered)
        self._database.raise_fault("open")
        if after is None:
            return position(0) if self._options.history else self._database.now
        if after.order < self._database.oldest:
            raise SourceGap(f"the changes between {after} and {position(self._database.oldest)} are gone")
        return after

    def stream(self, after: Position, memory: Mapping[str, str]) -> Generator[ChangeSet | None]:  # noqa: ARG002
        reached = after
        while True:
            self._database.raise_fault("stream")
            found = self._next(reached)
            if found is None:
                yield None
                continue
            for item in found:
                reached = item.position or reached
                yield item

    def acknowledge(self, durable: Position) -> None:
        self._database.raise_fault("acknowledge")
        with self._database.changed:
            known = self._database.acknowledged
            self._database.acknowledged = durable if known is None else max(known, durable)

    def snapshot(
        self, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]
    ) -> MemorySnapshot:
        self._database.before_snapshot()
        self._database.raise_fault("snapshot")
        options = self._options
        covered = tables[: options.snapshot_tables]
        return MemorySnapshot(self._database, covered, earlier, options.chunk_rows, options.snapshot_chunks)

    def current(self) -> Position:
        self._database.raise_fault("current")
        return self._database.now

    def position(self, text: str) -> Position:
        try:
            high, low = (int(part, 16) for part in text.split("/"))
        except ValueError as error:
            raise ConfigError(
                f"{text!r} is not a position", remedy="Write it as in _cdc_position: 0/1F."
            ) from error
        return position((high << 32) + low)

    def close(self) -> None:
        pass

    def _next(self, reached: Position) -> Sequence[ChangeSet] | None:
        """The first transaction that ends after `reached`; an empty set when only the position moved; None
        when nothing did.
        """
        with self._database.changed:
            if self._database.now <= reached:
                self._database.changed.wait(IDLE_SECONDS)
            for _, sets in self._database.history:
                end = sets[-1].position
                if end is not None and end > reached:
                    return sets
            now = self._database.now
            return [ChangeSet((), now)] if now > reached else None


class MemorySnapshot:
    """The rows of some tables as they were when this was made; a chunk is a range of slots, as in a heap."""

    def __init__(
        self,
        database: MemoryDatabase,
        tables: Sequence[TableSchema],
        earlier: Mapping[TableId, EarlierSnapshot],
        chunk_rows: int,
        most_chunks: int | None = None,
    ) -> None:
        self._database = database
        self._most_chunks = most_chunks
        self._whole_left: set[str] = set()
        self._begun = 0
        schemas: dict[TableId, TableSchema] = {}
        self._tuples: dict[str, list[tuple[int, Row]]] = {}
        chunks: list[SnapshotChunk] = []
        tokens: dict[TableId, str] = {}
        resumed: set[TableId] = set()
        with database.changed:
            self.position = database.now
            self.waiting: Mapping[TableId, CdcError] = dict(database.waiting)
            for table in [schema.table for schema in tables if schema.table not in self.waiting]:
                heap = database.tables.get(table)
                if heap is None:
                    raise SourceUnavailable("the table is gone since it was discovered", where=str(table))
                schemas[table] = heap.schema
                before = earlier.get(table)
                generation, first = before.token.split(":") if before else ("", "")
                goes_on = before is not None and bool(heap.schema.key) and generation == str(heap.generation)
                since = int(first) if goes_on else self.position.order
                finished = before.finished if before and goes_on else frozenset()
                tokens[table] = f"{heap.generation}:{since}"
                if goes_on:
                    resumed.add(table)
                for low in range(0, max(len(heap.tuples), 1), chunk_rows):
                    whole = f"{low}-{low + chunk_rows}"
                    name = f"{whole}+{since}@{self.position.order}" if whole in finished else whole
                    live = [entry for entry in heap.tuples[low : low + chunk_rows] if entry]
                    rows = [entry for entry in live if whole not in finished or entry[0] >= since]
                    self._tuples[f"{table}/{name}"] = rows
                    if name == whole:
                        self._whole_left.add(f"{table}/{name}")
                    chunks.append(SnapshotChunk(table, name, len(rows)))
        self.schemas: Mapping[TableId, TableSchema] = schemas
        self.positions: Mapping[TableId, Position] = dict.fromkeys(schemas, self.position)
        # Whole ones first: once they are begun, nothing may end the snapshot.
        chunks.sort(key=lambda chunk: f"{chunk.table}/{chunk.id}" not in self._whole_left)
        self.chunks: Sequence[SnapshotChunk] = chunks
        self.tokens: Mapping[TableId, str] = tokens
        self.resumed = frozenset(resumed)
        self.rows_left = 0

    @property
    def is_ending(self) -> bool:
        """Only keys let a later snapshot complete the rest of an ended one exactly."""
        has_keys = all(schema.key for schema in self.schemas.values())
        limit = self._most_chunks
        return has_keys and limit is not None and self._begun >= limit and bool(self._whole_left)

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        self._database.before_read(chunk)
        self._begun += 1
        self._whole_left.discard(f"{chunk.table}/{chunk.id}")
        self._database.raise_fault("read")
        rows = self._tuples[f"{chunk.table}/{chunk.id}"]
        if rows:
            schema = self.schemas[chunk.table]
            read = [("r", row) for _, row in rows]
            yield changes(schema, read, tx="", at=self.position.order, commit_at=None)

    def close(self) -> None:
        self._database.before_close()
        self._tuples.clear()


@dataclass(slots=True)
class MemoryStore:
    """Contents of a MemorySink: rows of the history by table, keys, cursors and fences by source."""

    tables: dict[TableId, list[Row]] = field(default_factory=dict)
    keys: dict[TableId, tuple[str, ...]] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    fences: dict[str, continuity.Fence] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def rows(self, table: TableId | str) -> list[Row]:
        """All changes of a table in `_cdc_seq` order, envelope included."""
        with self.changed:
            return sorted(self.tables.get(table_id(table), []), key=lambda row: row[Envelope.SEQ])

    def state(self, table: TableId | str) -> list[Row]:
        """The table's current rows, folded from its history."""
        return fold(self.rows(table), self.keys.get(table_id(table), ()))

    def fail(self, *errors: Exception) -> None:
        """Make the next `apply` calls raise these, one each, before anything is stored."""
        with self.changed:
            self.errors.extend(errors)


class MemorySinkOptions(BaseModel):
    """`store` keeps everything in this process; `path` in a file that outlives it."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    store: MemoryStore | None = None
    path: Path | None = None

    def places(self) -> Mapping[str, str]:
        return {} if self.path is None else {"path": str(self.path)}


class MemorySink:
    """Keeps the history of all changes; can rewind; `store` is for looking at it."""

    Options: ClassVar[type[Any]] = MemorySinkOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        modes=("append",), deletes=(), atomic=Atomicity.ALL_TABLES, transactional_ddl=True
    )

    def __init__(self, options: MemorySinkOptions, context: SinkContext) -> None:
        self._path = options.path
        self._context = context
        self.store = options.store or (load_store(options.path) if options.path else MemoryStore())

    def check(self) -> Sequence[Finding]:
        return [Finding(Severity.OK, "memory", "the store is in this process")]

    def prepare(self, source: str) -> None:
        with self.store.changed:
            self._check_fence(source, has_rows=source in self.store.cursors)
            self.store.fences[source] = continuity.Fence(self._context.epoch, self._context.log_id)
            self._save()

    def committed(self, source: str) -> Cursor | None:
        with self.store.changed:
            return self.store.cursors.get(source)

    def apply(self, delivery: Delivery) -> None:
        self._raise_error()
        batches = [batch for part in delivery.parts() for batch in part]
        with self.store.changed:
            self._check_fence(delivery.source, has_rows=True)
            known = self.store.cursors.get(delivery.source)
            if continuity.is_applied(known, delivery, "memory"):
                return
            for batch in batches:
                self.store.tables.setdefault(batch.table, []).extend(batch.rows())
                self.store.keys[batch.table] = batch.schema.key
            self.store.cursors[delivery.source] = continuity.advanced(known, delivery, self._context)
            self._save()
            self.store.changed.notify_all()

    def rewind(self, source: str, offset: int) -> None:
        """Drop what lies at or beyond `offset`; one sink with several sources is not rewound apart."""
        with self.store.changed:
            self._check_fence(source, has_rows=True)
            known = continuity.check_rewind(self.store.cursors.get(source), offset, "memory")
            self.store.cursors[source] = replace(known, next=offset)
            for rows in self.store.tables.values():
                rows[:] = [row for row in rows if row[Envelope.SEQ] < offset]
            self._save()

    def close(self) -> None:
        pass

    def _raise_error(self) -> None:
        with self.store.changed:
            error = self.store.errors.pop(0) if self.store.errors else None
        if error is not None:
            raise error

    def _check_fence(self, source: str, *, has_rows: bool) -> None:
        # Another process may have written the file since.
        store = load_store(self._path) if self._path else self.store
        continuity.check_fence(store.fences.get(source), self._context, has_rows=has_rows, where="memory")

    def _save(self) -> None:
        if self._path is None:
            return
        content = (self.store.tables, self.store.keys, self.store.cursors, self.store.fences)
        with replacing(self._path) as file:
            pickle.dump(content, file)


def load_store(path: Path) -> MemoryStore:
    """The store that a MemorySink keeps at `path`; an empty one when there is none yet."""
    if not path.exists():
        return MemoryStore()
    with path.open("rb") as file:
        tables, keys, cursors, fences = pickle.load(file)  # noqa: S301  (a file of our own test, written by _save)
    return MemoryStore(tables, keys, cursors, fences)
