"""A source with its transforms: whatever the engine gets of a source, it gets through here.

Stream, snapshot and catalog pass the same `TableTransform`, and the engine knows tables by their new names
only: so no path to the log, to a buffer or to a message leads around it. What the source keeps in the log
of its own (definitions with column defaults, bounds of chunks) is encrypted where columns are masked.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from cdc.errors import CdcError, UnsupportedSchema
from cdc.model import ChangeBatch, ChangeSet, Envelope, Position, Resnapshot, TableId, TableSchema
from cdc.spi.finding import Finding
from cdc.spi.source import (
    SEALED_PREFIX,
    Absence,
    EarlierSnapshot,
    ExplainsAbsence,
    MeasuresDistance,
    MeasuresRetained,
    NamesUnreadable,
    Snapshot,
    SnapshotChunk,
    Source,
    SourceContext,
    SourceIdentity,
    VerifiesReach,
)
from cdc.transform.findings import findings, whole_rows
from cdc.transform.masks import KeyedHash
from cdc.transform.rules import Rules, fingerprint
from cdc.transform.sealing import Seal, WrongKey, unreadable
from cdc.transform.settings import TransformSettings
from cdc.transform.tables import TableTransform

HOLES_REASON = "an update does not say whether its row was captured before, and leaves values out"
# Schema objects are few, and each comes again and again; what is older is made again.
MAX_PREPARED = 1024


@dataclass(frozen=True, slots=True)
class Transforms:
    """One source's transforms in the configuration. `key` is the secret of hashes and tokens."""

    source: str
    entries: Sequence[TransformSettings]
    key: bytes | None = None

    @property
    def rules(self) -> Rules:
        return Rules(self.source, self.entries, fingerprint(self.key))

    @property
    def hides_values(self) -> bool:
        """Whether values of columns must not reach the disk."""
        return any(entry.needs_key for entry in self.entries)


class RoutedTables:
    """The tables of one source under both of their names, and their transforms. Thread-safe."""

    def __init__(self, transforms: Transforms) -> None:
        self.rules = transforms.rules
        self._key = KeyedHash(transforms.key) if transforms.key is not None else None
        self._prepared: dict[int, tuple[TableSchema, TableTransform | None]] = {}
        # By new name: the schema that has it at the source.
        self._owners: dict[TableId, TableSchema] = {}
        self._catalog: frozenset[TableId] = frozenset()
        self._lock = threading.Lock()

    def of(self, schema: TableSchema) -> TableTransform | None:
        """Return the transforms of rows of this schema; None if the rows stay unchanged.

        Raises UnsupportedSchema if a rule does not fit, or another table has the same new name.
        """
        # By identity: a source gives the same object until a table changes.
        known = self._prepared.get(id(schema))
        if known is None or known[0] is not schema:
            known = schema, self._prepare(schema)
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            self._prepared[id(schema)] = known
        return known[1]

    def listed(self, schemas: Sequence[TableSchema]) -> tuple[list[TableSchema], dict[TableId, CdcError]]:
        """The tables of the catalog under their new names, and why some can't be captured."""
        with self._lock:
            self._catalog = frozenset(schema.table for schema in schemas)
            self._owners = {self.rules.target(schema.table): schema for schema in reversed(schemas)}
        found: dict[TableId, TableSchema] = {}
        errors: dict[TableId, CdcError] = {}
        for schema in schemas:
            target = self.rules.target(schema.table)
            try:
                found[target] = self.transformed(schema)
                self._require_own(schema, target)
            except CdcError as error:
                errors[target] = error
                # Without columns: nothing of it is captured, and the engine names it as refused.
                found[target] = TableSchema(target, (), relation=schema.relation)
        return [found[table] for table in sorted(found)], errors

    def transformed(self, schema: TableSchema) -> TableSchema:
        """The schema that rows of this one have once they are transformed."""
        transform = self.of(schema)
        return schema if transform is None else transform.target

    def original(self, target: TableId) -> TableSchema:
        """The schema at the source of a table that was listed."""
        return self._owners[target]

    def owner(self, target: TableId) -> TableSchema | None:
        """The schema at the source of the table that has this new name; None while none was seen."""
        return self._owners.get(target)

    def origins(self, target: TableId) -> list[TableId]:
        """The names at the source that a table may have which the engine knows by this name."""
        return list(self.rules.origins(target))

    def _prepare(self, schema: TableSchema) -> TableTransform | None:
        rules, target = self.rules.of(schema.table), self.rules.target(schema.table)
        self._require_own(schema, target)
        if rules.is_empty and target == schema.table:
            return None
        return TableTransform(schema, target, rules, self._key)

    def _require_own(self, schema: TableSchema, target: TableId) -> None:
        """Refuse a second table of one name: sinks would recreate the table at each change of either."""
        with self._lock:
            owner = self._owners.setdefault(target, schema)
            is_other = owner.table != schema.table and (
                owner.relation is None or owner.relation != schema.relation
            )
            if is_other and {owner.table, schema.table} <= self._catalog:
                raise UnsupportedSchema(
                    f"{owner.table} and {schema.table} both get the name {target}",
                    where=str(schema.table),
                    remedy="Correct `route` in the entries of `transforms` that are for these tables.",
                )
            if is_other:
                self._owners[target] = schema


