"""Copies of followed tables whose rows change with those of another table, without rows events of their own
(`cdc_source_mysql.schema.dependents`).

The catalog shows the present, and the stream may be behind: until it has passed the binlog's end of when the
catalog was read, a statement that takes such a dependency away has the tables copied again that may have
changed by it before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch, Operation, Resnapshot, TableId
from cdc_source_mysql.schema.ddl.changes import (
    Altered,
    Created,
    DatabaseDropped,
    Dropped,
    ObjectChanged,
    Renamed,
    SetEngine,
    TableChange,
    Truncated,
    Unknown,
)
from cdc_source_mysql.schema.dependents import MERGE, Dependent, Dependents
from cdc_source_mysql.schema.history.history import History

# How rows of a table change: each key of a child names one of the first two.
_DELETE: Final = "DELETE"
_UPDATE: Final = "UPDATE"
# Of a table whose engine may have been a MERGE table's member.
_MEMBER_ENGINES: Final = ("", "myisam", MERGE)


class DependentsLookup(Protocol):
    """Asks the catalog."""

    def dependents(self) -> tuple[Dependents, int]:
        """Return what it shows, and the order of the binlog's end after that look."""


class SideEffects:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(
        self,
        lookup: DependentsLookup,
        history: History,
        selects: Callable[[TableId], bool],
        log: Callable[..., None],
        *,
        fold: bool,
    ) -> None:
        """`history` knows the followed tables. `fold`: names of tables are the same in any case."""
        self._lookup = lookup
        self._history = history
        self._selects = selects
        self._fold = fold
        self._log = log
        self._found = Dependents()
        self._read_at = -1
        self._is_stale = True
        self._named: set[TableId] = set()
        # Of the rows that are gathered now, and of any that the stream reads.
        self._hides_cascades = True
        self._has_hidden = False

    def columns(self, table: TableId) -> frozenset[str] | None:
        """The columns (in lower case) whose changes reach other tables; None where no change of the table's
        rows does.
        """
        self.refresh()
        found = self._found.by_source.get(self._cased(table))
        if found is None:
            return None
        return frozenset(name.lower() for one in found if one.cascade for name in one.cascade.columns)

    def note(self, *, hides_cascades: bool) -> None:
        """Say of the rows that follow whether the binlog lacks those that foreign keys changed with them."""
        self._hides_cascades = hides_cascades
        self._has_hidden = self._has_hidden or hides_cascades

    def of(self, batch: ChangeBatch, where: str) -> Iterator[Resnapshot]:
        """The copies that the changes of the batch make due; `where` is the stream's place."""
        source = self._cased(batch.table)
        found = self._found.by_source.get(source)
        if found is None:
            return
        codes = batch.ops.to_numpy(zero_copy_only=False)
        kinds = {_DELETE} if (codes == Operation.DELETE.code).any() else set()
        columns = {name.lower() for one in found if one.cascade for name in one.cascade.columns}
        changed = _changed_columns(batch, codes == Operation.UPDATE.code, columns)
        if changed:
            kinds.add(_UPDATE)
        yield from self._reached(source, kinds, changed, where, logged=not self._hides_cascades)

    def of_any(self, table: TableId, where: str) -> Iterator[Resnapshot]:
        """As `of`, of a table whose rows may have changed in any way."""
        source = self._cased(table)
        yield from self._reached(source, {_DELETE, _UPDATE}, None, where)

    def concerns(self, changes: Iterable[TableChange]) -> bool:
        """Return whether a statement may change what `of` says, or rows that hang on its tables."""
        return any(map(self._concerns, changes))

    def apply(self, changes: Iterable[TableChange], order: int, where: str) -> list[Resnapshot]:
        """Take in what a statement at the place of that order does; gives the copies that it makes due."""
        copies: list[Resnapshot] = []
        for change in filter(self._concerns, changes):
            if isinstance(change, Truncated):
                table = self._cased(change.table)
                copies += self._reached(table, set(), frozenset(), where)
                continue
            if order <= self._read_at:
                for table in self._detached(change):
                    reason = f"a statement at {where} may have ended its dependence on another table"
                    copies.append(Resnapshot(table, reason))
            self._is_stale = True
        return copies

    def _concerns(self, change: TableChange) -> bool:
        match change:
            case ObjectChanged(kind, _):
                return kind in ("FOREIGN KEY", "MERGE")
            case Altered(_, edits):
                return any(isinstance(edit, SetEngine) for edit in edits)
            case Truncated(table) | Dropped(table):
                return self._is_part(table)
            case Renamed(old, new):
                return self._is_part(old) or self._is_part(new)
            case Created(table):
                return self._is_part(table)
            case DatabaseDropped() | Unknown():
                return True
            case _:
                return False

    def _is_part(self, table: TableId) -> bool:
        self.refresh()
        name = self._cased(table)
        return name in self._named or self._is_merge(name)

    def _is_merge(self, table: TableId) -> bool:
        known = self._history.definition(table)
        return known is not None and known.engine.lower() == MERGE

    def _detached(self, change: TableChange) -> Iterator[TableId]:
        """The selected tables that may have changed with others until this statement, which the catalog
        already shows.
        """
        match change:
            case ObjectChanged("FOREIGN KEY", table):
                yield from self._selected([table] if change.drops and self._has_hidden else [])
            case ObjectChanged():
                yield from self._members()
            case Altered(table):
                yield from self._selected([table])
            case Dropped(table) | Renamed(_, table):
                yield from self._selected(one.table for one in self._hiding(table))
                if self._is_merge(self._cased(table)):
                    yield from self._members()
            case DatabaseDropped(name):
                gone = self._cased(TableId(name, "")).schema
                sources = [source for source in self._found.by_source if source.schema == gone]
                yield from self._selected(one.table for source in sources for one in self._hiding(source))

    def _of(self, table: TableId) -> Sequence[Dependent]:
        return self._found.by_source.get(self._cased(table), ())

    def _hiding(self, table: TableId) -> Iterator[Dependent]:
        """Those that may have changed without a row in the binlog since the stream began."""
        return (one for one in self._of(table) if self._has_hidden or one.cascade is None)

    def _selected(self, tables: Iterable[TableId]) -> Iterator[TableId]:
        return (table for table in map(self._cased, tables) if self._selects(table))

    def _members(self) -> Iterator[TableId]:
        """The followed tables that a MERGE table may have shown."""
        engines = self._history.engines()
        return (table for table, engine in engines.items() if engine.lower() in _MEMBER_ENGINES)

    def _reached(
        self,
        source: TableId,
        kinds: Collection[str],
        changed: frozenset[str] | None,
        where: str,
        *,
        logged: bool = False,
    ) -> Iterator[Resnapshot]:
        """The selected tables that change with rows of the source: deleted, or updated in these columns
        (None: in any). What is changed in a child may reach children of its own. `logged`: the binlog has
        what foreign keys changed.
        """
        left: list[tuple[TableId, Collection[str], frozenset[str] | None]] = [(source, kinds, changed)]
        passed: set[tuple[TableId, str]] = set()
        while left:
            table, kinds, changed = left.pop()
            for one in self._of(table):
                effect = set() if logged and one.cascade else _effect(one, kinds, changed)
                if not effect or (one.cascade is None and one.table == source):
                    continue
                new = set() if one.shows_only else effect - {kind for t, kind in passed if t == one.table}
                for kind in sorted(new):
                    passed.add((one.table, kind))
                    left.append((one.table, {kind}, None if kind == _UPDATE else frozenset()))
                if self._selects(one.table):
                    reason = f"rows of {source} changed at {where}, and rows here with them through {one.how}"
                    yield Resnapshot(one.table, reason, remedy=one.remedy)

    def refresh(self) -> None:
        """Read the catalog, where that is due. Call at the beginning too: what the catalog showed before a
        statement need not be proven.
        """
        if not self._is_stale:
            return
        self._found, self._read_at = self._lookup.dependents()
        self._is_stale = False
        self._has_hidden = self._has_hidden or not self._found.is_logged
        found = [one for each in self._found.by_source.values() for one in each]
        self._named = {table for one in found for table in (one.table, one.source)}
        for table in self._found.hidden:
            self._log(
                "foreign keys of a table cannot be seen; rows that they change in followed tables are not"
                " captured: cdc check names the missing grant",
                level="warning",
                table=str(table),
            )

    def _cased(self, table: TableId) -> TableId:
        return table.lower() if self._fold else table


