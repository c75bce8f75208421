"""Mode append: every change is a row, with the whole envelope; nothing is ever altered.

In a replay the caller first deletes the rows of the delivery's range (`forget`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from cdc.model import ChangeBatch, Envelope
from cdc.sql.dialect import GIVEN, Connection
from cdc.sql.layout import BEFORE, own_columns
from cdc.sql.mapping import Change, ColumnMapping

_OWN = {
    "_cdc_op": "r.op",
    "_cdc_seq": "r.s",
    "_cdc_tx": "r.tx",
    "_cdc_position": "r.position",
    "_cdc_commit_at": "r.at",
    "_cdc_unchanged": "r.unchanged",
}
_UNCHANGED = pa.list_(pa.string())


def apply(change: Change) -> None:
    """Insert the changes."""
    for batch in change.batches:
        _insert(change, batch)


def forget(connection: Connection, target: str, first: int, end: int) -> None:
    """Delete the changes with first ≤ `_cdc_seq` < end, which will be inserted again."""
    connection.run(f"delete from {target} where _cdc_seq >= {first} and _cdc_seq < {end}")


def _insert(change: Change, batch: ChangeBatch) -> None:
    mapping = change.mapping
    own = dict(_OWN)
    if mapping.columns:
        own[BEFORE] = _before_values(mapping) if batch.before is not None else "null"
    staged = _staged(mapping, batch)
    if batch.before is None and _load(change, staged):
        return
    change.connection.run(_statement(mapping, own), staged)


def _statement(mapping: ColumnMapping, own: Mapping[str, str]) -> str:
    return (
        f"insert into {mapping.target} ({mapping.names}{', '.join(own)}) "
        f"select {_row_values(mapping)}{', '.join(own.values())} from {GIVEN} r"
    )


def insert_together(change: Change, batches: Sequence[ChangeBatch], token: str) -> None:
    """Insert the changes of several batches by one statement, once (`Connection.insert_once`)."""
    mapping, own = change.mapping, dict(_OWN)
    if mapping.columns:
        has_before = any(batch.before is not None for batch in batches)
        own[BEFORE] = _before_values(mapping) if has_before else "null"
    staged = pa.concat_tables([_staged(mapping, batch) for batch in batches], promote_options="default")
    change.connection.insert_once(_statement(mapping, own), staged, token)


def _load(change: Change, staged: pa.Table) -> bool:
    mapping = change.mapping
    kinds = dict(own_columns("append", "hard", mapping.dialect, is_keyed=False))
    own = {name: (kinds[name], value.removeprefix("r.")) for name, value in _OWN.items()}
    columns = mapping.loaded(own)
    return columns is not None and change.connection.load(mapping.target, columns, staged, is_new=False)


def _row_values(mapping: ColumnMapping) -> str:
    """A truncate is no row: it has nothing in columns that are younger than it."""
    return "".join(
        f"{mapping.value('r', c)}, "
        if c.index is not None
        else f"case when r.op <> 't' then {c.absent} end, "
        for c in mapping.columns
    )


def _before_values(mapping: ColumnMapping) -> str:
    fields = [
        (column.name, c.absent if c.index is None else f"cast(r.b{c.index} as {c.type})")
        for column, c in zip(mapping.stored.columns, mapping.columns, strict=True)
    ]
    return f"case when r.has_before then {mapping.dialect.image(fields)} end"


def _staged(mapping: ColumnMapping, batch: ChangeBatch) -> pa.Table:
    data = batch.data
    columns = {f"c{i}": mapping.readable(i, column) for i, column in enumerate(batch.row_columns())}
    columns |= {
        "op": data.column(Envelope.OP),
        "s": batch.seq,
        "tx": data.column(Envelope.TX),
        "position": data.column(Envelope.POSITION),
        "at": data.column(Envelope.COMMIT_AT),
        "unchanged": mapping.dialect.readable(_unchanged(batch), mapping.dialect.types.texts),
    }
    if batch.before is not None:
        columns["has_before"] = batch.before.is_valid()
        for i, column in enumerate(batch.schema.columns):
            columns[f"b{i}"] = mapping.readable(i, batch.before.field(column.name))
    return pa.table(columns)


def _unchanged(batch: ChangeBatch) -> Any:
    if batch.unchanged is None:
        return pa.nulls(batch.row_count, _UNCHANGED)
    return batch.unchanged.dictionary.take(batch.unchanged.indices)
