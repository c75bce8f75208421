"""How the catalog's definition of a table differs from the history's, where rows depend on it.

Defaults, engines, collations and visibility are left out: rows are read alike whatever they are, and the
history doesn't know them all.
"""

from __future__ import annotations

from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition, is_hash

# A server that is upgraded calls the same character set by its new name.
_RENAMED_CHARSETS = {"utf8": "utf8mb3"}


def difference(known: TableDefinition, shown: TableDefinition) -> str:
    """What the catalog shows otherwise (for people); '' when rows are read alike."""
    shown = shown.labelled_as(known)
    if known.names != shown.names:
        if sorted(known.names) == sorted(shown.names):
            return "its columns are in another order"
        return f"its columns are {', '.join(shown.names)}, not {', '.join(known.names)}"
    for column, other in zip(known.columns, shown.columns, strict=True):
        if column.labels and other.labels and column.labels != other.labels:
            return f"column {column.name} has other labels"
        if _traits(column) != _traits(other):
            return f"column {column.name} is {_spelled(other)}, not {_spelled(column)}"
    if known.key != shown.key:
        return f"its key is ({', '.join(shown.key)}), not ({', '.join(known.key)})"
    return ""


def _traits(column: ColumnDefinition) -> tuple[object, ...]:
    charset = _RENAMED_CHARSETS.get(column.charset, column.charset) if column.charset else None
    # Statements don't say whether a hidden column can be null.
    nullable = None if is_hash(column) else column.nullable
    return (
        *(column.column_type, charset, nullable, column.generated),
        *(column.is_json, column.compressed, column.legacy_temporal),
    )


def _spelled(column: ColumnDefinition) -> str:
    # Labels may be many.
    base = column.column_type.partition("(")[0] if column.labels else column.column_type
    charset = f" character set {column.charset}" if column.charset else ""
    generated = " generated" if column.generated else ""
    json = " (json)" if column.is_json else ""
    return f"{base}{charset}{generated}{json}{' null' if column.nullable else ' not null'}"
