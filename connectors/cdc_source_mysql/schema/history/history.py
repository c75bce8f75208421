"""The definitions of the selected tables at the stream's position, kept by DDL, events and the catalog;
and of tables created beside them, for one may take the name of a selected one.

A table whose shape isn't sure has no definition until an event with full metadata has it or the catalog is
read again with a proof (cdc_source_mysql.binlog.lookahead). Everything that must survive a restart goes into
`Applied.memory`, which belongs to the ChangeSet that contains the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cdc.model import Resnapshot, TableId
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.column_defaults import scalar
from cdc_source_mysql.schema.ddl.changes import (
    Altered,
    ConvertCharset,
    Created,
    DatabaseDefaults,
    DatabaseDropped,
    DefaultCharset,
    Dml,
    Dropped,
    ObjectChanged,
    Renamed,
    RowsChanged,
    TableChange,
    TemporaryCreated,
    TemporaryDropped,
    Truncated,
    Unknown,
    Unsure,
)
from cdc_source_mysql.schema.definitions import UNSURE_ENGINE, TableDefinition
from cdc_source_mysql.schema.history.edits import (
    CharacterSet,
    KnownTable,
    ShapeUnsure,
    alter,
    guess,
    require_same_hidden,
)
from cdc_source_mysql.schema.history.event_definitions import (
    definition_of,
    fits,
    is_sequence,
    judge,
    known_by,
)
from cdc_source_mysql.schema.history.moved import MovedTables
from cdc_source_mysql.schema.history.rows import RowEffects, rows_after
from cdc_source_mysql.schema.history.states import Databases, HistoryState, created
from cdc_source_mysql.schema.table_map import TableMap
from cdc_source_mysql.schema.type_plan import plan_table

MEMORY_PREFIX = "table:"
# Of a table that only the catalog has shown.
_UNSEEN = "the stream has not reached it yet"
# Tables that aren't selected are kept from their creation on: gh-ost and others build a table beside, and
# swap it in. So many work at a time hardly anywhere; what was forgotten is read again, if it must be.
MOST_OTHERS = 50
ROWS_REMEDY = "Run: set global binlog_format = row; and let no session set another."
# Definitions that no statement in the binlog tells come from such sessions only.
UNLOGGED_REMEDY = (
    "Let sessions that alter tables log their statements (sql_log_bin = 1; in Galera wsrep_OSU_method = TOI)."
)
_VERSIONS_REMEDY = (
    "MariaDB logs every change of a table with versions by transaction as a statement: give it versions by"
    " timestamp(6), or exclude the table."
)


@dataclass(frozen=True, slots=True)
class Applied:
    """Consequences of a statement for the caller.

    `memory` goes with the ChangeSet. `changed` are the selected tables whose definition is another, or gone:
    plans made from the old one are void. `truncated` get a truncate row. `resnapshots` are to be copied again
    (with CREATE or RENAME over a selected name too). `statements` are those that change rows without row
    events, and maybe, by what hangs on their tables, rows of other selected ones than `resnapshots` has.
    `notes` are for the log.
    """

    memory: Mapping[str, str | None] = field(default_factory=dict)
    changed: tuple[TableId, ...] = ()
    truncated: tuple[TableId, ...] = ()
    resnapshots: tuple[Resnapshot, ...] = ()
    statements: tuple[Dml, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The definition for a TABLE_MAP event. None: read the catalog again with a proof, give it to
    `History.learn`, resolve once more; `reason` says why. `memory` goes with the current ChangeSet.
    `resnapshots`: the event proves a change that no statement made and that may have changed rows.
    """

    definition: TableDefinition | None
    reason: str = ""
    memory: Mapping[str, str | None] = field(default_factory=dict)
    resnapshots: tuple[Resnapshot, ...] = ()


