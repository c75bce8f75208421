"""Which temporary tables the server's sessions have: DDL in text form that names one concerns no other table.

What a statement's event shows, measured on real servers: without the flag THREAD_SPECIFIC it uses no
temporary table, but for MariaDB's RENAME TABLE, which never has it. With the flag it does, or, where a stored
procedure ran it, a statement before it in the procedure did; a replica runs each event alone, so there
the flag is exact. DROP TABLE always has it and says TEMPORARY itself; CREATE TABLE makes a real table. What
sessions create and drop is in the binlog where statements are logged as text, ends of sessions included;
where rows are, neither that nor DDL on temporary tables is. The binlog also shows where the server started:
then no session had any.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Final

from cdc.model import TableId
from cdc_source_mysql.binlog.queries import BinlogQueries
from cdc_source_mysql.schema.ddl.changes import (
    Altered,
    Created,
    Dml,
    Dropped,
    Renamed,
    RowsChanged,
    TableChange,
    TemporaryCreated,
    TemporaryDropped,
    Truncated,
    Unsure,
)

MEMORY_HORIZON: Final = "sessions"
MEMORY_PREFIX: Final = "temporary:"
_IN_DOUBT = "it may concern a temporary table that was created before the source started"


@dataclass(frozen=True, slots=True)
class StatementOrigin:
    """Session that ran a statement, according to its event. `is_flagged`: with THREAD_SPECIFIC."""

    server_id: int
    thread_id: int
    is_flagged: bool

    @property
    def key(self) -> str:
        return f"{MEMORY_PREFIX}{self.server_id}.{self.thread_id}"


@dataclass(frozen=True, slots=True)
class Horizon:
    """Sessions with a higher thread id, in events after that order, began when the source already looked:
    it knows all their temporary tables. Thread ids begin again when the server starts.
    """

    server_id: int
    epoch: int
    thread_id: int
    order: int

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def continues(self, text: str | None) -> Horizon | None:
        """The horizon that the log remembers, if it is one of the same server's binlog."""
        with suppress(ValueError, TypeError):
            kept = Horizon(**json.loads(text or ""))
            if replace(kept, thread_id=0, order=0) == replace(self, thread_id=0, order=0):
                return kept
        return None


