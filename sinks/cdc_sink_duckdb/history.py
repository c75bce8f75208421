"""Mode history: every version of each row, with the commit times between which it was the row (SCD type 2).

`_cdc_seq` is the change that began a version, `_cdc_end_seq` the one that ended it; both order exactly where
times are equal. Replaying changes that have been here adds no version twice and ends none again.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from cdc.merge import Segment, Versions, multiset_delta, row_versions, segments
from cdc_sink_duckdb.change import Change
from cdc_sink_duckdb.filling import fill, split
from cdc_sink_duckdb.keyless import insert_added, oldest_removed
from cdc_sink_duckdb.literals import moment
from cdc_sink_duckdb.mirror import refuse_changes
from cdc_sink_duckdb.shape import run


def apply(change: Change) -> None:
    """Add the versions that these changes begin and end those that they end."""
    if not change.shape.schema.key or not change.shape.has_key:
        # Equal rows have no identity that a replay could compare: what has been here before is left alone.
        change = change.not_below(change.replayed_below)
    if not change.batches:
        return
    for segment in segments(change.batches):
        if segment.truncated_at is not None:
            _truncate(change, segment)
        if segment.batches and change.shape.schema.key:
            _apply_keyed(change, segment)
        elif segment.batches:
            _apply_keyless(change, segment)


def _truncate(change: Change, segment: Segment) -> None:
    seq = segment.truncated_at
    end = f"valid_to = greatest(valid_from, {moment(segment.commit_at)}), _cdc_end_seq = {seq}"
    still_open = f"_cdc_end_seq is null and _cdc_seq < {seq}"
    run(change.connection, f"update {change.shape.target} set {end} where {still_open}")


def _apply_keyed(change: Change, segment: Segment) -> None:
    shape, connection = change.shape, change.connection
    versions = row_versions(segment.batches)
    first = segment.batches[0].seq[0].as_py()
    was_open = f"t._cdc_seq < {first} and (t._cdc_end_seq is null or t._cdc_end_seq >= {first})"
    ends = {"end_s": versions.ended_seq, "end_at": versions.ended_at}
    plain, holed = split(versions.opened)
    extra_holed = {}
    if versions.opened.holes is not None and holed is not None:
        places = pa.array(versions.opened.holes.rows)
        extra_holed = {name: array.take(places) for name, array in ends.items()}
        whole = pc.invert(pc.is_in(pa.array(range(len(versions.ended_seq)), pa.int64()), places))
        ends = {name: array.filter(whole) for name, array in ends.items()}
    filled = fill(change, versions.opened, "temp.main._cdc_filled", stored_if=was_open, extra=extra_holed)
    _close(change, versions)
    _insert(change, given=shape.staged(plain, ends))
    if filled:
        _insert(change, origin="temp.main._cdc_filled")
        run(connection, "drop table temp.main._cdc_filled")


def _close(change: Change, versions: Versions) -> None:
    shape = change.shape
    keys = shape.staged(versions.closing.table)
    matches = shape.key_equals("k", keys)
    run(
        change.connection,
        f"update {shape.target} as t set valid_to = greatest(t.valid_from, k.at), _cdc_end_seq = k.s "
        f"from _cdc_given k where {matches} and t._cdc_end_seq is null and t._cdc_seq < k.s",
        keys,
    )


def _insert(change: Change, *, origin: str = "_cdc_given", given: pa.Table | None = None) -> None:
    shape = change.shape
    known = f" where r.s not in (select _cdc_seq from {shape.target})" if change.is_replay else ""
    # Commit times may go back a little where the order does not; a version then ends when it began.
    ended = "case when r.end_s is not null then greatest(r.at, r.end_at) end"
    run(
        change.connection,
        f"insert into {shape.target} ({shape.names}valid_from, valid_to, _cdc_seq, _cdc_end_seq) "
        f"select {shape.values('r')}r.at, {ended}, r.s, r.end_s from {origin} r{known}",
        given,
    )


def _apply_keyless(change: Change, segment: Segment) -> None:
    shape = change.shape
    if shape.schema.identity == "none":
        refuse_changes(change, segment)
    delta = multiset_delta(segment.batches)
    insert_added(change, delta.added, {"valid_from": "r.at", "_cdc_seq": "r.s"})
    if delta.removed.num_rows == 0:
        return
    alive = "t._cdc_end_seq is null"
    with oldest_removed(change, delta.removed, alive=alive) as found:
        done = run(
            change.connection,
            f"update {shape.target} as t set valid_to = greatest(t.valid_from, f.at), _cdc_end_seq = f.s "
            f"from {found} f where t._cdc_seq = f.r and {alive}",
        )
    if done != delta.removed.num_rows:
        change.count("rows_not_found", delta.removed.num_rows - done)