@dataclass(slots=True)
class AppliedDraft:
    """An Applied while it is being made."""

    memory: dict[str, str | None] = field(default_factory=dict)
    changed: dict[TableId, None] = field(default_factory=dict)
    truncated: list[TableId] = field(default_factory=list)
    resnapshots: dict[TableId, Resnapshot] = field(default_factory=dict)
    statements: list[Dml] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def finish(self) -> Applied:
        return Applied(
            memory=self.memory,
            changed=tuple(self.changed),
            truncated=tuple(self.truncated),
            resnapshots=tuple(self.resnapshots.values()),
            statements=tuple(self.statements),
            notes=tuple(self.notes),
        )


class History:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(
        self,
        selects: Callable[[TableId], bool],
        *,
        flavour: str,
        collations: Mapping[int, Collation],
        default_collations: Mapping[str, str] | None = None,
        fold: bool = False,
        unrepresentable: str = "error",
    ) -> None:
        """`default_collations`: character set → its default collation on this server
        (information_schema.COLLATIONS.IS_DEFAULT). `fold`: lower_case_table_names is not 0.
        """
        self._selects = selects
        self._flavour = flavour
        self._collations = collations
        self._charsets = {collation.name: collation.charset for collation in collations.values()}
        self._default_collations = default_collations or {}
        self._fold = fold
        self._unrepresentable = unrepresentable
        self._states: dict[TableId, HistoryState] = {}
        self._databases = Databases()
        self._moved = MovedTables(selects, self._name)

    def restore(self, memory: Mapping[str, str]) -> None:
        """Restore the states that earlier sets stored in `memory`. Ignore other keys."""
        for key, text in memory.items():
            if key.startswith(MEMORY_PREFIX):
                state = HistoryState.from_json(text)
                self._states[state.table] = state
        self._databases.restore(memory)
        self._moved.restore(memory)

    def begin(
        self, definitions: Iterable[TableDefinition], databases: Mapping[str, str] | None = None
    ) -> Mapping[str, str | None]:
        """Start from the catalog, in place of all that was known; gives the memory to keep. `databases`:
        database → default collation.
        """
        outcome = AppliedDraft()
        for table in list(self._states):
            self._forget(table, outcome)
        for definition in definitions:
            self._put(self._learned(definition), outcome)
        found = {name: self._characters(collation) for name, collation in (databases or {}).items()}
        outcome.memory |= self._databases.begin({n: c for n, c in found.items() if c is not None})
        return outcome.memory

    def expect(self, tables: Iterable[TableId]) -> None:
        """Take in the selected ones of the tables that the catalog shows: they may have been copied."""
        for table in map(self._name, tables):
            if table not in self._states and self._selects(table):
                self._states[table] = HistoryState(table, reason=_UNSEEN)

    def distrust(self, reason: str) -> Applied:
        """Nothing that is known is sure any more, and every table is to be copied again."""
        outcome = AppliedDraft()
        outcome.memory |= self._databases.clear()
        for table in list(self._states):
            self._put(HistoryState(table, reason=reason), outcome)
            self._copy_again(table, reason, outcome)
        return outcome.finish()

    def learn(self, definition: TableDefinition) -> Mapping[str, str | None]:
        """Take in a definition proven right for the stream's position; gives the memory to keep."""
        outcome = AppliedDraft()
        self._put(self._learned(definition), outcome)
        return outcome.memory

    def relearn(self, definition: TableDefinition) -> Mapping[str, str | None]:
        """As `learn`, of a table that is copied again: nothing is left to fill."""
        outcome = AppliedDraft()
        self._put(replace(self._learned(definition), fills={}, is_unproven=False), outcome)
        return outcome.memory

    def apply(self, changes: Iterable[TableChange], *, where: str = "") -> Applied:
        """Apply a statement's changes, at the position `where`.

        A statement that isn't understood and names selected tables has them copied again, and says so in
        `notes`.
        """
        outcome, changes = AppliedDraft(), tuple(changes)
        for change in changes:
            self._apply(change, outcome, where)
        outcome.memory |= self._moved.apply(changes)
        return outcome.finish()

    def resolve(self, table_map: TableMap) -> Resolved:
        """The definition under which the rows of this event are to be read."""
        table = self._name(table_map.table)
        state = self._seen(table)
        event = definition_of(table_map, self._collations, self._flavour)
        if event is None:
            return self._without_metadata(table, state, table_map)
        event = replace(event, table=table)
        verdict = judge(state, event, table_map, self._collations, self._flavour)
        base = replace(
            state or HistoryState(table), is_unproven=verdict.is_unproven or bool(state and state.is_unproven)
        )
        if verdict.definition is None:
            return self._unresolved(base, state, verdict.reason)
        return self._resolved(base, state, verdict.definition)

    def is_table(self, table_map: TableMap) -> bool:
        """False for MariaDB's sequences: they log their numbers as rows."""
        state = self._seen(self._name(table_map.table))
        return self._flavour != "mariadb" or not is_sequence(state, table_map)

    def definition(self, table: TableId) -> TableDefinition | None:
        """Return the definition of a table; None if it is unknown or uncertain."""
        state = self._states.get(self._name(table))
        return state.definition if state else None

    def definitions(self) -> Mapping[TableId, TableDefinition]:
        """All that is sure of selected tables."""
        return {table: known for table, state in self._selected() if (known := state.definition) is not None}

    def moved(self) -> Mapping[TableId, TableId]:
        """Return the selected tables whose names are no longer selected, each with its present name."""
        return self._moved.names()

    def selected(self) -> tuple[TableId, ...]:
        """Every selected table that may be there."""
        return tuple(table for table, _ in self._selected())

    def engines(self) -> dict[TableId, str]:
        """The engine of every selected table; '' where it isn't known."""
        known = {table: state.definition for table, state in self._selected()}
        engines = {table: definition.engine if definition else "" for table, definition in known.items()}
        return {table: "" if engine == UNSURE_ENGINE else engine for table, engine in engines.items()}

    def fills(self, table: TableId) -> Mapping[str, Any]:
        """Column.fill by column name: what rows older than an added column have (only values that aren't
        NULL), as pyarrow scalars.
        """
        state = self._states.get(self._name(table))
        if state is None or state.definition is None or not state.fills:
            return {}
        plans = plan_table(state.definition, None, self._flavour, self._unrepresentable)
        arrows = {plan.name: plan.arrow for plan in plans}
        return {
            name: scalar(state.definition.column(name).column_type, default, arrows[name])
            for name, default in state.fills.items()
            if name in arrows
        }

    def _apply(self, change: TableChange, outcome: AppliedDraft, where: str) -> None:
        match change:
            case Created():
                self._create(change, outcome)
            case Renamed():
                self._rename(change, outcome)
            case Altered():
                self._alter(change, outcome)
            case Dml():
                reason = statement_logged(change.keyword, where)
                for table in map(self._name, change.written if change.tables is None else change.tables):
                    self._copy_again(table, reason, outcome, rows_remedy(self.definition(table)))
                outcome.statements.append(change)
            case Unknown():
                self._doubt(change, outcome)
            case TemporaryCreated() | TemporaryDropped() | ObjectChanged():
                pass
            case _:
                self._apply_to_rows(change, outcome)

    def _apply_to_rows(
        self,
        change: Dropped | DatabaseDropped | DatabaseDefaults | Truncated | RowsChanged,
        outcome: AppliedDraft,
    ) -> None:
        match change:
            case Dropped(table):
                if self._selects(self._name(table)):
                    outcome.notes.append(f"{table} was dropped: the sinks keep their rows of it")
                self._forget(self._name(table), outcome)
            case DatabaseDefaults(database):
                name = self._cased(database)
                outcome.memory |= self._databases.apply(name, change, self._default_collations)
            case DatabaseDropped(database):
                gone = self._cased(database)
                outcome.memory |= self._databases.forget(gone)
                for table in [table for table in self._states if table.schema == gone]:
                    self._forget(table, outcome)
            case Truncated(table):
                if self._selects(self._name(table)):
                    outcome.truncated.append(self._name(table))
            case RowsChanged(table, reason):
                self._copy_again(self._name(table), reason, outcome)

    def _create(self, change: Created, outcome: AppliedDraft) -> None:
        table = self._name(change.table)
        before, is_selected = self._seen(table), self._selects(table)
        if change.if_not_exists and (before is not None or not is_selected):
            return
        original = None if change.like is None else self._seen(self._name(change.like))
        database = self._databases.get(table.schema)
        state = created(table, change, original, self._default_collations, database, self._flavour)
        if is_selected or (state.known and any(table.schema == t.schema for t, _ in self._selected())):
            self._put(state, outcome)
        self._copy_again(table, "it was created", outcome)

    def _rename(self, change: Renamed, outcome: AppliedDraft) -> None:
        old, new = self._name(change.old), self._name(change.new)
        state = self._seen(old)
        self._forget(old, outcome)
        if state is None and not self._selects(new):
            return
        renamed = (
            state.renamed(new)
            if state
            else HistoryState(new, reason=f"it was {old}, whose definition is not stored")
        )
        self._put(renamed, outcome)
        self._copy_again(new, f"{old} was renamed to it", outcome)

    def _alter(self, change: Altered, outcome: AppliedDraft) -> None:
        table = self._name(change.table)
        if not self._selects(table) and table not in self._states:
            return
        state = self._seen(table) or HistoryState(table, reason="no statement created it")
        known = state.known
        after: KnownTable | None = None
        if known is not None:
            try:
                after = alter(known, change, self._default_collations)
                if self._flavour == "mariadb":
                    require_same_hidden(known.definition, after.definition, change.edits)
            except ShapeUnsure as error:
                after = None
                state = replace(state, reason=str(error))
                outcome.notes.append(f"{table} is altered in a way that only its catalog shows: {error}")
        # The columns are good to compare even where the key isn't sure.
        columns = after.definition if after else (guess(known.definition, change) if known else None)
        effects = rows_after(state, columns, change)
        self._put(self._altered(state, after, change, effects), outcome)
        if effects.reason:
            self._copy_again(table, effects.reason, outcome)

    def _altered(
        self, state: HistoryState, after: KnownTable | None, change: Altered, effects: RowEffects
    ) -> HistoryState:
        if after is not None:
            return replace(HistoryState.of(after), fills=effects.fills, dropped=effects.dropped)
        hint = None if state.hint is None else guess(state.hint, change) or state.hint
        may_differ = any(isinstance(edit, DefaultCharset | ConvertCharset | Unsure) for edit in change.edits)
        return replace(
            state,
            definition=None,
            draft=None,
            hint=hint,
            characters=None if may_differ else state.characters,
            has_primary_key=None,
            fills=effects.fills,
            dropped=effects.dropped,
        )

    def _doubt(self, change: Unknown, outcome: AppliedDraft) -> None:
        words = {self._cased(word) for word in change.words}
        home = self._cased(change.database)
        named = [t for t in self._states if t.name in words and (t.schema in words or t.schema == home)]
        for table in named:
            state = self._states[table]
            self._put(HistoryState(table, hint=state.hint, reason=change.reason), outcome)
            self._copy_again(table, f"a statement that cannot be parsed names it ({change.reason})", outcome)
        listed = ", ".join(str(table) for table in named if self._selects(table)) or "no selected table"
        outcome.notes.append(f"a statement cannot be parsed: {change.reason}; it names {listed}")

    def _without_metadata(self, table: TableId, state: HistoryState | None, table_map: TableMap) -> Resolved:
        """Without full metadata an event can only agree with what is known, or not."""
        if state is None:
            return self._unresolved(HistoryState(table, is_unproven=True), None, "no statement created it")
        known = known_by(state, table_map, self._collations)
        if known is None:
            return Resolved(None, state.reason)
        reason = fits(table_map, known, self._collations)
        if reason:
            return self._unresolved(replace(state, is_unproven=True), state, reason)
        return self._resolved(state, state, known)

    def _resolved(
        self, now: HistoryState, before: HistoryState | None, definition: TableDefinition
    ) -> Resolved:
        """Keep the definition that the event proves; a change without a statement re-copies the table."""
        is_primary = None if now.is_unproven else now.has_primary_key
        made = replace(
            now,
            definition=definition,
            draft=None,
            hint=definition,
            has_primary_key=is_primary,
            reason="",
            is_unproven=False,
        )
        outcome = AppliedDraft()
        if made != before:
            self._put(made, outcome)
        reason = "its shape changed without a statement in the binary log"
        request = Resnapshot(now.table, reason, remedy=UNLOGGED_REMEDY)
        resnapshots = (request,) if now.is_unproven else ()
        return Resolved(definition, memory=outcome.memory, resnapshots=resnapshots)

    def _unresolved(self, now: HistoryState, before: HistoryState | None, reason: str) -> Resolved:
        characters = None if now.is_unproven else now.characters
        made = replace(now, definition=None, draft=None, characters=characters, reason=reason)
        outcome = AppliedDraft()
        if made != before:
            self._put(made, outcome)
        return Resolved(None, reason, memory=outcome.memory)

    def _characters(self, collation: str | None) -> CharacterSet | None:
        charset = self._charsets.get(collation) if collation else None
        return CharacterSet(charset, collation) if charset else None

    def _learned(self, definition: TableDefinition) -> HistoryState:
        table = self._name(definition.table)
        kept = self._seen(table) or HistoryState(table)
        return HistoryState(
            table,
            definition=replace(definition, table=table),
            hint=replace(definition, table=table),
            characters=self._characters(definition.default_collation) or kept.characters,
            has_primary_key=definition.has_primary_key,
            fills={name: fill for name, fill in kept.fills.items() if name in definition.names},
            dropped=kept.dropped,
            is_unproven=kept.is_unproven,
        )

    def _put(self, state: HistoryState, outcome: AppliedDraft) -> None:
        self._states[state.table] = state
        outcome.memory[f"{MEMORY_PREFIX}{state.table}"] = state.to_json()
        outcome.changed[state.table] = None
        others = [] if self._selects(state.table) else [t for t in self._states if not self._selects(t)]
        for table in others[:-MOST_OTHERS]:
            self._forget(table, outcome)

    def _forget(self, table: TableId, outcome: AppliedDraft) -> None:
        if self._states.pop(table, None) is not None:
            outcome.memory[f"{MEMORY_PREFIX}{table}"] = None
            outcome.changed[table] = None

    def _seen(self, table: TableId) -> HistoryState | None:
        """State of a table that the stream has shown."""
        state = self._states.get(table)
        return None if state is not None and state.reason == _UNSEEN else state

    def _selected(self) -> Iterator[tuple[TableId, HistoryState]]:
        return ((table, state) for table, state in self._states.items() if self._selects(table))

    def _copy_again(self, table: TableId, reason: str, outcome: AppliedDraft, remedy: str = "") -> None:
        if self._selects(table):
            outcome.resnapshots.setdefault(table, Resnapshot(table, reason, remedy=remedy))

    def _name(self, table: TableId) -> TableId:
        return TableId(self._cased(table.schema), self._cased(table.name)) if self._fold else table

    def _cased(self, name: str) -> str:
        return name.lower() if self._fold else name


def statement_logged(keyword: str, where: str) -> str:
    return f"{keyword} was logged as a statement, without its rows, at {where}"


def rows_remedy(definition: TableDefinition | None) -> str:
    """Return the fix that makes the server log rows of the table."""
    by_transaction = definition is not None and definition.has_versions_by_transaction
    return _VERSIONS_REMEDY if by_transaction else ROWS_REMEDY
