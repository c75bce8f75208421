"""Mode history: every version of each row, with the commit times between which it was the row (SCD type 2).

`_cdc_seq` is the change that began a version, `_cdc_end_seq` the one that ended it; both order exactly where
times are equal. Replaying changes that have been here adds no version twice and ends none again.
"""

from __future__ import annotations

import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.merge import TruncateSegment, Versions, multiset_delta, row_versions, segments
from cdc.sql.dialect import GIVEN
from cdc.sql.filling import fill, split
from cdc.sql.keyless import insert_added, oldest_removed
from cdc.sql.mapping import Change
from cdc.sql.mirror import refuse_changes


def apply(change: Change) -> None:
    """Add the versions that these changes begin, and end those that they end."""
    if not change.mapping.schema.key or not change.mapping.has_key:
        # Equal rows have no identity that a replay could compare: what has been here before is left alone.
        change = change.not_below(change.replayed_below)
    if not change.batches:
        return
    for segment in segments(change.batches):
        if segment.truncated_at is not None:
            _truncate(change, segment)
        if segment.batches and change.mapping.schema.key:
            _apply_keyed(change, segment)
        elif segment.batches:
            _apply_keyless(change, segment)


def _truncate(change: Change, segment: TruncateSegment) -> None:
    seq = segment.truncated_at
    dialect = change.connection.dialect
    end = f"valid_to = {dialect.later('valid_from', dialect.moment(segment.commit_at))}, _cdc_end_seq = {seq}"
    still_open = f"_cdc_end_seq is null and _cdc_seq < {seq}"
    change.connection.run(f"update {change.mapping.target} set {end} where {still_open}")


def _apply_keyed(change: Change, segment: TruncateSegment) -> None:
    versions = row_versions(segment.batches)
    opened, filled = fill_opened(change, versions, segment.batches[0].seq[0].as_py())
    _close(change, versions)
    _insert(change, given=opened)
    if filled is not None:
        _insert(change, origin=filled)
        change.connection.run(f"drop table {filled}")


def fill_opened(change: Change, versions: Versions, first: int) -> tuple[pa.Table, str | None]:
    """Return the versions known whole, staged with their ends, and the name of a table of the others,
    filled from the stored rows that were valid before the change `first`; None if there are no others.
    """
    was_open = f"t._cdc_seq < {first} and (t._cdc_end_seq is null or t._cdc_end_seq >= {first})"
    ends = {"end_s": versions.ended_seq, "end_at": versions.ended_at}
    whole, _ = split(versions.opened)
    of_holed = {}
    if versions.opened.holes is not None:
        places = pa.array(versions.opened.holes.rows)
        of_holed = {name: array.take(places) for name, array in ends.items()}
        others = pc.invert(pc.is_in(pa.array(range(len(versions.ended_seq)), pa.int64()), places))
        ends = {name: array.filter(others) for name, array in ends.items()}
    filled = fill(change, versions.opened, "_cdc_filled", stored_if=was_open, extra=of_holed)
    return change.mapping.staged(whole, ends), filled


def _close(change: Change, versions: Versions) -> None:
    mapping = change.mapping
    keys = mapping.staged(versions.closing.table)
    matches = mapping.key_equals("k", keys)
    change.connection.run(
        f"update {mapping.target} as t set valid_to = {mapping.dialect.later('t.valid_from', 'k.at')}, "
        f"_cdc_end_seq = k.s from {GIVEN} k where {matches} and t._cdc_end_seq is null and t._cdc_seq < k.s",
        keys,
    )


def _insert(change: Change, *, origin: str = GIVEN, given: pa.Table | None = None) -> None:
    mapping = change.mapping
    # Not by NOT IN, which some servers answer by a scan for every row.
    is_known = f"exists (select 1 from {mapping.target} o where o._cdc_seq = r.s)"
    known = f" where not {is_known}" if change.is_replay else ""
    # Commit times may go back a little where the order does not; a version then ends when it began.
    ended = f"case when r.end_s is not null then {mapping.dialect.later('r.at', 'r.end_at')} end"
    change.connection.run(
        f"insert into {mapping.target} ({mapping.names}valid_from, valid_to, _cdc_seq, _cdc_end_seq) "
        f"select {mapping.values('r')}r.at, {ended}, r.s, r.end_s from {origin} r{known}",
        given,
    )


def _apply_keyless(change: Change, segment: TruncateSegment) -> None:
    mapping = change.mapping
    if mapping.schema.identity == "none":
        refuse_changes(change, segment)
    delta = multiset_delta(segment.batches)
    insert_added(change, delta.added, {"valid_from": "r.at", "_cdc_seq": "r.s"})
    if delta.removed.num_rows == 0:
        return
    alive = "t._cdc_end_seq is null"
    with oldest_removed(change, delta.removed, alive=alive) as found:
        done = change.connection.run(
            f"update {mapping.target} as t set valid_to = {mapping.dialect.later('t.valid_from', 'f.at')}, "
            f"_cdc_end_seq = f.s from {found} f where t._cdc_seq = f.r and {alive}",
        )
    if done != delta.removed.num_rows:
        change.count("rows_not_found", delta.removed.num_rows - done)
