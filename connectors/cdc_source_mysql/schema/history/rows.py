"""Effect of an ALTER TABLE on the stored rows: nothing, a fill for an added column, or anything.

A changed column leaves its stored values alone (`changed_by` returns '') only where every value, as sinks
get it, is the same before and after, under the same Arrow type; any other change counts.
`changes_what_is_computed` asks the same of columns that the server computes from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from cdc_source_mysql.schema.column_defaults import default_of, fill_of
from cdc_source_mysql.schema.column_types import ParsedType, parse_type
from cdc_source_mysql.schema.ddl.changes import (
    AddColumn,
    AddIndex,
    Altered,
    ChangeColumn,
    ColumnSpec,
    ConvertCharset,
    Default,
    DropColumn,
    DropPrimaryKey,
    Edit,
    Index,
    RenameColumn,
    Repaired,
    SetDefault,
    SetEngine,
    SetVisible,
)
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition, is_hash, keeps_rows
from cdc_source_mysql.schema.history.edits import same
from cdc_source_mysql.schema.history.states import HistoryState

# Sizes in characters or bytes may grow within a family, and a size into the unlimited type behind it.
_TEXT_ORDER = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BYTES_ORDER = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_LARGEST = {
    "tinytext": 255,
    "text": 65535,
    "mediumtext": 16777215,
    "longtext": 4294967295,
    "tinyblob": 255,
    "blob": 65535,
    "mediumblob": 16777215,
    "longblob": 4294967295,
}
# Integers of one Arrow type, narrow to wide.
_SAME_INTEGERS = frozenset({("mediumint", "int")})
# Every character of the first is the same character of the second.
_SUPERSETS = frozenset({("ascii", "utf8mb3"), ("ascii", "utf8mb4"), ("utf8mb3", "utf8mb4")})
# Their values look the same whatever the size of the type.
_SHOWN_AS_THEY_ARE = frozenset({"varchar", "varbinary", "enum", "set"})
# The greatest length in a prefix of one byte.
_ONE_BYTE = 255
# The longest character of any character set, in bytes.
_LONGEST_CHARACTER = 4


def changed_by(old: ColumnDefinition, new: ColumnDefinition, altered: Altered) -> str:
    """Why stored values may be others under the new definition; '' when they aren't."""
    if new.generated:
        return "a generated column is computed again"
    if old.nullable and not new.nullable and not _refuses_null(new.column_type, altered):
        return "NULL becomes a value in a column that is NOT NULL now"
    if old.charset != new.charset and (old.charset, new.charset) not in _SUPERSETS:
        return f"the character set changes from {old.charset or 'binary'} to {new.charset or 'binary'}"
    if old.is_json != new.is_json:
        return "JSON becomes text, or text JSON"
    before, after = parse_type(old.column_type), parse_type(new.column_type)
    if altered.pads and before.base == "char" != after.base:
        return "the sql_mode PAD_CHAR_TO_FULL_LENGTH adds spaces"
    return _by_type(before, after, _shape(old, new))


def _refuses_null(column_type: str, altered: Altered) -> bool:
    """Return whether the server refuses NULL in a column that becomes NOT NULL, instead of changing it."""
    # Even then, a copying ALTER puts the present time into a TIMESTAMP.
    return altered.strict and not column_type.startswith("timestamp")


def changes_what_is_computed(old: ColumnDefinition, new: ColumnDefinition) -> bool:
    """Return whether an expression over the column may give other values though the column's own are the
    same: by another collation, or digits that a wider type shows.
    """
    if (old.charset, old.collation) != (new.charset, new.collation):
        return True
    before, after = parse_type(old.column_type), parse_type(new.column_type)
    is_the_same_kind = before.base == after.base and before.base in _SHOWN_AS_THEY_ARE
    if is_the_same_kind and before.base.startswith("var"):
        # With a longer prefix of its length, the server copies the rows.
        is_the_same_kind = before.first > _ONE_BYTE or after.first * _LONGEST_CHARACTER <= _ONE_BYTE
    return before != after and not is_the_same_kind


def _shape(old: ColumnDefinition, new: ColumnDefinition) -> str:
    return f"the type changes from {old.column_type} to {new.column_type}"


