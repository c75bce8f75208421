"""What an ALTER TABLE does to the rows that are there: nothing, a fill for an added column, or anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cdc_source_mysql.schema.ddl.changes import (
    AddColumn,
    AddIndex,
    Altered,
    ChangeColumn,
    ConvertCharset,
    Default,
    DropColumn,
    RenameColumn,
)
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.history.edits import same
from cdc_source_mysql.schema.history.fills import default_of, fill_of
from cdc_source_mysql.schema.history.states import State
from cdc_source_mysql.schema.history.stored_values import changed_by, changes_what_is_computed


class RowEffects(NamedTuple):
    """`reason`: why the table is to be copied again ('': it isn't). The rest is for its State."""

    reason: str
    fills: Mapping[str, Default]
    dropped: frozenset[str]


def rows_after(state: State, after: TableDefinition | None, altered: Altered) -> RowEffects:
    """The effects on rows; without `after` (of which only the columns matter), everything that may change
    values does.
    """
    dropped = state.dropped | {e.name.lower() for e in altered.edits if isinstance(e, DropColumn)}
    fills = {name: fill for name, fill in state.fills.items() if name.lower() not in dropped}
    reasons = []
    for edit in altered.edits:
        if isinstance(edit, AddColumn):
            reasons.append(_added(edit, state, dropped, fills))
        elif isinstance(edit, RenameColumn):
            reasons.append(_renamed(edit.name, edit.new))
        elif isinstance(edit, ChangeColumn):
            reasons.append(_changed(edit, state.definition, after, altered))
            fills.pop(edit.name, None) if reasons[-1] else None
        elif isinstance(edit, ConvertCharset):
            reasons.append(_converted(state.definition, after, altered))
        elif isinstance(edit, AddIndex) and edit.index.primary and not altered.strict:
            reasons.append("a primary key turns NULL into values")
    reason = next((reason for reason in reasons if reason), "")
    return RowEffects(reason, fills, dropped)


def _added(edit: AddColumn, state: State, dropped: frozenset[str], fills: dict[str, Default]) -> str:
    spec = edit.spec
    if edit.if_not_exists and state.definition and any(same(spec.name, n) for n in state.definition.names):
        return ""
    if spec.name.lower() in dropped:
        return f"the column {spec.name} was dropped and is added again"
    if spec.generated or spec.auto_increment:
        return f"the server computes the values of the added column {spec.name}"
    if not spec.is_sure:
        return f"the server's settings decide what rows have in the added column {spec.name}"
    default = default_of(spec)
    if default is None:
        return ""
    if fill_of(spec.column_type, default) is None or spec.is_json:
        return f"the default of the added column {spec.name} isn't a plain value"
    fills[spec.name] = default
    return ""


def _renamed(name: str, new: str) -> str:
    return f"the column {name} was renamed to {new}"


def _changed(
    edit: ChangeColumn, before: TableDefinition | None, after: TableDefinition | None, altered: Altered
) -> str:
    if edit.name != edit.spec.name:
        return _renamed(edit.name, edit.spec.name)
    if edit.spec.auto_increment and altered.numbers_zeros:
        return f"{edit.name} becomes AUTO_INCREMENT, which numbers rows where it is 0"
    if before is None or after is None:
        return f"the type of {edit.name} may change"
    old, new = _find(before, edit.name), _find(after, edit.spec.name)
    if old is None or new is None:
        return f"the type of {edit.name} may change"
    if old.generated and not new.generated:
        # A virtual column becomes a stored one with the values that it showed.
        return f"{edit.name} is generated no more"
    reason = changed_by(old, new, strict=altered.strict) or _computed(old, new, after)
    return f"{edit.name}: {reason}" if reason else ""


def _computed(old: ColumnDefinition, new: ColumnDefinition, after: TableDefinition) -> str:
    """The expressions are not known: a column that is computed may be computed from this one."""
    is_computed = any(column.generated for column in after.columns if column is not new)
    return (
        "generated columns may change with it" if is_computed and changes_what_is_computed(old, new) else ""
    )


def _converted(before: TableDefinition | None, after: TableDefinition | None, altered: Altered) -> str:
    reason = "CONVERT TO CHARACTER SET"
    if before is None or after is None:
        return reason
    for column in before.columns:
        new = _find(after, column.name)
        if new is None or column.charset is None:
            continue
        if changed_by(column, new, strict=altered.strict) or _computed(column, new, after):
            return reason
    return ""


def _find(definition: TableDefinition, name: str) -> ColumnDefinition | None:
    return next((column for column in definition.columns if same(column.name, name)), None)
