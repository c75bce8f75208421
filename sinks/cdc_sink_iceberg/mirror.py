"""The current rows of a table: what changes, is deleted by its position in a file, and written again.

Positions, not keys (equality deletes): every reader of Iceberg understands them. The columns of the key are
read for it, of those files whose statistics do not rule the keys out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.errors import UnsupportedSchema
from cdc.merge import Rows, TruncateSegment, multiset_delta, reduce_batches, segments
from cdc.merge.keyed import row_codes
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema
from cdc_sink_iceberg.files import Positions
from cdc_sink_iceberg.types import arrow_type, converted
from cdc_sink_iceberg.work import Stored, Work

Count = Callable[[str, int], None]


def apply(work: Work, batches: Sequence[ChangeBatch], count: Count) -> None:
    """Bring the table to the state after these changes, which share a schema."""
    for segment in segments(batches)[-1:]:
        if segment.truncated_at is not None:
            work.clear()
        if segment.batches and batches[0].schema.key:
            _keyed(work, segment)
        elif segment.batches:
            _keyless(work, segment, count)


def _keyed(work: Work, segment: TruncateSegment) -> None:
    schema = segment.batches[0].schema
    reduced = reduce_batches(segment.batches)
    upserts, deletes = reduced.upserts, reduced.deletes
    if work.is_empty:
        work.add(work.staged(upserts.table))
        return
    names = list(schema.key)
    made = _filled(work, upserts)
    keys = pa.concat_tables([_keys(work, t, names) for t in (upserts.table, deletes.table)])
    for found in locate(work, keys):
        work.bury(found.file, found.positions)
    work.add(made)


def _keys(work: Work, rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Columns as the table's files have them."""
    return pa.table(
        [converted(rows[n], arrow_type(work.schema.find_field(n).field_type)) for n in names],
        names=list(names),
    )


def locate(work: Work, wanted: pa.Table) -> list[Stored]:
    """Return the stored rows with these values in these columns. Each row of `wanted` is distinct."""
    names = wanted.column_names
    fields = [work.schema.find_field(name) for name in names]
    made = []
    for file, dead in work.live(wanted):
        columns = work.files.read(file, fields)
        positions, numbers = _matches(columns, wanted)
        is_alive = ~np.isin(positions, dead)
        if is_alive.any():
            made.append(Stored(file, positions[is_alive], numbers[is_alive]))
    return made


def _matches(columns: pa.Table, wanted: pa.Table) -> tuple[Positions, Positions]:
    """Positions of the rows that are wanted, and the number of the wanted row of each."""
    if len(wanted) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    kind = columns.schema.field(0).type
    near = np.arange(len(columns))
    if (
        not isinstance(kind, pa.BaseExtensionType)
        and not pa.types.is_nested(kind)
        and not pa.types.is_floating(kind)
    ):
        first = wanted.column(0).combine_chunks()
        found = pc.index_in(columns.column(0), value_set=first)
        if columns.num_columns == 1:
            hits = np.flatnonzero(np.asarray(found.is_valid()))
            return hits, np.asarray(found.take(pa.array(hits))).astype(np.int64)
        near = np.flatnonzero(np.asarray(found.is_valid()))
        if len(near) == 0:
            return near, near
        columns = columns.take(pa.array(near))
    both = [
        pa.concat_arrays([*_chunks(wanted.column(i)), *_chunks(columns.column(i))])
        for i in range(wanted.num_columns)
    ]
    codes = row_codes(both, len(wanted) + len(columns))
    ours, theirs = codes[: len(wanted)], codes[len(wanted) :]
    numbers = np.full(int(codes.max(initial=0)) + 1, -1, np.int64)
    numbers[ours] = np.arange(len(ours))
    of_theirs = numbers[theirs]
    hits = np.flatnonzero(of_theirs >= 0)
    return near[hits], of_theirs[hits]


def _chunks(column: Any) -> list[Any]:
    return column.chunks or [pa.nulls(0, column.type)]


