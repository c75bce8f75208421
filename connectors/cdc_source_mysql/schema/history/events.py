"""What a TABLE_MAP event with full metadata tells, beside what is known of its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.schema.column_types import LONGLONG, TINY, event_forms, parse_type
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.hidden import is_hash
from cdc_source_mysql.schema.history.event_definitions import merge
from cdc_source_mysql.schema.history.states import State, completed
from cdc_source_mysql.schema.table_map import TableMap

# MariaDB's types that an event shows as a plain one: uuid, inet6, inet4, JSON, vector.
_FIXED = frozenset({"binary(16)", "binary(4)"})
_VERSIONED_TYPE = "timestamp(6)"
# The columns of MariaDB's sequences, whose numbers are logged as rows.
_SEQUENCE_NAMES = (
    *("next_not_cached_value", "minimum_value", "maximum_value", "start_value"),
    *("increment", "cache_size", "cycle_option", "cycle_count"),
)
_SEQUENCE_TYPES = (*[LONGLONG] * 6, TINY, LONGLONG)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The definition for the event's rows; None with the `reason` why only the catalog has it. `is_untold`:
    the event contradicts what was known, so a change was never told.
    """

    definition: TableDefinition | None
    reason: str = ""
    is_untold: bool = False


def judge(
    state: State | None,
    event: TableDefinition,
    table_map: TableMap,
    collations: Mapping[int, Collation],
    flavour: str,
) -> Verdict:
    """`event` is what `definition_of` makes of the table map."""
    known = known_by(state, table_map, collations)
    base = known or (state.hint if state is not None else None)
    if base is not None:
        base = _with_collations(base.labelled_as(event), event)
    merged = merge(event, base)
    contradiction = _contradicts(merged, base) if known is not None and base is not None else ""
    if known is not None and not contradiction:
        return Verdict(merged)
    is_untold = state is None or known is not None
    reason = contradiction or (state.reason if state is not None else "no statement created it")
    hidden = _hidden(event, base) if flavour == "mariadb" else ""
    if hidden:
        return Verdict(None, f"{reason}; {hidden}", is_untold=is_untold)
    if known is None:
        # The event names the key that the server uses; another's may not be unique any more.
        merged = replace(
            merged, key=event.key, columns=tuple(replace(c, default=None) for c in merged.columns)
        )
    return Verdict(merged, reason, is_untold=is_untold)


def is_sequence(state: State | None, table_map: TableMap) -> bool:
    """Whether the event is of a MariaDB sequence; without names, whether it looks so and nothing says that
    it is a table.
    """
    if table_map.names is not None:
        return table_map.names == _SEQUENCE_NAMES
    is_known = state is not None and (state.known is not None or state.hint is not None)
    return not is_known and table_map.types == _SEQUENCE_TYPES and not any(table_map.nullable)


def known_by(
    state: State | None, table_map: TableMap, collations: Mapping[int, Collation]
) -> TableDefinition | None:
    """What is sure, once an event has told the character sets that a draft leaves open."""
    if state is None:
        return None
    if state.definition is not None or state.draft is None:
        return state.definition
    return completed(state.draft, table_map, collations)


def _with_collations(known: TableDefinition, event: TableDefinition) -> TableDefinition:
    """The known definition with the event's collations where the character set is the same: a statement's
    collation may be the server's choice, and no value depends on it.
    """
    told = {column.name: column for column in event.columns}
    columns = tuple(
        replace(column, collation=told[column.name].collation)
        if column.name in told and column.charset == told[column.name].charset
        else column
        for column in known.columns
    )
    return replace(known, columns=columns)


def _contradicts(merged: TableDefinition, known: TableDefinition) -> str:
    """What an event shows that isn't as known; '' when nothing that decodes or names a value."""
    if merged.names != known.names:
        return "the event has other columns"
    for shown, column in zip(merged.columns, known.columns, strict=True):
        told = (shown.column_type, shown.charset, shown.compressed)
        if told != (column.column_type, column.charset, column.compressed):
            return f"the event has another type for {column.name}"
    return ""


def _hidden(event: TableDefinition, base: TableDefinition | None) -> str:
    """What no event of MariaDB tells and nothing else does; '' when all is told."""
    known = {column.name: column for column in base.columns} if base is not None else {}
    for column in event.columns:
        other = known.get(column.name)
        if _is_ambiguous(column) and (other is None or not {*event_forms(column)} & {*event_forms(other)}):
            return f"no event tells what kind of {column.column_type} {column.name} is"
    for column in event.columns:
        if column.nullable and column.name not in known and not is_hash(column):
            return f"no event tells whether {column.name} is generated"
    required = [c for c in event.columns if c.column_type == _VERSIONED_TYPE and not c.nullable]
    if len([column for column in required if column.name not in known]) > 1:
        return "no event tells of system versioning"
    return ""


def _is_ambiguous(column: ColumnDefinition) -> bool:
    if column.column_type in _FIXED or column.column_type == "longtext":
        return True
    parsed = parse_type(column.column_type)
    return parsed.base == "varbinary" and parsed.first % 4 == 0
