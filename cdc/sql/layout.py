"""The columns that the sink itself adds to a table, by mode."""

from __future__ import annotations

from cdc.sql.dialect import Dialect
from cdc.sql.options import Deletes, Mode

BEFORE = "_cdc_before"
# In targets whose rows are only inserted: the version of a row, where `_cdc_seq` identifies the row.
VERSION = "_cdc_version"


def own_columns(mode: Mode, deletes: Deletes, dialect: Dialect, *, is_keyed: bool) -> list[tuple[str, str]]:
    """Names and types, without `_cdc_before` (append), whose type follows the table's columns."""
    types, is_versioned = dialect.types, dialect.is_versioned
    if mode == "append":
        return [
            ("_cdc_op", types.text),
            ("_cdc_seq", types.bigint),
            ("_cdc_tx", types.text),
            ("_cdc_position", types.text),
            ("_cdc_commit_at", types.moment),
            ("_cdc_unchanged", types.texts),
        ]
    version = [(VERSION, types.bigint)] if is_versioned and (mode == "history" or not is_keyed) else []
    if mode == "history":
        return [
            ("valid_from", types.moment),
            ("valid_to", types.moment),
            ("_cdc_seq", types.bigint),
            ("_cdc_end_seq", types.bigint),
            *version,
        ]
    mirror = [("_cdc_seq", types.bigint), ("_cdc_commit_at", types.moment)]
    deleted = [("_cdc_deleted", types.flag)] if deletes == "soft" or is_versioned else []
    return [*mirror, *deleted, *version]


def reserved_names(mode: Mode, deletes: Deletes, dialect: Dialect) -> list[str]:
    """Names that a source's column can't have."""
    own = [name for name, _ in own_columns(mode, deletes, dialect, is_keyed=False)]
    return [*own, BEFORE] if mode == "append" else own
