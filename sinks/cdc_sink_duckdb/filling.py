"""Rows with holes: values that the source did not send, taken from the stored row into a temporary table.

It has to happen before the stored rows go; as a temporary table it may spill, so that large unchanged values
never have to fit into memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cdc.merge import Holes, Rows
from cdc_sink_duckdb.change import Change
from cdc_sink_duckdb.shape import run

# The bytes of a value, for the types that may have many.
_LENGTHS = {"VARCHAR": "strlen(c%d)", "JSON": "strlen(c%d::varchar)", "BLOB": "octet_length(c%d)"}


def split(rows: Rows) -> tuple[pa.Table, pa.Table | None]:
    """The rows without holes, and those with."""
    if rows.holes is None:
        return rows.table, None
    whole = np.ones(rows.table.num_rows, np.bool_)
    whole[rows.holes.rows] = False
    return rows.table.filter(pa.array(whole)), rows.table.take(pa.array(rows.holes.rows))


def fill(
    change: Change,
    rows: Rows,
    name: str,
    *,
    stored_if: str = "",
    extra: dict[str, Any] | None = None,
) -> bool:
    """Make the temporary table `name`: the rows that have holes, filled, with the staged columns' names.

    `stored_if` narrows which stored row counts, of the table as `t`. False when no row has holes.
    """
    shape, connection = change.shape, change.connection
    _, holed = split(rows)
    if rows.holes is None or holed is None:
        return False
    masks = {f"m{shape.place(n)}": pa.array(mask) for n, mask in rows.holes.missing.items()}
    staged = shape.staged(holed, {**shape.staged_keys(rows.holes.base, "b"), **masks, **(extra or {})})
    matches = shape.key_equals("p", staged, prefix="b") + (f" and {stored_if}" if stored_if else "")
    chosen = [
        f"case when p.m{c.index} then t.{c.name} else {shape.value('p', c)} end as c{c.index}"
        if f"m{c.index}" in masks
        else f"p.c{c.index}"
        for c in shape.columns
        if c.index is not None
    ]
    selected = ", ".join([*chosen, "p.s", "p.at", *(f"p.{column}" for column in extra or {})])
    query = f"select {selected} from _cdc_given p left join {shape.target} t on {matches}"
    run(connection, f"create or replace temp table {name} as {query}", staged)
    if change.room.is_wide:
        change.room.fill(shape.schema.table, holed.num_rows, _wide_bytes(change, rows.holes, name))
    return True


def _wide_bytes(change: Change, holes: Holes, name: str) -> int:
    """How much of text and bytes was taken over."""
    places = [change.shape.place(column) for column in holes.missing]
    lengths = [
        _LENGTHS[c.type] % c.index for c in change.shape.columns if c.index in places and c.type in _LENGTHS
    ]
    if not lengths:
        return 0
    total = " + ".join(f"coalesce(sum({length}), 0)" for length in lengths)
    (found,) = change.connection.execute(f"select ({total})::bigint from {name}").fetchall()
    return int(found[0])
