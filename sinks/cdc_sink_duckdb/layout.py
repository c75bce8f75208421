"""The columns that the sink itself adds to a table, by mode."""

from __future__ import annotations

from collections.abc import Iterable

from cdc_sink_duckdb.catalog import StoredColumn
from cdc_sink_duckdb.names import quoted
from cdc_sink_duckdb.options import Deletes, Mode

Columns = list[tuple[str, str]]

_MIRROR: Columns = [("_cdc_seq", "BIGINT"), ("_cdc_commit_at", "TIMESTAMPTZ")]
_SOFT: Columns = [("_cdc_deleted", "BOOLEAN")]
_APPEND: Columns = [
    ("_cdc_op", "VARCHAR"),
    ("_cdc_seq", "BIGINT"),
    ("_cdc_tx", "VARCHAR"),
    ("_cdc_position", "VARCHAR"),
    ("_cdc_commit_at", "TIMESTAMPTZ"),
    ("_cdc_unchanged", "VARCHAR[]"),
]
_HISTORY: Columns = [
    ("valid_from", "TIMESTAMPTZ"),
    ("valid_to", "TIMESTAMPTZ"),
    ("_cdc_seq", "BIGINT"),
    ("_cdc_end_seq", "BIGINT"),
]


def own_columns(mode: Mode, deletes: Deletes) -> Columns:
    """Names and DuckDB types; `_cdc_before` (append) is not among them, since its type follows the table's
    columns.
    """
    if mode == "append":
        return list(_APPEND)
    if mode == "history":
        return list(_HISTORY)
    return [*_MIRROR, *(_SOFT if deletes == "soft" else [])]


def reserved_names(mode: Mode, deletes: Deletes) -> list[str]:
    """Names that a source's column can't have."""
    return [name for name, _ in own_columns(mode, deletes)] + (["_cdc_before"] if mode == "append" else [])


def before_type(columns: Iterable[StoredColumn]) -> str:
    """The type of `_cdc_before`: a struct of the table's columns."""
    return "STRUCT(" + ", ".join(f"{quoted(c.name)} {c.type}" for c in columns) + ")"