class TransformedSource:
    """Wraps a source, and owns it."""

    Options: ClassVar[type[Any]] = TransformSettings

    def __init__(self, source: Source, transforms: Transforms, context: SourceContext) -> None:
        self._source = source
        self._name = transforms.source
        self._count = context.count
        self._tables = RoutedTables(transforms)
        self._key = transforms.key
        self._seal = Seal(transforms.key) if transforms.hides_values and transforms.key is not None else None
        self._errors: dict[TableId, CdcError] = {}
        self._records: dict[TableId, str] = {}

    def check(self) -> Sequence[Finding]:
        return [*self._source.check(), *self._findings()]

    def identity(self) -> SourceIdentity:
        return self._source.identity()

    def record(self, table: TableId) -> str:
        """See `TransformsRows`; of the table that has this name now, or would have it."""
        known = self._records.get(table)
        if known is None:
            known = self._records[table] = self._tables.rules.of(self._origin(table)).record()
        return known

    def _origin(self, table: TableId) -> TableId:
        """The table at the source that the engine knows by this name."""
        origins = [origin for origin in self._tables.origins(table) if self._source.selects(origin)]
        if len(origins) > 1 and self._tables.owner(table) is None:
            # Only the catalog shows which of them exists.
            self.discover()
        owner = self._tables.owner(table)
        return owner.table if owner is not None else next(iter(origins), table)

    def discover(self) -> Sequence[TableSchema]:
        found, self._errors = self._tables.listed(self._source.discover())
        return found

    def selects(self, table: TableId) -> bool:
        return any(self._source.selects(origin) for origin in self._tables.origins(table))

    def follow(self, tables: Sequence[TableSchema]) -> None:
        for schema in tables:
            if schema.table in self._errors:
                original = self._tables.original(schema.table)
                if not original.columns:
                    # The source refuses what it has no schema of, and says why.
                    self._source.follow([original])
                raise self._errors[schema.table]
        self._source.follow([self._tables.original(schema.table) for schema in tables])

    def open(self, after: Position | None, memory: Mapping[str, str]) -> Position:
        position = self._source.open(after, self._opened(memory))
        # What the source selects may depend on the server that it found.
        self._records.clear()
        return position

    def stream(self, after: Position, memory: Mapping[str, str]) -> Generator[ChangeSet | None]:
        clear = self._opened(memory)
        if self._seal is not None and any(not text.startswith(SEALED_PREFIX) for text in memory.values()):
            # Kept before columns were masked.
            yield ChangeSet((), after, memory=self._sealed(clear))
        with closing(self._source.stream(after, clear)) as stream:
            for changes in stream:
                yield None if changes is None else self._transformed(changes)

    def acknowledge(self, durable: Position) -> None:
        self._source.acknowledge(durable)

    def snapshot(self, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]) -> Snapshot:
        originals = {schema.table: self._tables.original(schema.table) for schema in tables}
        resumable: dict[TableId, EarlierSnapshot] = {}
        for target, known in earlier.items():
            clear = self._resumable(target, known)
            if clear is not None:
                resumable[originals[target].table] = clear
        inner = self._source.snapshot(list(originals.values()), resumable)
        return TransformedSnapshot(inner, self)

    def current(self) -> Position:
        return self._source.current()

    def position(self, text: str) -> Position:
        return self._source.position(text)

    def close(self) -> None:
        self._source.close()

    def distance(self, position: Position, target: Position) -> int | None:
        """See `MeasuresDistance`."""
        if isinstance(self._source, MeasuresDistance):
            return self._source.distance(position, target)
        return max(0, target.order - position.order)

    def retained_bytes(self) -> int | None:
        """See `MeasuresRetained`."""
        return self._source.retained_bytes() if isinstance(self._source, MeasuresRetained) else None

    def unreadable(self, hidden: Collection[TableId]) -> Mapping[TableId, CdcError]:
        """See `NamesUnreadable`."""
        if not isinstance(self._source, NamesUnreadable):
            return {}
        originals = [origin for table in hidden for origin in self._tables.origins(table)]
        found = self._source.unreadable(originals)
        return {self.target(table): error for table, error in found.items()}

    def absent(self, known: Mapping[TableId, int | None]) -> Mapping[TableId, Absence]:
        """See `ExplainsAbsence`."""
        if not isinstance(self._source, ExplainsAbsence):
            return {}
        originals = {
            origin: relation for table, relation in known.items() for origin in self._tables.origins(table)
        }
        return {self.target(table): absence for table, absence in self._source.absent(originals).items()}

    def verify_reach(self, after: Position, memory: Mapping[str, str]) -> Sequence[Finding]:
        """See `VerifiesReach`."""
        if not isinstance(self._source, VerifiesReach):
            return ()
        return self._source.verify_reach(after, self._opened(memory))

    def target(self, table: TableId) -> TableId:
        """The name by which the engine knows a table of the source."""
        return self._tables.rules.target(table)

    def transformed_schema(self, schema: TableSchema) -> TableSchema:
        """The schema of `transformed_rows`."""
        return self._tables.transformed(schema)

    def transformed_rows(self, batch: ChangeBatch) -> ChangeBatch:
        """Rows of a copy, numbered from 0."""
        transform = self._tables.of(batch.schema)
        if transform is None:
            return batch
        found = transform.apply(batch).batch
        self._count_filtered(batch.row_count - found.row_count)
        if found.row_count == batch.row_count:
            return found
        seq = pa.array(np.arange(found.row_count, dtype=np.int64))
        index = found.data.schema.get_field_index(Envelope.SEQ)
        return replace(found, data=found.data.set_column(index, Envelope.SEQ, seq))

    def sealed(self, text: str) -> str:
        """The text as the log may keep it."""
        return text if self._seal is None else self._seal.seal(text)

    def token(self, target: TableId, text: str) -> str:
        """A copy's token, which differs from the token of a copy under other rules."""
        return self.sealed(f"{self.record(target)}\n{text}" if self.record(target) else text)

    def _findings(self) -> Sequence[Finding]:
        try:
            schemas = self._source.discover()
        except CdcError:
            return ()  # The source's own check names what keeps it from answering.
        _, errors = self._tables.listed(schemas)
        transforms = {
            schema.table: self._tables.of(schema)
            for schema in schemas
            if self.target(schema.table) not in errors
        }
        return list(findings(self._tables.rules, schemas, transforms, errors, self._source))

    def _resumable(self, target: TableId, earlier: EarlierSnapshot) -> EarlierSnapshot | None:
        """The copy as the source knows it; None if its rows were captured under other rules."""
        try:
            token = self._clear(earlier.token)
            record = self.record(target)
            if record:
                kept, _, token = token.partition("\n")
                if kept != record:
                    return None
            elif "\n" in token:
                return None
            return EarlierSnapshot(token, earlier.position, frozenset(map(self._clear, earlier.finished)))
        except WrongKey:
            return None

    def _transformed(self, changes: ChangeSet) -> ChangeSet:
        batches, holes = [], []
        filtered = 0
        for batch in changes.batches:
            transform = self._tables.of(batch.schema)
            if transform is None:
                batches.append(batch)
                continue
            found = transform.apply(batch)
            filtered += batch.row_count - found.batch.row_count
            if found.batch.row_count or not batch.row_count:
                batches.append(found.batch)
            if found.has_holes:
                holes.append(self._copy_again(batch.schema))
        self._count_filtered(filtered)
        asked = tuple(replace(one, table=self.target(one.table)) for one in changes.resnapshot)
        memory = self._sealed(changes.memory)
        return replace(changes, batches=tuple(batches), resnapshot=(*asked, *holes), memory=memory)

    def _copy_again(self, schema: TableSchema) -> Resnapshot:
        remedy = whole_rows(self._source, schema.table)
        return Resnapshot(self.target(schema.table), HOLES_REASON, schema.relation, remedy)

    def _count_filtered(self, rows: int) -> None:
        if rows:
            self._count("filtered_rows", rows)

    def _sealed(self, memory: Mapping[str, str | None]) -> Mapping[str, str | None]:
        if self._seal is None:
            return memory
        return {key: None if text is None else self._seal.seal(text) for key, text in memory.items()}

    def _opened(self, memory: Mapping[str, str]) -> Mapping[str, str]:
        try:
            return {key: self._clear(text) for key, text in memory.items()}
        except WrongKey:
            raise unreadable(self._name) from None

    def _clear(self, text: str) -> str:
        if not text.startswith(SEALED_PREFIX):
            return text
        if self._key is None:
            raise WrongKey
        # Also where nothing is masked any more, and what follows is kept in clear.
        return (self._seal or Seal(self._key)).open(text)


