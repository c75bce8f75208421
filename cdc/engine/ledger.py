"""A source's log together with the states of its tables, which are stored in the log's metadata: live, or
buffered while a snapshot of the table is read.

Rule: a change of state is committed first, and then applied in memory. An entry works on a draft of its own;
nobody else sees it before the commit, and after a commit that fails it is gone. A commit that raised an error
may have happened: the states are read from the log again, at the latest before the next entry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, TypeVar

from cdc.engine.definitions import NewDefinitions
from cdc.engine.repeats import Repeats
from cdc.errors import CdcError
from cdc.model import Audience, ChangeSet, Commit, Position, Resnapshot, TableId, TableSchema
from cdc.model.batch import EVERYONE
from cdc.spi import EncodedChanges, LogTransaction, LogWriter

_TABLE_PREFIX = "table:"
_CHUNK_PREFIX = "chunk:"

Metadata = dict[str, str | None]
_K = TypeVar("_K")
_V = TypeVar("_V")


class Phase(StrEnum):
    """Durable, in the log metadata.

    A table enters WAITING when it is first seen, COPYING when a snapshot of it is open, LIVE when all rows
    and all buffered changes are in the log; PAUSED when an operator has its changes buffered until it is
    resumed.
    """

    WAITING = "waiting"
    COPYING = "copying"
    LIVE = "live"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class TableState:
    """One table's capture state.

    While not LIVE, its streamed changes go to the log's buffer number `buffer`. `released` is the offset in
    it below which everything is done; changes whose position orders below `handled` are done or contained in
    the snapshot. `token` and `position` are the open (or last) snapshot's. `dirty` says that the log may hold
    rows of this table from an earlier copy or life; `reason` why a live table is copied again. `audience` are
    the sinks that the copy is for: the others see the table's changes as if it were live. `transforms`
    records how the rows of its last whole copy were captured (`TransformsRows`).
    """

    phase: Phase
    relation: int | None = None
    buffer: int | None = None
    released: int = 0
    handled: int = 0
    token: str | None = None
    position: Position | None = None
    dirty: bool = False
    reason: str = ""
    audience: Audience = EVERYONE
    transforms: str = ""

    @property
    def is_copied(self) -> bool:
        """Whether a copy is due or under way."""
        return self.phase in (Phase.WAITING, Phase.COPYING)

    def to_text(self) -> str:
        value: dict[str, Any] = {
            "phase": self.phase.value,
            "relation": self.relation,
            "held": self.buffer,
            "released": self.released,
            "handled": self.handled,
            "token": self.token,
            "position": self.position.to_json() if self.position else None,
            "dirty": self.dirty,
            "reason": self.reason,
            "audience": self.audience.to_json(),
            "transforms": self.transforms,
        }
        return json.dumps(value, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> TableState:
        value = json.loads(text)
        position = value.pop("position")
        return cls(
            phase=Phase(value.pop("phase")),
            position=Position.from_json(position) if position else None,
            audience=Audience.from_json(value.pop("audience", None)),
            buffer=value.pop("held"),
            **value,
        )


class TableBook:
    """All tables' states, as the metadata of one commit has them; the next commit makes another book."""

    def __init__(
        self,
        states: Mapping[TableId, TableState] | None = None,
        chunks: Mapping[TableId, Mapping[str, int]] | None = None,
    ) -> None:
        self._states = states or {}
        # Rows of each finished chunk, by table.
        self._chunks = chunks or {}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> TableBook:
        return TableBook().following(metadata)

    def following(self, changes: Mapping[str, str | None]) -> TableBook:
        """Return the book after a commit that changes the metadata so."""
        states: dict[TableId, TableState] | None = None
        chunks: dict[TableId, dict[str, int]] = {}
        for key, text in changes.items():
            if key.startswith(_TABLE_PREFIX):
                states = dict(self._states) if states is None else states
                _apply(states, _table_of(key), text, TableState.from_text)
            elif key.startswith(_CHUNK_PREFIX):
                schema, name, chunk = json.loads(key.removeprefix(_CHUNK_PREFIX))
                table = TableId(schema, name)
                _apply(chunks.setdefault(table, dict(self._chunks.get(table, {}))), chunk, text, int)
        all_chunks = {**self._chunks, **chunks} if chunks else self._chunks
        return TableBook(self._states if states is None else states, all_chunks)

    def __getitem__(self, table: TableId) -> TableState:
        return self._states[table]

    def get(self, table: TableId) -> TableState | None:
        return self._states.get(table)

    def items(self) -> Iterator[tuple[TableId, TableState]]:
        return iter(list(self._states.items()))

    def by_relation(self, relation: int | None) -> TableId | None:
        """Return the table that has this source number now."""
        if relation is None:
            return None
        return next((table for table, state in self.items() if state.relation == relation), None)

    def is_new(self, schema: TableSchema) -> bool:
        """Return whether neither the table's name nor its number is known."""
        return self.get(schema.table) is None and self.by_relation(schema.relation) is None

    def agrees(self, schema: TableSchema) -> bool:
        """Return whether the book has this name with this number (or with none yet)."""
        state = self.get(schema.table)
        return state is not None and (schema.relation is None or state.relation in (None, schema.relation))

    def unfinished(self) -> list[TableId]:
        """Return the tables that wait for a copy or are copied, in name order."""
        return sorted(table for table, state in self.items() if state.is_copied)

    def copied_rows(self, table: TableId) -> int:
        """Return how many rows the finished chunks of a copy have; 0 once the table is live."""
        return sum(self._chunks.get(table, {}).values())

    def finished_chunks(self, table: TableId) -> frozenset[str]:
        return frozenset(self._chunks.get(table, ()))

    @property
    def buffers(self) -> set[int]:
        """The numbers of all buffers that tables use."""
        return {state.buffer for state in self._states.values() if state.buffer is not None}


