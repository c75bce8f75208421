"""The table definition that a TABLE_MAP event carries, and whether it contradicts the known one.

With full metadata the event decides for its rows; `merge` adds the facts that events do not carry from a
definition known otherwise. Without full metadata `fits` says whether a known definition can read its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cdc.errors import DecodeError
from cdc_source_mysql.schema import column_types as types
from cdc_source_mysql.schema.charsets import BINARY_COLLATION, Collation, decode_text
from cdc_source_mysql.schema.column_types import (
    LONGLONG,
    TINY,
    ParsedType,
    event_forms,
    label_type,
    parse_type,
)
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition, as_hidden, is_hash
from cdc_source_mysql.schema.history.states import HistoryState, completed
from cdc_source_mysql.schema.table_map import TableMap

_INTEGER_NAMES = {code: name for name, code in types.INTEGERS.items()}
_FLOAT_NAMES = {code: name for name, (code, _) in types.FLOATS.items()}
_TEMPORAL_NAMES = {new: name for name, (new, _) in types.TEMPORALS.items()}
_LEGACY_NAMES = {old: name for name, (_, old) in types.TEMPORALS.items()}
_TEXT_NAMES = {size: name for name, size in types.TEXTS.items()}
_BLOB_NAMES = {size: name for name, size in types.BLOBS.items()}
_PLAIN_NAMES = {types.YEAR: "year", types.DATE: "date", types.NEWDATE: "date", types.JSON: "json"}
_LABEL_NAMES = {types.ENUM: "enum", types.SET: "set"}
_FIXED_NAMES = {types.STRING: ("char", "binary")}
_VARYING_NAMES = ("varchar", "varbinary")
_VARYING = frozenset({types.VARCHAR, types.VAR_STRING, types.VARCHAR_COMPRESSED})
_BLOBS = frozenset({types.BLOB, types.BLOB_COMPRESSED})
_COMPRESSED = frozenset({types.BLOB_COMPRESSED, types.VARCHAR_COMPRESSED})
# Types that an event shows as a plain one, and that only a definition from elsewhere distinguishes.
_HIDDEN_IN = {
    "binary": frozenset(types.FIXED_BINARIES),
    "varbinary": frozenset({"vector"}),
    "year": frozenset({"year"}),
}
# MariaDB's types that an event shows as a plain one: uuid, inet6, inet4, JSON, vector.
_FIXED = frozenset({"binary(16)", "binary(4)"})
_VERSIONED_TYPE = "timestamp(6)"
# The columns of MariaDB's sequences, whose numbers are logged as rows.
_SEQUENCE_NAMES = (
    *("next_not_cached_value", "minimum_value", "maximum_value", "start_value"),
    *("increment", "cache_size", "cycle_option", "cycle_count"),
)
_SEQUENCE_TYPES = (*[LONGLONG] * 6, TINY, LONGLONG)


def definition_of(
    table_map: TableMap, collations: Mapping[int, Collation], flavour: str
) -> TableDefinition | None:
    """The definition that the event carries; None without full metadata (binlog_row_metadata=FULL).

    Facts that events do not carry get a plain column's values: MariaDB's uuid, inet4 and inet6 become
    binary(n), its JSON longtext, its vectors varbinary; no default, no generation, no engine. `merge` adds
    them.

    Raises:
        DecodeError: a collation that the server's list doesn't have, or labels outside their character set.
    """
    names, collation_ids = table_map.names, table_map.collation_ids
    if names is None or collation_ids is None or table_map.unsigned is None or table_map.labels is None:
        return None
    columns = tuple(
        _column(table_map, at, name, _collation(collation_ids[at], collations))
        for at, name in enumerate(names)
    )
    if flavour == "mariadb":
        columns = tuple(map(as_hidden, columns))
    key = tuple(names[at] for at in table_map.key or ())
    return TableDefinition(table=table_map.table, columns=columns, key=key)


def _collation(number: int, collations: Mapping[int, Collation]) -> Collation | None:
    """None for a column without characters, or with bytes."""
    if number in (0, BINARY_COLLATION):
        return None
    collation = collations.get(number)
    if collation is None:
        message = f"a column with the unknown collation {number}"
        raise DecodeError(message)
    return collation


def _column(table_map: TableMap, at: int, name: str, collation: Collation | None) -> ColumnDefinition:
    code = table_map.types[at]
    labels = _labels(table_map, at, collation.charset if collation else "binary")
    has_characters = code in _VARYING or code in _BLOBS or code in _LABEL_NAMES or code in _FIXED_NAMES
    shown = collation if has_characters else None
    return ColumnDefinition(
        name=name,
        column_type=_type_text(table_map, at, shown, labels),
        charset=shown.charset if shown else None,
        collation=shown.name if shown else None,
        nullable=table_map.nullable[at],
        invisible=not table_map.visible[at] if table_map.visible else False,
        labels=labels,
        compressed=code in _COMPRESSED,
        legacy_temporal=code in _LEGACY_NAMES,
    )


def _labels(table_map: TableMap, at: int, charset: str) -> tuple[str, ...]:
    found = []
    for label in table_map.labels[at] if table_map.labels else ():
        text = decode_text(label, charset)
        if text is None:
            message = f"a label of an enum or set that is not {charset}"
            raise DecodeError(message, where=str(table_map.table))
        found.append(text)
    return tuple(found)


def _type_text(table_map: TableMap, at: int, collation: Collation | None, labels: tuple[str, ...]) -> str:
    code = table_map.types[at]
    if code in _LABEL_NAMES:
        return label_type(_LABEL_NAMES[code], labels)
    if code == types.GEOMETRY:
        return _geometry(table_map, at)
    if code in _VARYING or code in _BLOBS or code in _FIXED_NAMES:
        return _string_text(code, table_map.metas[at], collation)
    return _plain(table_map, at).canonical


def _plain(table_map: TableMap, at: int) -> ParsedType:
    """Types without characters or labels."""
    code, meta = table_map.types[at], table_map.metas[at]
    unsigned = bool(table_map.unsigned and table_map.unsigned[at])
    if code in _INTEGER_NAMES or code in _FLOAT_NAMES:
        return ParsedType(_INTEGER_NAMES.get(code) or _FLOAT_NAMES[code], unsigned=unsigned)
    if code == types.NEWDECIMAL:
        return ParsedType("decimal", (meta >> 8, meta & 0xFF), unsigned)
    if code == types.BIT:
        return ParsedType("bit", ((meta >> 8) * 8 + (meta & 0xFF),))
    if code == types.VECTOR:
        return ParsedType("vector", (table_map.dimensions[at],) if table_map.dimensions else ())
    if code in _PLAIN_NAMES:
        return ParsedType(_PLAIN_NAMES[code])
    return ParsedType(_TEMPORAL_NAMES.get(code) or _LEGACY_NAMES[code], (meta,) if meta else ())


def _geometry(table_map: TableMap, at: int) -> str:
    number = table_map.geometries[at] if table_map.geometries else 0
    if number >= len(types.GEOMETRIES):
        message = f"a geometry of the unknown kind {number}"
        raise DecodeError(message, where=str(table_map.table))
    return types.GEOMETRIES[number]


def _string_text(code: int, meta: int, collation: Collation | None) -> str:
    if code in _BLOBS:
        names = _TEXT_NAMES if collation else _BLOB_NAMES
        if meta not in names:
            message = f"a blob with lengths of {meta} bytes"
            raise DecodeError(message)
        return names[meta]
    characters, octets = _FIXED_NAMES.get(code, _VARYING_NAMES)
    size = meta - (code == types.VARCHAR_COMPRESSED)
    if collation is None:
        return ParsedType(octets, (size,)).canonical
    return ParsedType(characters, (size // collation.max_bytes,)).canonical


def merge(event: TableDefinition, known: TableDefinition | None) -> TableDefinition:
    """The event's definition with what it lacks taken from `known`, column by column of equal name where
    the two can be the same column. The event's key is the primary key or what the server takes for it.
    """
    if known is None:
        return event
    by_name = {column.name: column for column in known.columns}
    columns = tuple(_merged(column, by_name.get(column.name)) for column in event.columns)
    required = {column.name for column in columns if not column.nullable}
    period = known.period if set(event.names).issuperset(known.period) else ()
    # The end of a row's period is a part of every key of a versioned table, but identifies no row.
    told = tuple(name for name in event.key if name not in period)
    key = told or (known.key if required.issuperset(known.key) else ())
    return replace(event, columns=columns, key=key, engine=event.engine or known.engine, period=period)


def _merged(event: ColumnDefinition, known: ColumnDefinition | None) -> ColumnDefinition:
    if known is None or not _can_be_same(event, known):
        return event
    if is_hash(event) != is_hash(known):
        event = replace(event, invisible=False)
    return replace(
        event,
        column_type=known.column_type,
        generated=known.generated,
        invisible=event.invisible or known.invisible,
        default=known.default,
        is_json=known.is_json,
        srid=known.srid,
    )


def _can_be_same(event: ColumnDefinition, known: ColumnDefinition) -> bool:
    """Return whether the event shows the known column."""
    told = (event.collation, event.compressed, event.legacy_temporal)
    if told != (known.collation, known.compressed, known.legacy_temporal):
        return False
    if event.column_type == known.column_type:
        return True
    shown, wanted = parse_type(event.column_type), parse_type(known.column_type)
    if event.legacy_temporal:
        return shown.base == wanted.base
    hidden = _HIDDEN_IN.get(shown.base, frozenset())
    return wanted.base in hidden and bool({*event_forms(event)} & {*event_forms(known)})


def fits(table_map: TableMap, definition: TableDefinition, collations: Mapping[int, Collation]) -> str:
    """'' when rows under this event can be read by the definition, else why not (for people)."""
    if len(table_map.types) != len(definition.columns):
        return f"the event has {len(table_map.types)} columns, the definition {len(definition.columns)}"
    for at, column in enumerate(definition.columns):
        reason = _contradiction(table_map, at, column, collations)
        if reason:
            return f"column {column.name}: {reason}"
    return ""


def _contradiction(
    table_map: TableMap, at: int, column: ColumnDefinition, collations: Mapping[int, Collation]
) -> str:
    form = (table_map.types[at], table_map.metas[at])
    if form not in event_forms(column):
        return f"the event's type {form[0]} ({form[1]}) is not that of {column.column_type}"
    # A column that became nullable is another version of it.
    if table_map.nullable[at] != column.nullable and not is_hash(column):
        return "the event and the definition disagree whether it can be null"
    if table_map.names and table_map.names[at] != column.name:
        return f"the event names it {table_map.names[at]}"
    parsed = parse_type(column.column_type)
    # Events call a year unsigned.
    signed_matters = parsed.base != "year" and table_map.unsigned is not None
    if signed_matters and table_map.unsigned and table_map.unsigned[at] != parsed.unsigned:
        return "the event and the definition disagree whether it is signed"
    number = table_map.collation_ids[at] if table_map.collation_ids else 0
    if number and (reason := _wrong_charset(number, column, collations)):
        return reason
    if (
        table_map.labels
        and column.labels
        and _labels(table_map, at, column.charset or "binary") != column.labels
    ):
        return "the event has other labels"
    return ""


def _wrong_charset(number: int, column: ColumnDefinition, collations: Mapping[int, Collation]) -> str:
    collation = collations.get(number)
    charset = collation.charset if collation else f"of collation {number}"
    told = None if number == BINARY_COLLATION else charset
    if told != column.charset:
        return f"the event's character set is {told or 'binary'}, not {column.charset or 'binary'}"
    return ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The definition for the event's rows; None with the `reason` why only the catalog has it. `is_unproven`:
    the event contradicts what was known, so a change had no statement.
    """

    definition: TableDefinition | None
    reason: str = ""
    is_unproven: bool = False


