"""Identifiers: how they are quoted, and what those of the source are called in the file.

DuckDB compares names without regard to ASCII case, so two that differ only there can't both exist: one of
them gets a suffix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping

from cdc.errors import SinkRefused
from cdc.model import TableId, TableSchema
from cdc_sink_duckdb.options import Identifiers

OWN_SCHEMA = "_cdc"
# Schemas that DuckDB fills itself and refuses to create.
SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog", OWN_SCHEMA})
# Enough to keep apart the few names that differ in case only.
SUFFIX_DIGITS = 6
FAIL_REMEDY = "Set `identifiers: suffix` for this sink, or rename one of them in the source."

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


def is_folded(table: TableId) -> bool:
    """Whether the name has no capital letter of ASCII."""
    return folded(str(table)) == str(table)


def qualified(catalog: str, table: TableId) -> str:
    """Three parts: with two, a schema that is named like the file would be ambiguous."""
    return f"{quoted(catalog)}.{quoted(table.schema)}.{quoted(table.name)}"


def column_names(
    schema: TableSchema, reserved: Iterable[str], held: Mapping[str, str], identifiers: Identifiers
) -> dict[str, str]:
    """Return the name in the file of every column of the schema, by its name in the source.

    A column keeps the name that it holds already. The others are called as in the source, with a suffix
    where the sink or an earlier column has the name.

    Raises:
        SinkRefused: a name is taken, and `identifiers` is `fail`.
    """
    own = {folded(name): name for name in reserved}
    taken = own | {folded(name): source for source, name in held.items()}
    made = {}
    for column in schema.columns:
        name = held.get(column.name)
        if name is None:
            other = taken.get(folded(column.name))
            if other is not None and identifiers == "fail":
                raise _column_refused(schema, column.name, other, is_own=folded(column.name) in own)
            name = column.name if other is None else suffixed(column.name, column.name, taken)
            taken[folded(name)] = column.name
        made[column.name] = name
    return made


def suffixed(name: str, exact: str, taken: Container[str]) -> str:
    """Return the name with a suffix that depends only on `exact`, longer where that is taken too; `taken`
    holds folded names.
    """
    digest = hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()
    lengths = range(SUFFIX_DIGITS, len(digest) + 1)
    return next(made for n in lengths if folded(made := f"{name}__{digest[:n]}") not in taken)


def _column_refused(schema: TableSchema, name: str, other: str, *, is_own: bool) -> SinkRefused:
    kind = "a column of the sink" if is_own else "another column"
    return SinkRefused(
        f"the column {name!r} has the name of {kind}, {other!r} (DuckDB ignores case in names)",
        where=str(schema.table),
        remedy=FAIL_REMEDY,
    )