def _effect(one: Dependent, kinds: Collection[str], changed: frozenset[str] | None) -> set[str]:
    """Return the effect on the rows of the dependent table."""
    if one.cascade is None:
        return {_DELETE, _UPDATE}
    effect = set()
    actions = one.cascade.actions
    if _DELETE in kinds and _DELETE in actions:
        effect.add(_DELETE if actions[_DELETE] == "CASCADE" else _UPDATE)
    referenced = {name.lower() for name in one.cascade.columns}
    if _UPDATE in kinds and _UPDATE in actions and (changed is None or changed & referenced):
        effect.add(_UPDATE)
    return effect


def _changed_columns(batch: ChangeBatch, updated: Any, columns: Collection[str]) -> frozenset[str]:
    """Those of these columns (in lower case) that an update may have changed. `updated` is a mask of rows."""
    if not columns or not updated.any():
        return frozenset()
    updates = batch.filtered(pa.array(updated))
    shown = {name.lower(): name for name in batch.schema.arrow.names}
    return frozenset(name for name in columns if name not in shown or _is_changed(updates, shown[name]))


def _is_changed(updates: ChangeBatch, name: str) -> bool:
    """Return whether a row may have another value now. A partial image leaves out what did not change; a row
    without an old image has the key that it had.
    """
    count, before, unchanged = updates.row_count, updates.before, updates.unchanged
    is_partial = _none(count) if unchanged is None else pc.is_valid(unchanged)
    same = is_partial if unchanged is None else _names(unchanged, name)
    if name in updates.schema.key:
        same = pc.or_(same, _all(count) if before is None else pc.is_null(before))
    if before is not None:
        same = pc.or_(same, _equal(updates.data.column(name), before.field(name), is_partial))
    return not pc.all(same).as_py()


def _equal(new: pa.Array, old: pa.Array, is_partial: pa.Array) -> pa.Array:
    """Where both are the same value; NULL may stand for a value that a partial image does not have."""
    both_null = pc.and_(pc.is_null(new), pc.is_null(old))
    try:
        same = pc.fill_null(pc.equal(new, old), fill_value=False)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        same = _none(len(new))
    return pc.or_(same, pc.and_not(both_null, is_partial))


def _names(unchanged: pa.DictionaryArray, name: str) -> pa.Array:
    found = [name in (names or ()) for names in unchanged.dictionary.to_pylist()]
    return pc.fill_null(pa.array(found, pa.bool_()).take(unchanged.indices), fill_value=False)


def _none(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value=False), count)


def _all(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value=True), count)