class TableDraft(TableBook):
    """The book as it will be after a commit, and the metadata that the commit needs for that."""

    def __init__(self, book: TableBook) -> None:
        super().__init__(book._states, book._chunks)  # noqa: SLF001  (of the same class)
        self._book = book
        self.metadata: Metadata = {}

    def put(self, table: TableId, state: TableState, *, keep_chunks: bool = True) -> TableState:
        """Change a table's state. A live table has no finished chunks; others lose them on request."""
        changes: Metadata = {_key(table): state.to_text()}
        if not keep_chunks or state.phase is Phase.LIVE:
            changes |= self._without_chunks(table)
        self._change(changes)
        return state

    def remove(self, table: TableId) -> None:
        """Forget a table."""
        self._change({_key(table): None, **self._without_chunks(table)})

    def finish_chunk(self, table: TableId, chunk: str, rows: int) -> None:
        """Note that the log has all rows of a chunk."""
        self._change({_chunk_key(table, chunk): str(rows)})

    def new_buffer(self) -> int:
        """Return the number of a buffer that no table uses, before the commit or after it."""
        return 1 + max(self.buffers | self._book.buffers, default=0)

    @property
    def unused_buffers(self) -> set[int]:
        """The buffers that no table needs after the commit."""
        return self._book.buffers - self.buffers if self.metadata else set()

    def _without_chunks(self, table: TableId) -> Metadata:
        return {_chunk_key(table, chunk): None for chunk in self.finished_chunks(table)}

    def _change(self, changes: Metadata) -> None:
        after = self.following(changes)
        self._states, self._chunks = after._states, after._chunks  # noqa: SLF001  (of the same class)
        self.metadata |= changes


def _apply(values: dict[_K, _V], key: _K, text: str | None, parse: Callable[[str], _V]) -> None:
    if text is None:
        values.pop(key, None)
    else:
        values[key] = parse(text)


def _key(table: TableId) -> str:
    return _TABLE_PREFIX + json.dumps([table.schema, table.name])


def _chunk_key(table: TableId, chunk: str) -> str:
    return _CHUNK_PREFIX + json.dumps([table.schema, table.name, chunk])


def _table_of(key: str) -> TableId:
    schema, name = json.loads(key.partition(":")[2])
    return TableId(schema, name)


@dataclass(frozen=True, slots=True)
class Requested:
    """A request of the source to copy a table again. `is_void`: the present copy of the table, or the one in
    progress, is no longer valid.
    """

    table: TableId
    request: Resnapshot
    is_void: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A commit that raised an error: it has happened if the log's end is another one than `before`."""

    before: Commit | None
    requested: Sequence[Requested]
    schemas: Mapping[TableId, TableSchema]