def judge(
    state: HistoryState | None,
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
    is_unproven = state is None or known is not None
    reason = contradiction or (state.reason if state is not None else "no statement created it")
    hidden = _hidden(event, base) if flavour == "mariadb" else ""
    if hidden:
        return Verdict(None, f"{reason}; {hidden}", is_unproven=is_unproven)
    if known is None:
        # The event names the key that the server uses; another's may not be unique any more.
        merged = replace(
            merged, key=event.key, columns=tuple(replace(c, default=None) for c in merged.columns)
        )
    return Verdict(merged, reason, is_unproven=is_unproven)


def is_sequence(state: HistoryState | None, table_map: TableMap) -> bool:
    """Return whether the event is of a MariaDB sequence; without names, whether it looks so and nothing says
    that it is a table.
    """
    if table_map.names is not None:
        return table_map.names == _SEQUENCE_NAMES
    is_known = state is not None and (state.known is not None or state.hint is not None)
    return not is_known and table_map.types == _SEQUENCE_TYPES and not any(table_map.nullable)


def known_by(
    state: HistoryState | None, table_map: TableMap, collations: Mapping[int, Collation]
) -> TableDefinition | None:
    """Return the definition that is certain once an event has the character sets that a draft leaves open."""
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
    """How an event contradicts the known definition; '' when values are named and decoded alike."""
    if merged.names != known.names:
        return "the event has other columns"
    for shown, column in zip(merged.columns, known.columns, strict=True):
        told = (shown.column_type, shown.charset, shown.compressed)
        if told != (column.column_type, column.charset, column.compressed):
            return f"the event has another type for {column.name}"
    return ""


def _hidden(event: TableDefinition, base: TableDefinition | None) -> str:
    """Why MariaDB's event does not define the table, where nothing else does; '' when it does."""
    known = {column.name: column for column in base.columns} if base is not None else {}
    for column in event.columns:
        other = known.get(column.name)
        if _is_ambiguous(column) and (other is None or not {*event_forms(column)} & {*event_forms(other)}):
            shown = column.column_type
            return f"the binary log shows column {column.name} as {shown}, which stands for several types"
    for column in event.columns:
        if column.nullable and column.name not in known and not is_hash(column):
            return f"the binary log does not show whether column {column.name} is generated"
    required = [c for c in event.columns if c.column_type == _VERSIONED_TYPE and not c.nullable]
    if len([column for column in required if column.name not in known]) > 1:
        return "the binary log does not show whether the table is system-versioned"
    return ""


def _is_ambiguous(column: ColumnDefinition) -> bool:
    if column.column_type in _FIXED or column.column_type == "longtext":
        return True
    parsed = parse_type(column.column_type)
    return parsed.base == "varbinary" and parsed.first % 4 == 0