def _by_type(old: ParsedType, new: ParsedType, reason: str) -> str:
    if old == new:
        return ""
    if old.base in {"enum", "set"}:
        is_longer = new.base == old.base and new.labels[: len(old.labels)] == old.labels
        return "" if is_longer else reason
    if (old.base, new.base) in _SAME_INTEGERS and old.unsigned == new.unsigned:
        return ""
    if old.base in {"datetime", "timestamp"} and old.base == new.base and new.first >= old.first:
        return ""
    if old.base == new.base == "bit" and 1 < old.first <= new.first:
        return ""
    return "" if _grows(old, new) else reason


def _grows(old: ParsedType, new: ParsedType) -> bool:
    for order in (_TEXT_ORDER, _BYTES_ORDER):
        if old.base in order and new.base in order:
            if new.base == "char" and old.base != "char":
                # Trailing spaces are lost.
                return False
            return _capacity(new) >= _wanted(old, new)
    return False


def _capacity(parsed: ParsedType) -> int:
    return _LARGEST.get(parsed.base) or parsed.first


def _wanted(old: ParsedType, new: ParsedType) -> int:
    """Return the size that the new type must hold, in its own unit: bytes of a text, characters of a char."""
    if old.base in {"char", "varchar"} and new.base in _LARGEST:
        return old.first * _LONGEST_CHARACTER
    return _capacity(old)


class RowEffects(NamedTuple):
    """`reason`: why the table is to be copied again ('': it isn't). The rest is for its State."""

    reason: str
    fills: Mapping[str, Default]
    dropped: frozenset[str]


def rows_after(state: HistoryState, after: TableDefinition | None, altered: Altered) -> RowEffects:
    """The effects on rows; without `after` (of which only the columns matter), everything that may change
    values does.
    """
    dropped = state.dropped | {name.lower() for edit in altered.edits for name in _left_name(edit)}
    fills = {name: fill for name, fill in state.fills.items() if name.lower() not in dropped}
    reasons = []
    for edit in altered.edits:
        if isinstance(edit, AddColumn):
            reasons.append(_added(edit, state, dropped, fills))
        elif isinstance(edit, RenameColumn):
            reasons.append(_renamed(edit.name, edit.new))
        elif isinstance(edit, ChangeColumn):
            reasons.append(_changed(edit, state.definition, after, altered) or _filled(edit, state))
            fills.pop(edit.name, None) if reasons[-1] else None
        elif isinstance(edit, SetDefault):
            reasons.append(_defaulted(edit.name, state, altered))
            fills.pop(edit.name, None) if reasons[-1] else None
        elif isinstance(edit, ConvertCharset):
            reasons.append(_converted(state.definition, edit, altered))
        elif isinstance(edit, SetEngine) and state.definition and not keeps_rows(state.definition.engine):
            reasons.append(f"the engine {state.definition.engine} may have kept no rows, or others")
        elif isinstance(edit, Repaired) and not _cannot_be_repaired(state):
            reasons.append("REPAIR drops damaged rows")
        elif isinstance(edit, AddIndex) and _turns_null(edit.index, state.definition, altered):
            reasons.append("a primary key turns NULL into values")
    reasons.append(_recomputed(state.definition, altered))
    reason = next((reason for reason in reasons if reason), "")
    return RowEffects(reason, fills, dropped)


def _left_name(edit: Edit) -> tuple[str, ...]:
    """The name that a column has no longer: sinks may keep its values under it."""
    if isinstance(edit, RenameColumn):
        return () if same(edit.name, edit.new) else (edit.name,)
    if isinstance(edit, ChangeColumn):
        return () if same(edit.name, edit.spec.name) else (edit.name,)
    return (edit.name,) if isinstance(edit, DropColumn) else ()


def _filled(edit: ChangeColumn, state: HistoryState) -> str:
    """Rows older than the column have its default as a value of the type that it had then."""
    fill = state.fills.get(edit.name)
    old = None if fill is None or state.definition is None else _find(state.definition, edit.name)
    if fill is None or (old and fill_of(old.column_type, fill) == fill_of(edit.spec.column_type, fill)):
        return ""
    return f"{edit.name}: the default that older rows have reads otherwise as {edit.spec.column_type}"


def _turns_null(index: Index, before: TableDefinition | None, altered: Altered) -> bool:
    if not index.primary or not altered.strict:
        return index.primary
    added = [edit.spec for edit in altered.edits if isinstance(edit, AddColumn)]
    if any(same(spec.name, name) and default_of(spec) is None for spec in added for name in index.columns):
        # A table of one row: its column has the type's zero, whatever the clause says.
        return True
    if before is None:
        return True
    columns = (_find(before, name) for name in index.columns)
    return any(c is not None and c.nullable and not _refuses_null(c.column_type, altered) for c in columns)


