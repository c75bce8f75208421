"""Capture's state of each table: live, or buffered while a snapshot of it is read; stored in the log
metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from cdc.model import Audience, Position, TableId, TableSchema
from cdc.model.batch import EVERYONE

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
    stands for how the rows of its last whole copy were captured (`TransformsRows`).
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
