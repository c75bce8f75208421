"""Rows with holes: values that the source did not send, taken from the stored row into a temporary table.

This must happen before the stored rows are deleted. The temporary table may spill, so that large unchanged
values need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.merge import Holes, Rows
from cdc.sql.dialect import GIVEN
from cdc.sql.mapping import Change
from cdc.sql.progress import Overfull

# Rows that one statement measures.
_MEASURED_ROWS = 1000


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

    Raises:
        Overfull: the stored values are too large to be taken over together.
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
    origin = f"{GIVEN} p left join {mapping.stored_rows('b')} on {matches}"
    if change.room.is_wide and holed.num_rows > 1:
        _require_room(change, rows.holes, origin, staged)
    filled = change.connection.keep(name, f"select {selected} from {origin}", staged)
    if change.room.is_wide:
        change.room.fill(mapping.schema.table, holed.num_rows, _wide_bytes(change, rows.holes, filled))
    return filled


def _require_room(change: Change, holes: Holes, origin: str, staged: pa.Table) -> None:
    """Raise Overfull if the rows take over more than a piece may hold, with the offsets to cut at."""
    cuts, taken = set(), 0
    for i, (seq, size) in enumerate(sorted(_stored_sizes(change, holes, origin, staged))):
        if i and taken + size > change.room.limits.size / 2:
            cuts.add(seq)
            taken = 0
        taken += size
    if cuts:
        raise Overfull(cuts)


def _stored_sizes(change: Change, holes: Holes, origin: str, staged: pa.Table) -> Iterator[tuple[int, int]]:
    """Yield the `_cdc_seq` of each row, and the bytes of the stored values that it takes over.

    Not by a join: a join gathers the values of many rows, only to measure them.
    """
    connection, mapping = change.connection, change.mapping
    place, lengths = mapping.dialect.row_place, _lengths(change, holes)
    if place is None or not lengths:
        return
    masks = "".join(f", p.m{index}" for index in lengths)
    found = connection.keep("_cdc_places", f"select p.s, t.{place}{masks} from {origin}", staged)
    rows = connection.query(f"select * from {found} where {place} is not null order by {place}")
    connection.run(f"drop table {found}")
    for first in range(0, len(rows), _MEASURED_ROWS):
        some = {at: (seq, missing) for seq, at, *missing in rows[first : first + _MEASURED_ROWS]}
        near = f"t.{place} between {min(some)} and {max(some)}"
        query = f"select t.{place}, {', '.join(lengths.values())} from {mapping.target} t where {near}"
        for at, *sizes in connection.query(f"{query} and t.{place} in ({', '.join(map(str, some))})"):
            seq, missing = some[at]
            yield seq, sum(size or 0 for size, m in zip(sizes, missing, strict=True) if m)


def _lengths(change: Change, holes: Holes) -> dict[int, str]:
    """The missing columns whose values may be wide, each with the length of its stored value."""
    places = {change.mapping.place(column) for column in holes.missing}
    found = {
        c.index: change.mapping.dialect.byte_length(f"t.{c.name}", c.type)
        for c in change.mapping.columns
        if c.index is not None and c.index in places
    }
    return {index: length for index, length in found.items() if length is not None}


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