class Ledger:
    """Reads may come from any thread at any time; changes are made by one entry after the other."""

    def __init__(self, log: LogWriter) -> None:
        self.log = log
        self._book = TableBook.from_metadata(log.metadata)
        self._requests: Counter[TableId] = Counter()
        self._requested_at: dict[TableId, int] = {}
        self._latest: dict[TableId, Resnapshot] = {}
        self._unsettled: Unsettled | None = None
        self.repeats = Repeats()
        self.definitions = NewDefinitions(log)

    @property
    def tables(self) -> TableBook:
        """The states as of the newest commit."""
        return self._book

    @property
    def reached(self) -> Position:
        """The position of the newest commit; the log has one before the stream begins."""
        end = self.log.end
        assert end is not None, "the log has no commit yet"
        return end.position

    def requests(self, table: TableId) -> int:
        """Return how often the source has asked in this process for the table to be read again.

        A snapshot that was opened before such a request may lack what it is about, even of a table that only
        waits for its copy, whose phase the request leaves as it is.
        """
        return self._requests[table]

    def requested_at(self, table: TableId) -> int:
        """Return the order of the position of the last such request: what it is about may be missing in a
        snapshot that orders before.
        """
        return self._requested_at.get(table, 0)

    def note_outrun(self, table: TableId) -> None:
        """Note that a copy did not begin, because a request came while its snapshot was opened."""
        request = self._latest.get(table)
        if request is not None:
            self.repeats.note_outrun(table, request)

    def start_new_history(self) -> None:
        """Forget the positions of requests: later ones belong to another history of the source."""
        self._requested_at.clear()

    def begin(self) -> LedgerEntry:
        """Open an entry; wait until no other one is open."""
        transaction = self.log.begin()
        try:
            self._settle()
        except BaseException:
            transaction.close()
            raise
        return LedgerEntry(self, transaction)

    def committed(
        self,
        commit: Commit,
        changes: Mapping[str, str | None],
        requested: Sequence[Requested],
        schemas: Mapping[TableId, TableSchema],
    ) -> None:
        """Take over what an entry has committed."""
        if changes:
            self._book = self._book.following(changes)
        self._note(commit, requested, schemas)

    def failed(self, unsettled: Unsettled) -> None:
        """Find out whether an entry's commit has happened; if the log is out of reach, `begin` does so."""
        self._unsettled = unsettled
        with suppress(CdcError):
            self._settle()

    def _settle(self) -> None:
        if self._unsettled is None:
            return
        book, end = TableBook.from_metadata(self.log.metadata), self.log.end
        unsettled, self._unsettled = self._unsettled, None
        self._book = book
        if end is not None and end != unsettled.before:
            self._note(end, unsettled.requested, unsettled.schemas)

    def _note(
        self, commit: Commit, requested: Sequence[Requested], schemas: Mapping[TableId, TableSchema]
    ) -> None:
        for one in requested:
            self._requests[one.table] += 1
            self._requested_at[one.table] = commit.position.order
            self._latest[one.table] = one.request
            if one.is_void:
                self.repeats.note(one.table, one.request)
        if schemas:
            self.definitions.committed(schemas, commit)


class LedgerEntry:
    """An uncommitted entry of a ledger. `with` closes it; without a commit it is discarded."""

    def __init__(self, ledger: Ledger, transaction: LogTransaction) -> None:
        self._ledger = ledger
        self._transaction = transaction
        self._log = ledger.log
        self.tables = TableDraft(ledger.tables)
        self.requested: list[Requested] = []
        self._schemas: dict[TableId, TableSchema] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def schema(self, table: TableId) -> TableSchema | None:
        """Return the newest schema of a table as of the previous commit."""
        return self._log.schema(table)

    def append(self, changes: ChangeSet | EncodedChanges) -> None:
        self._transaction.append(changes)
        plain = changes.changes if isinstance(changes, EncodedChanges) else changes
        for batch in plain.batches:
            if self._ledger.definitions.is_new(batch.schema):
                self._schemas[batch.table] = batch.schema

    def buffer(self, number: int, changes: ChangeSet) -> None:
        self._transaction.buffer(number, changes)

    def commit(
        self, position: Position | None = None, metadata: Mapping[str, str | None] | None = None
    ) -> Commit:
        """Commit at this position (None: that of the previous commit) and apply the changes in memory."""
        before = self._log.end
        if position is None:
            assert before is not None, "the first commit has a position of its own"
            position = before.position
        for number in self.tables.unused_buffers:
            self._transaction.drop(number)
        changes = {**self.tables.metadata, **(metadata or {})}
        try:
            commit = self._transaction.commit(position, changes)
        except BaseException:
            self._ledger.failed(Unsettled(before, self.requested, self._schemas))
            raise
        self._ledger.committed(commit, changes, self.requested, self._schemas)
        return commit

    def close(self) -> None:
        """End the entry. May be called twice."""
        self._transaction.close()
