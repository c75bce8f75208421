"""What capture knows of each table: live, or held back while a snapshot of it is read;
kept as facts in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cdc.model import Audience, Position, TableId
from cdc.model.audience import EVERYONE

_TABLE_PREFIX = "table:"
_CHUNK_PREFIX = "chunk:"
_HELD_PREFIX = "held:"

Facts = dict[str, str | None]


class Phase(StrEnum):
    """Durable, in the log's facts.

    A table enters WAITING when it is first seen, COPYING when a snapshot of it is open, LIVE when all rows
    and all held changes are in the log.
    """

    WAITING = "waiting"
    COPYING = "copying"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class TableState:
    """One table's capture state.

    While not LIVE, its streamed changes go to the held log number `held`. `released` is the offset in it
    below which everything is done; changes whose position orders below `handled` are done or contained in the
    snapshot. `token` and `position` are the open (or last) snapshot's. `dirty` says that the log may hold
    rows of this table from an earlier copy or life; `reason` why a live table is copied again. `audience` are
    the sinks that the copy is for: the others see the table's changes as if it were live.
    """

    phase: Phase
    relation: int | None = None
    held: int | None = None
    released: int = 0
    handled: int = 0
    token: str | None = None
    position: Position | None = None
    dirty: bool = False
    reason: str = ""
    audience: Audience = EVERYONE

    def to_text(self) -> str:
        value: dict[str, Any] = {
            "phase": self.phase.value,
            "relation": self.relation,
            "held": self.held,
            "released": self.released,
            "handled": self.handled,
            "token": self.token,
            "position": self.position.to_json() if self.position else None,
            "dirty": self.dirty,
            "reason": self.reason,
            "audience": self.audience.to_json(),
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
            **value,
        )


@dataclass(slots=True)
class TableBook:
    """All tables' states, as the log's facts have them.

    Changing a state takes two steps: commit the facts that `facts_of…` give, together with the changes that
    they belong to, then `set_…` the same here. So no thread ever commits what another thread has not done
    yet. Chunk facts carry the chunk's row count;
    `held_next` is how far the main log confirms a table's held log.
    """

    _states: dict[TableId, TableState] = field(default_factory=dict)
    _chunks: dict[TableId, dict[str, int]] = field(default_factory=dict)
    _held_next: dict[TableId, int] = field(default_factory=dict)

    @classmethod
    def from_facts(cls, facts: Mapping[str, str]) -> TableBook:
        book = cls()
        book.reload(facts)
        return book

    def reload(self, facts: Mapping[str, str]) -> None:
        """Forget everything and take it from the facts again."""
        states: dict[TableId, TableState] = {}
        chunks: dict[TableId, dict[str, int]] = {}
        held_next: dict[TableId, int] = {}
        for key, text in facts.items():
            if key.startswith(_TABLE_PREFIX):
                states[_table_of(key)] = TableState.from_text(text)
            elif key.startswith(_HELD_PREFIX):
                held_next[_table_of(key)] = int(text)
            elif key.startswith(_CHUNK_PREFIX):
                schema, name, chunk = json.loads(key.removeprefix(_CHUNK_PREFIX))
                chunks.setdefault(TableId(schema, name), {})[chunk] = int(text)
        # Swapped whole: other threads read without the lock.
        self._states, self._chunks, self._held_next = states, chunks, held_next

    def __getitem__(self, table: TableId) -> TableState:
        return self._states[table]

    def get(self, table: TableId) -> TableState | None:
        return self._states.get(table)

    def items(self) -> Iterator[tuple[TableId, TableState]]:
        return iter(list(self._states.items()))

    def by_relation(self, relation: int | None) -> TableId | None:
        """The table that has this source number now."""
        if relation is None:
            return None
        return next((table for table, state in self.items() if state.relation == relation), None)

    def unfinished(self) -> list[TableId]:
        """Tables that are not live, in name order."""
        return sorted(table for table, state in self.items() if state.phase is not Phase.LIVE)

    def finished_chunks(self, table: TableId) -> frozenset[str]:
        return frozenset(self._chunks.get(table, ()))

    def held_next(self, table: TableId) -> int:
        return self._held_next.get(table, 0)

    def next_held(self) -> int:
        """A number for a new held log that no table uses."""
        return 1 + max((s.held for _, s in self.items() if s.held is not None), default=0)

    def set(self, table: TableId, state: TableState) -> None:
        self._states[table] = state
        if state.phase is Phase.LIVE:
            self._chunks.pop(table, None)
            self._held_next.pop(table, None)

    def set_chunk(self, table: TableId, chunk: str, rows: int) -> None:
        self._chunks.setdefault(table, {})[chunk] = rows

    def forget_chunks(self, table: TableId) -> None:
        self._chunks.pop(table, None)

    def set_held_next(self, table: TableId, offset: int) -> None:
        self._held_next[table] = offset

    def remove(self, table: TableId) -> None:
        for mapping in (self._states, self._chunks, self._held_next):
            mapping.pop(table, None)

    def facts_of(self, table: TableId, state: TableState | None, *, keep_chunks: bool = True) -> Facts:
        """The facts that make `state` durable (None forgets the table);
        live tables lose their chunk and held facts.
        """
        facts: Facts = {_key(_TABLE_PREFIX, table): state.to_text() if state else None}
        if state is None or state.phase is Phase.LIVE:
            facts[_key(_HELD_PREFIX, table)] = None
            keep_chunks = False
        if not keep_chunks:
            facts |= {_chunk_key(table, chunk): None for chunk in self.finished_chunks(table)}
        return facts


def chunk_facts(table: TableId, chunk: str, rows: int) -> Facts:
    """The fact that a chunk's rows are all in the log."""
    return {_chunk_key(table, chunk): str(rows)}


def held_facts(table: TableId, offset: int) -> Facts:
    """The fact that the main log confirms a held log up to `offset`."""
    return {_key(_HELD_PREFIX, table): str(offset)}


def _key(prefix: str, table: TableId) -> str:
    return prefix + json.dumps([table.schema, table.name])


def _chunk_key(table: TableId, chunk: str) -> str:
    return _CHUNK_PREFIX + json.dumps([table.schema, table.name, chunk])


def _table_of(key: str) -> TableId:
    schema, name = json.loads(key.partition(":")[2])
    return TableId(schema, name)
