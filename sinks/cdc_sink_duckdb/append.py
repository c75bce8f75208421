"""Mode append: every change is a row, with the whole envelope; nothing is ever altered.

In a replay the caller has taken out the rows of the delivery's range before (`forget`).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cdc.model import ChangeBatch, Envelope
from cdc_sink_duckdb.change import Change
from cdc_sink_duckdb.shape import Shape, run

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


def forget(connection: Any, target: str, first: int, end: int) -> None:
    """Take out the changes with first ≤ `_cdc_seq` < end, which are about to be inserted again."""
    run(connection, f"delete from {target} where _cdc_seq >= {first} and _cdc_seq < {end}")


def _insert(change: Change, batch: ChangeBatch) -> None:
    shape = change.shape
    own = dict(_OWN)
    if shape.columns:
        own["_cdc_before"] = _before_values(shape) if batch.before is not None else "null"
    run(
        change.connection,
        f"insert into {shape.target} ({shape.names}{', '.join(own)}) "
        f"select {_row_values(shape)}{', '.join(own.values())} from _cdc_given r",
        _staged(shape, batch),
    )


def _row_values(shape: Shape) -> str:
    """A column that this schema version lacks is null here, not its fill: a changelog says what was sent."""
    return "".join(
        f"{shape.value('r', c)}, " if c.index is not None else f"cast(null as {c.type}), "
        for c in shape.columns
    )


def _before_values(shape: Shape) -> str:
    fields = ", ".join(
        f"{c.name} := cast({'null' if c.index is None else f'r.b{c.index}'} as {c.type})"
        for c in shape.columns
    )
    return f"case when r.has_before then struct_pack({fields}) end"


def _staged(shape: Shape, batch: ChangeBatch) -> pa.Table:
    data = batch.data
    columns = {f"c{i}": shape.readable(i, column) for i, column in enumerate(batch.row_columns())}
    columns |= {
        "op": data.column(Envelope.OP),
        "s": batch.seq,
        "tx": data.column(Envelope.TX),
        "position": data.column(Envelope.POSITION),
        "at": data.column(Envelope.COMMIT_AT),
        "unchanged": _unchanged(batch),
    }
    if batch.before is not None:
        columns["has_before"] = batch.before.is_valid()
        for i, column in enumerate(batch.schema.columns):
            columns[f"b{i}"] = shape.readable(i, batch.before.field(column.name))
    return pa.table(columns)


def _unchanged(batch: ChangeBatch) -> Any:
    if batch.unchanged is None:
        return pa.nulls(batch.row_count, _UNCHANGED)
    return batch.unchanged.dictionary.take(batch.unchanged.indices)
