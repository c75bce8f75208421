"""Rows with holes: values that the source did not send, taken from the stored row into a temporary table.

This must happen before the stored rows are deleted. The temporary table may spill, so that large unchanged
values need not fit into memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cdc.merge import Holes, Rows
from cdc.sql.change import Change
from cdc.sql.dialect import GIVEN


def split(rows: Rows) -> tuple[pa.Table, pa.Table | None]:
    """Return the rows without holes, and those with holes."""
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
) -> str | None:
    """Make the temporary table `name`: the rows that have holes, filled, with the staged columns' names;
    return its qualified name, None when no row has holes.

    `stored_if` narrows which stored row counts, of the table as `t`.
    """
    mapping = change.mapping
    _, holed = split(rows)
    if rows.holes is None or holed is None:
        return None
    masks = {f"m{mapping.place(n)}": pa.array(mask) for n, mask in rows.holes.missing.items()}
    staged = mapping.staged(holed, {**mapping.staged_keys(rows.holes.base, "b"), **masks, **(extra or {})})
    matches = mapping.key_equals("p", staged, prefix="b") + (f" and {stored_if}" if stored_if else "")
    chosen = [
        f"case when p.m{c.index} then t.{c.name} else {mapping.value('p', c)} end as c{c.index}"
        if f"m{c.index}" in masks
        else f"p.c{c.index}"
        for c in mapping.columns
        if c.index is not None
    ]
    selected = ", ".join([*chosen, "p.s", "p.at", *(f"p.{column}" for column in extra or {})])
    query = f"select {selected} from {GIVEN} p left join {mapping.target} t on {matches}"
    filled = change.connection.keep(name, query, staged)
    if change.room.is_wide:
        change.room.fill(mapping.schema.table, holed.num_rows, _wide_bytes(change, rows.holes, filled))
    return filled


def _wide_bytes(change: Change, holes: Holes, name: str) -> int:
    """How much of text and bytes was taken over."""
    places = [change.mapping.place(column) for column in holes.missing]
    given = [
        change.mapping.dialect.byte_length(f"c{c.index}", c.type)
        for c in change.mapping.columns
        if c.index in places
    ]
    lengths = [length for length in given if length is not None]
    if not lengths:
        return 0
    total = " + ".join(f"coalesce(sum({length}), 0)" for length in lengths)
    kind = change.mapping.dialect.types.bigint
    return int(change.connection.query(f"select cast({total} as {kind}) from {name}")[0][0])
