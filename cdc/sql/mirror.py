"""Mode mirror: the table equals the source's table.

The dialect chooses how rows are written by key (`cdc.sql.keyed`). In a replay a stored row that is as new as
a change, or newer, stays: at its end the mirror is what it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.merge import Rows, TruncateSegment, multiset_delta, reduce_batches, segments
from cdc.model import Envelope, Operation
from cdc.sql.dialect import GIVEN
from cdc.sql.filling import fill, split
from cdc.sql.keyed import KeyedRows
from cdc.sql.keyless import insert_added, oldest_removed
from cdc.sql.mapping import Change, ColumnMapping


def apply(change: Change) -> None:
    """Apply these changes to the table."""
    soft = change.mapping.stored.deletes == "soft"
    change = change.lacked_by_mirror()
    if not change.batches:
        return
    made = segments(change.batches)
    # Hard deletes leave nothing of what was there before the last truncate; soft ones leave its marks.
    for segment in made if soft else made[-1:]:
        if segment.truncated_at is not None:
            _truncate(change, segment)
        if segment.batches and change.mapping.schema.key:
            _apply_keyed(change, segment, soft=soft)
        elif segment.batches:
            _apply_keyless(change, segment, soft=soft)


def _truncate(change: Change, segment: TruncateSegment) -> None:
    target, seq = change.mapping.target, segment.truncated_at
    if change.mapping.stored.deletes == "soft":
        at = change.connection.dialect.moment(segment.commit_at)
        marks = f"_cdc_deleted = true, _cdc_seq = {seq}, _cdc_commit_at = {at}"
        change.connection.run(f"update {target} set {marks} where not _cdc_deleted and _cdc_seq < {seq}")
        return
    older = f" where _cdc_seq < {seq}" if change.is_replay else ""
    change.connection.run(f"delete from {target}{older}")


def _load_new(change: Change, segment: TruncateSegment) -> bool:
    """Load rows that are all new (a snapshot, inserts) if the target has a way for that."""
    mapping = change.mapping
    columns = mapping.loaded(
        {
            "_cdc_seq": (mapping.dialect.types.bigint, "s"),
            "_cdc_commit_at": (mapping.dialect.types.moment, "at"),
        }
    )
    if columns is None or change.is_replay:
        return False
    rows = new_rows(segment)
    if rows is None or any(rows[name].null_count for name in mapping.schema.key):
        # An index takes any number of nulls.
        return False
    return change.connection.load(mapping.target, columns, mapping.staged(rows), is_new=True)


def new_rows(segment: TruncateSegment) -> pa.Table | None:
    """The rows of a segment with a key, if all its changes are inserts or copied rows."""
    new = {Operation.READ.code, Operation.CREATE.code}
    if any(set(batch.ops.unique().to_pylist()) - new for batch in segment.batches):
        return None
    names = [*(c.name for c in segment.batches[0].schema.columns), Envelope.SEQ, Envelope.COMMIT_AT]
    return pa.Table.from_batches([batch.data.select(names) for batch in segment.batches])


def _apply_keyed(change: Change, segment: TruncateSegment, *, soft: bool) -> None:
    mapping, connection = change.mapping, change.connection
    if not soft and _load_new(change, segment):
        return
    reduced = reduce_batches(segment.batches, keep_deleted=soft)
    # Upserts even if there are none: they have every column, the keys of hard deletes do not.
    sets = [(reduced.upserts, False)]
    if reduced.deletes.table.num_rows:
        sets.append((reduced.deletes, True))
    keys = pa.concat_tables([rows.table.select(mapping.schema.key) for rows, _ in sets])
    keys = pa.table(mapping.staged_keys(keys, "c"))
    # Before the first write: values that were not sent are those that the stored rows have now.
    filled = {gone: fill(change, rows, f"_cdc_filled_{i}") for i, (rows, gone) in enumerate(sets)}
    # What is marked deleted comes first: the target may take two keys for one (1.0 and 1.00 as numbers).
    for group in [[each] for each in reversed(sets)] if soft else [sets]:
        given = _staged(mapping, group)
        if given.num_rows:
            rows = _keyed_rows(change, GIVEN, "r.gone" if len(group) > 1 else _flag(group[0][1]), keys)
            connection.run_all(mapping.dialect.write_keyed(rows), given)
        for _, gone in group:
            origin = filled[gone]
            if origin is not None:
                rows = _keyed_rows(change, origin, _flag(gone), keys)
                connection.run_all(mapping.dialect.write_keyed(rows))
                connection.run(f"drop table {origin}")


def _flag(value: bool) -> str:  # noqa: FBT001  (what it is about)
    return "true" if value else "false"


def _staged(mapping: ColumnMapping, sets: Sequence[tuple[Rows, bool]]) -> pa.Table:
    """The rows without holes; the column `gone` distinguishes the sets if there are several."""
    staged = [(mapping.staged(split(rows)[0]), gone) for rows, gone in sets]
    if len(staged) == 1:
        return staged[0][0]
    flagged = [table.append_column("gone", pa.repeat(gone, table.num_rows)) for table, gone in staged]
    return pa.concat_tables(flagged, promote_options="default")


def _keyed_rows(change: Change, origin: str, gone: str, keys: pa.Table) -> KeyedRows:
    """Describe staged rows; `gone` is the expression for "deleted in the source", `keys` their keys."""
    mapping, stored = change.mapping, change.mapping.stored
    own = [("_cdc_seq", "r.s"), ("_cdc_commit_at", "r.at")]
    if stored.deletes == "soft":
        own.append(("_cdc_deleted", gone))
    return KeyedRows(
        target=mapping.target,
        origin=origin,
        columns=(*((c.name, mapping.value("r", c)) for c in mapping.columns), *own),
        key=mapping.key_names,
        matches=mapping.key_equals("r", keys),
        gone=None if stored.deletes == "soft" or gone == "false" else gone,
        keeps_newer=change.is_replay,
        keeps_deleted=stored.deletes == "soft",
        is_unique=stored.has_unique_key and not any(column.null_count for column in keys.columns),
    )


def _apply_keyless(change: Change, segment: TruncateSegment, *, soft: bool) -> None:
    mapping = change.mapping
    if mapping.schema.identity == "none":
        refuse_changes(change, segment)
    delta = multiset_delta(segment.batches)
    own = {"_cdc_seq": "r.s", "_cdc_commit_at": "r.at"} | ({"_cdc_deleted": "false"} if soft else {})
    insert_added(change, delta.added, own)
    if delta.removed.num_rows == 0:
        return
    alive = "not t._cdc_deleted" if soft else "true"
    with oldest_removed(change, delta.removed, alive=alive) as found:
        origin, matches = f"{found} f", f"t._cdc_seq = f.r and {alive}"
        statement = mapping.dialect.delete(mapping.target, origin, matches)
        if soft:
            marks = "_cdc_deleted = true, _cdc_seq = f.s, _cdc_commit_at = f.at"
            statement = f"update {mapping.target} as t set {marks} from {origin} where {matches}"
        done = change.connection.run(statement)
    if done != delta.removed.num_rows:
        change.count("rows_not_found", delta.removed.num_rows - done)


def refuse_changes(change: Change, segment: TruncateSegment) -> None:
    """Refuse changes of a table without identity, which can only have inserts."""
    codes = {Operation.UPDATE.code, Operation.DELETE.code}
    if any(codes & set(batch.ops.unique().to_pylist()) for batch in segment.batches):
        raise UnsupportedSchema(
            "received an update or delete for a table with REPLICA IDENTITY NOTHING",
            where=str(change.mapping.schema.table),
            remedy="Give the table a primary key or REPLICA IDENTITY FULL.",
        )
