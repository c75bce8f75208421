"""Identifiers: how they are quoted, and which of the source's can't be taken over.

DuckDB compares names without regard to ASCII case, so two that differ only there can't both exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from cdc.errors import SinkRefused
from cdc.model import TableId, TableSchema

OWN_SCHEMA = "_cdc"
# Schemas that DuckDB fills itself and refuses to create.
SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog", OWN_SCHEMA})
# What was captured under the name is in the log and would come again: only a new one is without it.
AFRESH = "then start with a new state_dir and new, empty sinks"

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def quoted(name: str) -> str:
    """The name as a SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def folded(name: str) -> str:
    """Equal for two names exactly when DuckDB takes them for one."""
    return name.translate(_ASCII_LOWER)


def qualified(catalog: str, table: TableId) -> str:
    """Three parts: with two, a schema that is named like the file would be ambiguous."""
    return f"{quoted(catalog)}.{quoted(table.schema)}.{quoted(table.name)}"


def check_names(schema: TableSchema, reserved: Iterable[str]) -> None:
    """Refuse a table that DuckDB can't hold under its own names."""
    where = str(schema.table)
    if folded(schema.table.schema) in SYSTEM_SCHEMAS:
        raise SinkRefused(
            f"the source's schema {schema.table.schema!r} has the name of one of the sink's own schemas",
            where=where,
            remedy=f"Exclude its tables from the source's `tables`, or rename the schema; {AFRESH}.",
        )
    taken = {folded(name): name for name in reserved}
    for column in schema.columns:
        other = taken.setdefault(folded(column.name), column.name)
        if other is column.name:
            continue
        kind = "a column of the sink" if other in reserved else "another column"
        raise SinkRefused(
            f"the column {column.name!r} has the name of {kind}, {other!r} (DuckDB ignores case in names)",
            where=where,
            remedy=f"Exclude the table from the source's `tables`, or rename the column there; {AFRESH}.",
        )