class TemporaryTables:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(
        self,
        memory: Mapping[str, str],
        now: Horizon,
        *,
        flavour: str,
        fold: bool,
    ) -> None:
        """`fold`: lower_case_table_names is not 0."""
        kept = now.continues(memory.get(MEMORY_HORIZON))
        self._horizon = kept or now
        self._flavour = flavour
        self._folds = fold
        self._held: dict[str, set[TableId]] = {}
        self.memory: dict[str, str | None] = {} if kept else {MEMORY_HORIZON: now.to_json()}
        for key, text in memory.items():
            if key.startswith(MEMORY_PREFIX) and kept:
                self._held[key] = {TableId(schema, name) for schema, name in json.loads(text)}
            elif key.startswith(MEMORY_PREFIX):
                self.memory[key] = None

    def take_memory(self) -> dict[str, str | None]:
        """Return the changes of the memory since the last call."""
        memory, self.memory = self.memory, {}
        return memory

    def server_started(self, order: int) -> None:
        """The binlog says that the server started at this place. Not all such places are behind the horizon:
        RESET BINARY LOGS leaves one while sessions continue.
        """
        ours = f"{MEMORY_PREFIX}{self._horizon.server_id}."
        for key in [key for key in self._held if key.startswith(ours)]:
            del self._held[key]
            self.memory[key] = None
        if order > self._horizon.order:
            self._horizon = replace(self._horizon, thread_id=0, order=order)
            self.memory[MEMORY_HORIZON] = self._horizon.to_json()

    def resolve(
        self, changes: tuple[TableChange, ...], origin: StatementOrigin, order: int
    ) -> tuple[TableChange, ...]:
        """The changes without those of temporary tables. Where it is not known whether a table is one, it
        is unsure and copied again. `order` is that of the statement's event.
        """
        return tuple(self._resolved(changes, origin, order))

    def _resolved(
        self, changes: tuple[TableChange, ...], origin: StatementOrigin, order: int
    ) -> Iterator[TableChange]:
        main = _altered_table(changes)
        is_temporary = False if main is None else self._is_temporary(main, origin, order)
        if is_temporary is None:
            yield from _doubt(changes)
            return
        for change in changes:
            if isinstance(change, TemporaryCreated):
                self._change(origin, add=change.table)
            elif isinstance(change, TemporaryDropped):
                self._change(origin, drop=change.table)
            elif isinstance(change, Dml):
                yield self._of_real_tables(change, origin)
            elif isinstance(change, Created) and change.like is not None and origin.is_flagged:
                # Perhaps like a temporary table that hides a known one.
                yield replace(change, like=None)
            elif isinstance(change, Renamed) and (is_temporary or self._renames(change, origin)):
                self._change(origin, drop=change.old, add=change.new)
            elif not is_temporary:
                yield change

    def _is_temporary(self, table: TableId, origin: StatementOrigin, order: int) -> bool | None:
        """Return whether the table that a TRUNCATE or ALTER names is a temporary one; None if that is not
        known.
        """
        if not origin.is_flagged:
            return False
        if self._fold(table) in self._held.get(origin.key, ()):
            return True
        horizon = self._horizon
        if origin.server_id != horizon.server_id:
            return True
        is_known = origin.thread_id > horizon.thread_id and order > horizon.order
        return False if is_known else None

    def _renames(self, change: Renamed, origin: StatementOrigin) -> bool:
        """Return whether RENAME TABLE renames a temporary table: only MariaDB's does."""
        is_held = self._fold(change.old) in self._held.get(origin.key, ())
        return is_held and self._flavour == "mariadb" and not change.by_alter

    def _of_real_tables(self, change: Dml, origin: StatementOrigin) -> Dml:
        held = self._held.get(origin.key)
        if not held or change.tables is None:
            return change

        def real(tables: tuple[TableId, ...]) -> tuple[TableId, ...]:
            return tuple(table for table in tables if self._fold(table) not in held)

        return replace(
            change, tables=real(change.tables), named=real(change.named), written=real(change.written)
        )

    def _change(
        self, origin: StatementOrigin, *, drop: TableId | None = None, add: TableId | None = None
    ) -> None:
        held = self._held.setdefault(origin.key, set())
        if drop is not None:
            held.discard(self._fold(drop))
        if add is not None:
            held.add(self._fold(add))
        if held:
            self.memory[origin.key] = json.dumps(sorted([t.schema, t.name] for t in held))
        else:
            del self._held[origin.key]
            self.memory[origin.key] = None

    def _fold(self, table: TableId) -> TableId:
        return table.lower() if self._folds else table


def open_temporary(queries: BinlogQueries, memory: Mapping[str, str], epoch: int) -> TemporaryTables:
    """Return the temporary tables at the start of a stream of that epoch, from the log's memory."""
    facts = queries.facts
    fold = facts.lower_case_table_names != 0
    return TemporaryTables(memory, _horizon(queries, epoch), flavour=facts.flavour, fold=fold)


def _horizon(queries: BinlogQueries, epoch: int) -> Horizon:
    """The horizon of now."""
    thread_id = int(queries.value("select connection_id()"))
    # Read last: events after it are of sessions that are counted, or of later ones.
    place = replace(queries.end(), epoch=epoch)
    return Horizon(queries.facts.server_id, epoch, thread_id, place.order)


def _altered_table(changes: Iterable[TableChange]) -> TableId | None:
    """The table that a TRUNCATE or ALTER names first: the name that may be a temporary table's."""
    for change in changes:
        if isinstance(change, Altered | RowsChanged | Truncated):
            return change.table
        if isinstance(change, Renamed) and change.by_alter:
            return change.old
    return None


def _doubt(changes: Iterable[TableChange]) -> Iterator[TableChange]:
    for change in changes:
        if isinstance(change, Truncated | RowsChanged):
            yield RowsChanged(change.table, _IN_DOUBT)
        elif isinstance(change, Altered | Created | Dropped):
            yield from _unsure(change.table)
        elif isinstance(change, Renamed):
            yield from _unsure(change.old)
            yield from _unsure(change.new)


def _unsure(table: TableId) -> tuple[TableChange, ...]:
    return Altered(table, (Unsure(_IN_DOUBT),)), RowsChanged(table, _IN_DOUBT)
