"""Whether a statement on MariaDB may change which hidden columns a table's long unique keys have."""

from __future__ import annotations

from collections.abc import Iterable

from cdc_source_mysql.schema.ddl.changes import AddIndex, Edit, Index, SetDefault, SetEngine
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.hidden import is_hash, may_need_hash
from cdc_source_mysql.schema.history.edits import ShapeUnsure

_SHAPELESS = (SetDefault, SetEngine)


def require_no_hash(definition: TableDefinition, indexes: Iterable[Index]) -> None:
    """Refuse a definition made by a statement if one of these unique indexes may have a hidden column."""
    by_name = {column.name.lower(): column for column in definition.columns}
    for index in indexes:
        columns = [by_name[name.lower()] for name in index.columns if name.lower() in by_name]
        if not index.primary and may_need_hash(columns, definition.engine):
            raise ShapeUnsure("a long unique key may have a hidden column")


def require_same_hashes(before: TableDefinition, after: TableDefinition, edits: Iterable[Edit]) -> None:
    """Refuse what an ALTER TABLE made if it may have other hidden columns, or they stand elsewhere."""
    edits = tuple(edits)
    has_hashes = any(map(is_hash, before.columns))
    if has_hashes and not all(isinstance(edit, _SHAPELESS) for edit in edits):
        raise ShapeUnsure("a long unique key has a hidden column behind all others")
    require_no_hash(after, (edit.index for edit in edits if isinstance(edit, AddIndex)))
