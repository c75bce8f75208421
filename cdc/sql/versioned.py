"""The three modes on targets whose rows are inserted and never changed: the newest version of a row counts.

Every write may be repeated, also in part, and leaves the same rows: no transaction is needed for that.

- mirror, with a key: a row's version is its `_cdc_seq`; a deleted row is a version with `_cdc_deleted`.
- mirror without a key, and history: `_cdc_seq` (in a history, with the key) identifies the row that a change
  added. Its `_cdc_version` is 0, or the `_cdc_seq` of the change that removed or ended it.
- append: a row is inserted once, by the token of its insert. Where an earlier attempt may have inserted some
  of the rows, those that are there are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.errors import SinkUnavailable
from cdc.merge import Rows, TruncateSegment, multiset_delta, reduce_batches, row_versions, segments
from cdc.model import ChangeBatch
from cdc.sql.append import insert_together
from cdc.sql.dialect import GIVEN, Connection
from cdc.sql.filling import fill, split
from cdc.sql.history import fill_opened
from cdc.sql.layout import VERSION, own_columns
from cdc.sql.mapping import Change, ColumnMapping, TargetColumn
from cdc.sql.mirror import new_rows, refuse_changes
from cdc.sql.stored import StoredTable

# More tries mean that somebody deletes the rows while they are inserted.
_APPEND_ATTEMPTS = 5


def append(change: Change) -> None:
    """Insert the changes that are not there yet."""
    batches: Sequence[ChangeBatch] = change.batches
    if not (change.is_replay or change.connection.is_recovering):
        insert_together(change, batches, f"{batches[0].seq[0].as_py()}")
        return
    for attempt in range(_APPEND_ATTEMPTS):
        batches = _missing(change, batches)
        if not batches:
            return
        # A token that is known without its rows is that of rows that somebody deleted, or of an insert of
        # fewer rows that has just ended: then other rows are missing now.
        insert_together(change, batches, f"{batches[0].seq[0].as_py()}" + f"-{attempt}" * bool(attempt))
    if _missing(change, batches):
        raise _vanishing(change)


def _missing(change: Change, batches: Sequence[ChangeBatch]) -> list[ChangeBatch]:
    first, last = batches[0].seq[0].as_py(), max(batch.seq[-1].as_py() for batch in batches)
    query = f"select _cdc_seq from {change.mapping.target} where _cdc_seq between {first} and {last}"
    found = np.fromiter((seq for (seq,) in change.connection.query(query)), np.int64)
    masks = [pa.array(~np.isin(batch.seq.to_numpy(zero_copy_only=False), found)) for batch in batches]
    rest = [batch.filtered(mask) for batch, mask in zip(batches, masks, strict=True)]
    return [batch for batch in rest if batch.row_count]


def _vanishing(change: Change) -> SinkUnavailable:
    return SinkUnavailable(
        "inserted rows are not in the table",
        where=str(change.mapping.schema.table),
        remedy="Stop what deletes rows of this table; it is retried automatically.",
    )


def mirror(change: Change) -> None:
    """Bring the table to the state after these changes."""
    soft = change.mapping.stored.deletes == "soft"
    change = change.lacked_by_mirror()
    if not change.batches:
        return
    made = segments(change.batches)
    for segment in made if soft else made[-1:]:
        if segment.truncated_at is not None and soft:
            at = segment.commit_at
            end_older(
                change.connection, change.mapping.stored, change.mapping.target, segment.truncated_at, at
            )
        elif segment.truncated_at is not None:
            _empty(change, segment.truncated_at)
        if segment.batches and change.mapping.schema.key:
            _mirror_keyed(change, segment, soft=soft)
        elif segment.batches:
            _keyless(change, segment)


def _empty(change: Change, seq: int) -> None:
    """Delete the rows that are older than the truncate: all of them, where nothing is repeated."""
    target = change.mapping.target
    ((newest,),) = change.connection.query(f"select max(_cdc_seq) from {target}")
    statement = f"truncate table {target}" if newest < seq else f"delete from {target} where _cdc_seq < {seq}"
    change.connection.run(statement)


def _mirror_keyed(change: Change, segment: TruncateSegment, *, soft: bool) -> None:
    added = new_rows(segment)
    if added is not None:
        # Rows of one key are versions, too.
        own = {"_cdc_seq": "r.s", "_cdc_commit_at": "r.at", "_cdc_deleted": "false"}
        _insert(change, own, given=change.mapping.staged(added))
        return
    reduced = reduce_batches(segment.batches, keep_deleted=soft)
    sets = [(reduced.upserts, False), (reduced.deletes, True)]
    # Before the first write: values that were not sent are those that the stored rows have now.
    filled = [fill(change, rows, f"_cdc_filled_{i}") for i, (rows, _) in enumerate(sets)]
    for (rows, gone), origin in zip(sets, filled, strict=True):
        own = {"_cdc_seq": "r.s", "_cdc_commit_at": "r.at", "_cdc_deleted": "true" if gone else "false"}
        _insert(change, own, given=_whole(change.mapping, rows))
        if origin is not None:
            _insert(change, own, origin=_not_known(change, origin))
            change.connection.run(f"drop table {origin}")


def _not_known(change: Change, origin: str) -> str:
    """Filled rows that the table does not have yet. An earlier attempt has filled the others, from rows that
    may be gone since: a row whose key has changed is deleted under its old key.
    """
    if not (change.is_replay or change.connection.is_recovering):
        return origin
    mapping = change.mapping
    names = ", ".join(mapping.key_names)
    known = mapping.key_in("c", origin)
    newest = f"select {names}, max(_cdc_seq) as _cdc_v from {mapping.target} where {known} group by {names}"
    matches = mapping.keys_match("k", "o")
    return (
        f"(select o.* from {origin} o left join ({newest}) k on {matches} where coalesce(k._cdc_v, -1) < o.s)"
    )


def _whole(mapping: ColumnMapping, rows: Rows, extra: Mapping[str, Any] | None = None) -> pa.Table:
    return mapping.staged(split(rows)[0], extra)


def _insert(
    change: Change,
    own: Mapping[str, str],
    *,
    given: pa.Table | None = None,
    origin: str = GIVEN,
    condition: str = "",
) -> None:
    """Insert staged rows, with the sink's own columns by name and expression. Columns that are not staged
    (a deleted row has its key only) stay empty.
    """
    if given is not None and given.num_rows == 0:
        return
    mapping = change.mapping
    columns = mapping.columns
    if given is not None and not all(_is_staged(c, given) for c in columns):
        columns = [c for c in columns if c.index is not None and _is_staged(c, given)]
    values = {c.name: mapping.value("r", c) for c in columns} | dict(own)
    change.connection.run(
        f"insert into {mapping.target} ({', '.join(values)}) select {', '.join(values.values())} "
        f"from {origin} r{condition}",
        given,
    )


def _is_staged(column: TargetColumn, given: pa.Table) -> bool:
    return column.index is None or f"c{column.index}" in given.column_names


def _keyless(change: Change, segment: TruncateSegment) -> None:
    """Add rows, then remove the oldest equal row for each one that is removed."""
    mapping, connection = change.mapping, change.connection
    if mapping.schema.identity == "none":
        refuse_changes(change, segment)
    delta = multiset_delta(segment.batches)
    is_history = mapping.stored.mode == "history"
    own = {"valid_from": "r.at"} if is_history else {"_cdc_commit_at": "r.at", "_cdc_deleted": "false"}
    _insert(change, {**own, "_cdc_seq": "r.s", VERSION: "0"}, given=mapping.staged(delta.added))
    if delta.removed.num_rows == 0:
        return
    first = pc.min(delta.removed["_cdc_seq"]).as_py()
    known = connection.query(f"select {VERSION} from {mapping.target} where {VERSION} >= {first}")
    done = pa.array([seq for (seq,) in known], pa.int64())
    removed = delta.removed.filter(pc.invert(pc.is_in(delta.removed["_cdc_seq"], done)))
    if removed.num_rows:
        found = _remove(change, removed)
        if found != removed.num_rows:
            change.count("rows_not_found", removed.num_rows - found)


def _remove(change: Change, removed: pa.Table) -> int:
    """Insert the newer versions of the rows that are removed; return how many were found."""
    mapping, connection, dialect = change.mapping, change.connection, change.mapping.dialect
    columns = [c for c in mapping.columns if c.index is not None]
    theirs = dialect.fingerprint([mapping.value("r", c) for c in columns])
    ours = dialect.fingerprint([c.name for c in columns])
    # Names that no column of a source has: an alias is visible in the whole statement.
    query = f"select {theirs} as _cdc_h, r.s as s, r.at as at from {GIVEN} r"
    gone = connection.keep("_cdc_gone", query, mapping.staged(removed))
    alive = dialect.newest(mapping.target, f"{VERSION} = 0 and {ours} in (select _cdc_h from {gone})")
    number = f"row_number() over (partition by {ours} order by _cdc_seq) as _cdc_n"
    numbered = f"select _cdc_seq as _cdc_r, {ours} as _cdc_h, {number} from {alive}"
    wanted = f"select *, row_number() over (partition by _cdc_h order by s) as _cdc_n from {gone}"
    found = connection.keep(
        "_cdc_found",
        f"select t._cdc_r as r, g.s as s, g.at as at from ({numbered}) t join ({wanted}) g "
        "on t._cdc_h = g._cdc_h and t._cdc_n = g._cdc_n",
    )
    rows = dialect.newest(mapping.target, f"{VERSION} = 0 and _cdc_seq in (select r from {found})")
    _end(connection, mapping.stored, mapping.target, f"{rows} t join {found} g on t._cdc_seq = g.r")
    count = connection.query(f"select count(*) from {found}")[0][0]
    connection.run(f"drop table {gone}")
    connection.run(f"drop table {found}")
    return int(count)


def _end(connection: Connection, stored: StoredTable, target: str, origin: str) -> None:
    """Insert rows of the table, `t` of `origin`, again as ended or removed: by the change `g.s` at `g.at`."""
    quoted, dialect = connection.dialect.quoted, connection.dialect
    values = {quoted(c.name): f"t.{quoted(c.name)}" for c in stored.columns}
    is_keyed = bool(stored.key)
    values |= {
        name: f"t.{name}" for name, _ in own_columns(stored.mode, stored.deletes, dialect, is_keyed=is_keyed)
    }
    if stored.mode == "history":
        values |= {"valid_to": dialect.later("t.valid_from", "g.at"), "_cdc_end_seq": "g.s", VERSION: "g.s"}
    elif is_keyed:
        values |= {"_cdc_seq": "g.s", "_cdc_commit_at": "g.at", "_cdc_deleted": "true"}
    else:
        values |= {"_cdc_commit_at": "g.at", "_cdc_deleted": "true", VERSION: "g.s"}
    connection.run(
        f"insert into {target} ({', '.join(values)}) select {', '.join(values.values())} from {origin}"
    )


def end_older(
    connection: Connection, stored: StoredTable, target: str, seq: int, at: datetime | None
) -> None:
    """End the versions, or mark the rows deleted, that are older than the change `seq`: a truncate, or the
    beginning of a copy.
    """
    dialect = connection.dialect
    open_ = f"{VERSION} = 0" if stored.mode == "history" or not stored.key else "not _cdc_deleted"
    older = dialect.newest(target, f"{open_} and _cdc_seq < {seq}")
    moment = f"(select cast({seq} as {dialect.types.bigint}) as s, {dialect.moment(at)} as at)"
    _end(connection, stored, target, f"{older} t cross join {moment} g")


def history(change: Change) -> None:
    """Add the versions that these changes begin, and end those that they end."""
    if not change.mapping.schema.key or not change.mapping.has_key:
        change = change.not_below(change.replayed_below)
    if not change.batches:
        return
    stored, target = change.mapping.stored, change.mapping.target
    for segment in segments(change.batches):
        if segment.truncated_at is not None:
            end_older(change.connection, stored, target, segment.truncated_at, segment.commit_at)
        if segment.batches and change.mapping.schema.key:
            _history_keyed(change, segment)
        elif segment.batches:
            _keyless(change, segment)


def _history_keyed(change: Change, segment: TruncateSegment) -> None:
    mapping, connection, dialect = change.mapping, change.connection, change.mapping.dialect
    versions = row_versions(segment.batches)
    opened, filled = fill_opened(change, versions, segment.batches[0].seq[0].as_py())
    closing = mapping.staged(versions.closing.table)
    if closing.num_rows:
        rows = dialect.newest(mapping.target, f"{VERSION} = 0 and {mapping.key_in('c')}")
        matches = mapping.key_equals("k", closing)
        origin = f"{rows} t join {GIVEN} k on {matches} where t._cdc_seq < k.s"
        _close(change, origin, closing)
    ended = f"case when r.end_s is not null then {dialect.later('r.at', 'r.end_at')} end"
    own = {"valid_from": "r.at", "valid_to": ended, "_cdc_seq": "r.s", "_cdc_end_seq": "r.end_s"}
    own[VERSION] = "coalesce(r.end_s, 0)"
    # In a replay the columns of older rows may have changed: what is there stays as it is.
    known = f"r.s not in (select _cdc_seq from {mapping.target})"
    condition = f" where {known}" if change.is_replay else ""
    _insert(change, own, given=opened, condition=condition)
    if filled is not None:
        _insert(change, own, origin=filled, condition=condition)
        connection.run(f"drop table {filled}")


def _close(change: Change, origin: str, closing: pa.Table) -> None:
    """End stored versions by the staged keys."""
    stored, dialect = change.mapping.stored, change.mapping.dialect
    values = {dialect.quoted(c.name): f"t.{dialect.quoted(c.name)}" for c in stored.columns}
    values |= {"valid_from": "t.valid_from", "valid_to": dialect.later("t.valid_from", "k.at")}
    values |= {"_cdc_seq": "t._cdc_seq", "_cdc_end_seq": "k.s", VERSION: "k.s"}
    change.connection.run(
        f"insert into {change.mapping.target} ({', '.join(values)}) select {', '.join(values.values())} "
        f"from {origin}",
        closing,
    )