def _filled(work: Work, rows: Rows) -> pa.Table:
    """Rows with all values: those that were not sent are those of the stored rows."""
    staged = work.staged(rows.table)
    if rows.holes is None:
        return staged
    holes = rows.holes
    base = _keys(work, holes.base, holes.base.column_names)
    found = locate(work, base)
    for name, mask in holes.missing.items():
        field = work.schema.find_field(name)
        parts, numbers = [], []
        for stored in found:
            read = work.files.read(stored.file, [field])
            parts.append(read.column(0).take(pa.array(stored.positions)))
            numbers.append(stored.wanted)
        kind = arrow_type(field.field_type)
        values = pa.concat_arrays([c for part in parts for c in _chunks(part)] or [pa.nulls(0, kind)])
        place = np.full(len(base), -1, np.int64)
        if numbers:
            joined = np.concatenate(numbers)
            place[joined] = np.arange(len(joined))
        # Row by row of the whole table: the place of its stored value, behind the values that were sent.
        sent = staged.column(name)
        choice = np.arange(len(staged))
        is_known = mask & (place >= 0)
        choice[holes.rows[is_known]] = len(staged) + place[is_known]
        both = pa.concat_arrays([*_chunks(sent), values])
        index = staged.schema.get_field_index(name)
        staged = staged.set_column(index, staged.schema.field(index), both.take(pa.array(choice)))
    return staged


def _keyless(work: Work, segment: TruncateSegment, count: Count) -> None:
    """Add rows, then remove the oldest equal row for each one that is removed."""
    schema = segment.batches[0].schema
    if schema.identity == "none":
        _refuse_changes(schema, segment)
    delta = multiset_delta(segment.batches)
    work.add(work.staged(delta.added))
    if len(delta.removed) == 0:
        return
    names = [column.name for column in schema.columns]
    removed = _keys(work, delta.removed, names)
    codes = row_codes([removed.column(i) for i in range(len(names))], len(removed))
    _, firsts, amounts = np.unique(codes, return_index=True, return_counts=True)
    found = locate(work, removed.take(pa.array(firsts)))
    left = amounts.copy()
    rows = _oldest_first(work, found)
    for file, position, wanted in rows:
        if left[wanted] > 0:
            left[wanted] -= 1
            work.bury(file, np.array([position], np.int64))
    if left.sum():
        count("rows_not_found", int(left.sum()))


def _oldest_first(work: Work, found: Sequence[Stored]) -> list[tuple[Any, int, int]]:
    field = work.schema.find_field(Envelope.SEQ)
    rows = []
    for stored in found:
        seqs = work.files.read(stored.file, [field]).column(0).to_numpy()[stored.positions]
        rows += [
            (seq, stored.file, position, wanted)
            for seq, position, wanted in zip(
                seqs.tolist(), stored.positions.tolist(), stored.wanted.tolist(), strict=True
            )
        ]
    rows.sort(key=lambda row: (row[0], row[2]))
    return [row[1:] for row in rows]


def _refuse_changes(schema: TableSchema, segment: TruncateSegment) -> None:
    codes = {Operation.UPDATE.code, Operation.DELETE.code}
    if any(codes & set(batch.ops.unique().to_pylist()) for batch in segment.batches):
        raise UnsupportedSchema(
            "received an update or delete for a table with REPLICA IDENTITY NOTHING",
            where=str(schema.table),
            remedy="Give the table a primary key or REPLICA IDENTITY FULL.",
        )


def truncates(batches: Sequence[ChangeBatch]) -> bool:
    """Return whether a truncate is among the changes."""
    return any(bool((np.asarray(batch.ops) == Operation.TRUNCATE.code).any()) for batch in batches)


def fill(work: Work, schema: TableSchema, new: frozenset[int]) -> None:
    """Write the stored rows again, with the values that rows from before a column have in it."""
    fills = {
        work.schema.find_field(c.name).field_id: c.fill
        for c in schema.columns
        if c.has_fill and work.schema.find_field(c.name).field_id in new
    }
    if not fills:
        return
    fields = list(work.schema.fields)
    files = list(work.live())
    work.clear()
    for file, dead in files:
        rows = work.files.read(file, fields)
        for i, field in enumerate(fields):
            value = fills.get(field.field_id)
            if value is not None:
                column = converted(pa.repeat(value, len(rows)), arrow_type(field.field_type))
                rows = rows.set_column(i, field.name, column)
        alive = np.ones(len(rows), np.bool_)
        alive[dead] = False
        work.add(work.staged(rows.filter(pa.array(alive))))