def _cannot_be_repaired(state: HistoryState) -> bool:
    """InnoDB refuses to; mysqlcheck asks for it nevertheless."""
    return state.definition is not None and state.definition.engine.lower() == "innodb"


def _added(edit: AddColumn, state: HistoryState, dropped: frozenset[str], fills: dict[str, Default]) -> str:
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
        return f"the default of the added column {spec.name} is not a plain value"
    fills[spec.name] = default
    return ""


def _renamed(name: str, new: str) -> str:
    return f"the column {name} was renamed to {new}"


def _changed(
    edit: ChangeColumn, before: TableDefinition | None, after: TableDefinition | None, altered: Altered
) -> str:
    if edit.name != edit.spec.name:
        return _renamed(edit.name, edit.spec.name)
    if before is None or after is None:
        return f"the type of {edit.name} may change"
    old, new = _find(before, edit.name), _find(after, edit.spec.name)
    if old is None or new is None:
        return f"the type of {edit.name} may change"
    if old.name != new.name:
        # MODIFY may spell the name otherwise.
        return _renamed(old.name, new.name)
    reason = _remade(edit.spec, old, altered) or changed_by(old, new, altered) or _computed(old, new, after)
    return f"{edit.name}: {reason}" if reason else ""


def _remade(spec: ColumnSpec, old: ColumnDefinition, altered: Altered) -> str:
    """Why values may be others although both types can have them."""
    if spec.auto_increment and (altered.numbers_zeros or old.nullable):
        return "AUTO_INCREMENT numbers rows where it is 0 or NULL"
    if spec.rounds:
        return "its values are rounded to the digits of the type"
    if old.generated and not spec.generated:
        # A virtual column becomes a stored one with the values that it showed.
        return "it is no longer generated"
    if not spec.is_sure and old.nullable and not _refuses_null(spec.column_type, altered):
        return "the server's settings decide whether it is NOT NULL now"
    return ""


def _computed(old: ColumnDefinition, new: ColumnDefinition, after: TableDefinition) -> str:
    """The expressions are not known: a column that is computed may be computed from this one, or from its
    default.
    """
    if not _computes(after, beside=new.name):
        return ""
    is_other = old.default != new.default or changes_what_is_computed(old, new)
    return "generated columns may change with it" if is_other else ""


def _converted(before: TableDefinition | None, edit: ConvertCharset, altered: Altered) -> str:
    """By the columns before: those that are changed besides have a clause of their own."""
    reason = "CONVERT TO CHARACTER SET"
    if before is None or edit.charset in (None, "binary"):
        return reason
    for column in before.columns:
        new = replace(column, charset=edit.charset, collation=edit.collation)
        if column.charset is None:
            continue
        if changed_by(column, new, altered) or _computed(column, new, before):
            return reason
    return ""


def _recomputed(before: TableDefinition | None, altered: Altered) -> str:
    """A server that copies the rows computes stored columns by the session's time zone and other settings."""
    if before is None or not _computes(before):
        return ""
    copies = before.engine.lower() not in ("", "innodb") and any(
        not isinstance(edit, SetDefault | SetVisible) for edit in altered.edits
    )
    is_rekeyed = any(isinstance(edit, DropPrimaryKey) for edit in altered.edits)
    return "generated columns may be computed again" if copies or is_rekeyed or altered.rebuilds else ""


def _computes(definition: TableDefinition, beside: str = "") -> bool:
    """Return whether the table has generated columns, apart from `beside` and those that the server adds."""
    hidden = (beside, *definition.period)
    return any(c.generated and c.name not in hidden and not is_hash(c) for c in definition.columns)


def _defaulted(name: str, state: HistoryState, altered: Altered) -> str:
    if any(isinstance(edit, AddColumn) and same(edit.spec.name, name) for edit in altered.edits):
        return f"the default of the added column {name} is set by another clause"
    if state.definition is not None and _computes(state.definition):
        return f"generated columns may contain the default of {name}"
    return ""


def _find(definition: TableDefinition, name: str) -> ColumnDefinition | None:
    return next((column for column in definition.columns if same(column.name, name)), None)
