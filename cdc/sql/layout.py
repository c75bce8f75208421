"""The columns that the sink itself adds to a table, by mode."""

from __future__ import annotations

from cdc.sql.dialect import OwnTypes
from cdc.sql.options import Deletes, Mode

BEFORE = "_cdc_before"


def own_columns(mode: Mode, deletes: Deletes, types: OwnTypes) -> list[tuple[str, str]]:
    """Names and types, without `_cdc_before` (append), whose type follows the table's columns."""
    if mode == "append":
        return [
            ("_cdc_op", types.text),
            ("_cdc_seq", types.bigint),
            ("_cdc_tx", types.text),
            ("_cdc_position", types.text),
            ("_cdc_commit_at", types.moment),
            ("_cdc_unchanged", types.texts),
        ]
    if mode == "history":
        return [
            ("valid_from", types.moment),
            ("valid_to", types.moment),
            ("_cdc_seq", types.bigint),
            ("_cdc_end_seq", types.bigint),
        ]
    mirror = [("_cdc_seq", types.bigint), ("_cdc_commit_at", types.moment)]
    return [*mirror, ("_cdc_deleted", types.flag)] if deletes == "soft" else mirror


def reserved_names(mode: Mode, deletes: Deletes, types: OwnTypes) -> list[str]:
    """Names that a source's column can't have."""
    own = [name for name, _ in own_columns(mode, deletes, types)]
    return [*own, BEFORE] if mode == "append" else own
