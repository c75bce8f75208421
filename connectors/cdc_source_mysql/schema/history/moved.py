"""Selected tables that a statement renamed, and their present names, until the old names are used again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import orjson

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Created, DatabaseDropped, Dropped, Renamed, TableChange

MEMORY_PREFIX = "moved:"


class MovedTables:
    """Kept by RENAME and DROP at the stream's position. Not thread-safe: belongs to the stream's thread."""

    def __init__(self, selects: Callable[[TableId], bool], name: Callable[[TableId], TableId]) -> None:
        """`name` returns a table's name as the server compares it."""
        self._selects = selects
        self._name = name
        self._now: dict[TableId, TableId] = {}

    def restore(self, memory: Mapping[str, str]) -> None:
        """Restore what earlier sets stored in `memory`. Ignore other keys."""
        for key, text in memory.items():
            if key.startswith(MEMORY_PREFIX):
                old, now = (TableId(*name) for name in orjson.loads(text))
                self._now[old] = now

    def names(self) -> Mapping[TableId, TableId]:
        """Return those whose present names are not selected, each with that name."""
        return {old: now for old, now in self._now.items() if not self._selects(now)}

    def apply(self, changes: Iterable[TableChange]) -> Mapping[str, str | None]:
        """Apply a statement's changes; return the memory to keep."""
        memory: dict[str, str | None] = {}
        for change in changes:
            match change:
                case Renamed(old, new):
                    self._rename(self._name(old), self._name(new), memory)
                case Dropped(table):
                    self._end(self._name(table), memory)
                case Created():
                    self._put(self._name(change.table), None, memory)
                case DatabaseDropped(database):
                    gone = self._name(TableId(database, "")).schema
                    for now in [now for now in self._now.values() if now.schema == gone]:
                        self._end(now, memory)
        return memory

    def _rename(self, old: TableId, new: TableId, memory: dict[str, str | None]) -> None:
        for name in [old, *(name for name, now in self._now.items() if now == old)]:
            self._put(name, new if self._selects(name) else None, memory)
        self._put(new, None, memory)

    def _end(self, now: TableId, memory: dict[str, str | None]) -> None:
        for old in [old for old, name in self._now.items() if name == now]:
            self._put(old, None, memory)

    def _put(self, old: TableId, now: TableId | None, memory: dict[str, str | None]) -> None:
        key = f"{MEMORY_PREFIX}{old}"
        if now is not None:
            self._now[old] = now
            memory[key] = orjson.dumps([[old.schema, old.name], [now.schema, now.name]]).decode()
        elif self._now.pop(old, None) is not None:
            memory[key] = None