class TransformedSnapshot:
    """A copy's view with its rows transformed, its tables under their new names."""

    def __init__(self, snapshot: Snapshot, source: TransformedSource) -> None:
        self._snapshot = snapshot
        self._source = source
        target = source.target
        self.positions: Mapping[TableId, Position] = {target(t): at for t, at in snapshot.positions.items()}
        self.schemas: Mapping[TableId, TableSchema] = {
            target(t): source.transformed_schema(schema) for t, schema in snapshot.schemas.items()
        }
        self.tokens: Mapping[TableId, str] = {
            target(table): source.token(target(table), text) for table, text in snapshot.tokens.items()
        }
        self.resumed = frozenset(map(target, snapshot.resumed))
        self.waiting: Mapping[TableId, CdcError] = {target(t): error for t, error in snapshot.waiting.items()}
        self.rows_left = snapshot.rows_left
        self._originals: dict[tuple[TableId, str], SnapshotChunk] = {}
        self.chunks: Sequence[SnapshotChunk] = [self._renamed(chunk) for chunk in snapshot.chunks]

    @property
    def is_ending(self) -> bool:
        return self._snapshot.is_ending

    def read(self, chunk: SnapshotChunk) -> Iterator[ChangeBatch]:
        for batch in self._snapshot.read(self._originals[chunk.table, chunk.id]):
            found = self._source.transformed_rows(batch)
            if found.row_count:
                yield found

    def close(self) -> None:
        self._snapshot.close()

    def _renamed(self, chunk: SnapshotChunk) -> SnapshotChunk:
        made = replace(chunk, table=self._source.target(chunk.table), id=self._source.sealed(chunk.id))
        self._originals[made.table, made.id] = chunk
        return made
