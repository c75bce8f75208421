"""Reduction of the changes of a table with a key: the last change per key, which a mirror applies, or every
version, for a history.

The changes are events in order, each knowing its row's key and the event before it. A change that moves a row
to another key is two events: a departure from the old key, then an arrival at the new one. The arrival's
predecessor is its departure, so walking back from any event follows one row through all its keys, and stops
where a value is known. The walk is done for all rows at once by pointer doubling: a chain of n updates takes
log2(n) steps, with no loop over rows.

Storing the reduction is exact: delete what is stored under every key of `upserts` and `deletes`, then insert
`upserts`, with holes filled from the stored rows as they were before that delete. Inserts, updates, deletes,
key changes, swaps and chains of them within one batch come out as if applied one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema

# A number for each row, equal where the rows are.
Codes = npt.NDArray[np.int64]
_CODE_BYTES = 8
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Holes:
    """Values that no change contains: the sink fills them from its stored row.

    `rows` are positions in the table that the holes belong to; `base` holds, row for row, the key under which
    the stored row has the values (the key from before all changes here); `missing` says per column where a
    value is wanted.
    """

    rows: Codes
    base: pa.Table
    missing: Mapping[str, Mask]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with `_cdc_seq` and `_cdc_commit_at`, in `_cdc_seq` order, and their missing values."""

    table: pa.Table
    holes: Holes | None = None


class Timeline:
    """Events of batches that share a schema with a key and hold no truncate.

    Events 0 ≤ e < `row_count` are the changes themselves, the rest are departures. `gid` numbers the distinct
    keys, `order` sorts all events.
    """

    def __init__(self, batches: Sequence[ChangeBatch]) -> None:
        if not batches or not batches[0].schema.key:
            raise ValueError("a timeline needs at least one batch, and a table with a key")
        self._batches = batches
        self.schema: TableSchema = batches[0].schema
        self.ops = np.concatenate([np.asarray(batch.ops) for batch in batches])
        self.row_count = len(self.ops)
        self._moved, old_keys = self._departures()
        self.keys = {
            name: _joined([self._column(name), old_keys[name]]) if len(self._moved) else self._column(name)
            for name in self.schema.key
        }
        self.count = self.row_count + len(self._moved)
        self.gid = row_codes(list(self.keys.values()), self.count)
        self.order = np.concatenate([2 * np.arange(self.row_count) + 1, 2 * self._moved])
        self._row_of = np.concatenate([np.arange(self.row_count), self._moved])

    @property
    def arrives(self) -> Mask:
        """Whether a row with the event's key exists after it."""
        arrives = np.zeros(self.count, np.bool_)
        arrives[: self.row_count] = self.ops != Operation.DELETE.code
        return arrives

    @cached_property
    def sorted(self) -> Codes:
        """All events by key, then by order."""
        if len(self._moved) == 0:
            return np.argsort(self.gid, kind="stable")
        return np.lexsort((self.order, self.gid))

    def finals(self) -> Codes:
        """The last event of every key, in order."""
        if len(self._moved) == 0:
            last = np.empty(int(self.gid.max(initial=-1)) + 1, np.int64)
            last[self.gid] = np.arange(self.count)
        else:
            ends = np.r_[self.gid[self.sorted[1:]] != self.gid[self.sorted[:-1]], True]
            last = self.sorted[ends]
        return last[np.argsort(self.order[last])]

    def rows(self, events: Codes, *, complete: bool = True) -> Rows:
        """The state of the rows just after these events; with `complete` off only keys, `_cdc_seq` and
        `_cdc_commit_at`.

        A departure's state is that of the row that left.
        """
        own = self._row_of[events]
        envelope = {name: _take(self._column(name), own) for name in (Envelope.SEQ, Envelope.COMMIT_AT)}
        if not complete:
            taken = {name: _take(self.keys[name], events) for name in self.schema.key}
            return Rows(pa.table({**taken, **envelope}))
        columns, missing, roots = self._state(events)
        table = pa.table(
            [*columns, *envelope.values()], names=[*(c.name for c in self.schema.columns), *envelope]
        )
        if not missing:
            return Rows(table)
        wanted = np.flatnonzero(np.logical_or.reduce(list(missing.values())))
        base = pa.table({name: self.keys[name].take(pa.array(roots[wanted])) for name in self.schema.key})
        return Rows(table, Holes(wanted, base, {name: mask[wanted] for name, mask in missing.items()}))

    def _state(self, events: Codes) -> tuple[list[pa.Array], dict[str, Mask], Codes]:
        columns: list[pa.Array] = []
        missing: dict[str, Mask] = {}
        roots = events
        for column in self.schema.columns:
            known = self._known(column.name)
            values = self._values(column.name)
            if known is None:
                columns.append(_take(values, events))
                continue
            found = self._walk(known)[events]
            is_known = known[found]
            columns.append(values.take(pa.array(found, mask=~is_known)))
            if not is_known.all():
                missing[column.name] = ~is_known
                roots = np.where(is_known, roots, found)
        return columns, missing, roots

    def _walk(self, known: Mask) -> Codes:
        """For each event the nearest one at or before it, along its row, where the value is known; else the
        row's first.
        """
        own = np.arange(self.count)
        pointer = np.where(known | (self._previous < 0), own, self._previous)
        while True:
            further = pointer[pointer]
            if np.array_equal(further, pointer):
                return pointer
            pointer = further

    @cached_property
    def _previous(self) -> Codes:
        """The event before each along its row; -1 for the first."""
        before, after = self.sorted[:-1], self.sorted[1:]
        previous = np.full(self.count, -1, np.int64)
        previous[after] = np.where(self.gid[before] == self.gid[after], before, -1)
        previous[self._moved] = self.row_count + np.arange(len(self._moved))
        return previous

    def _known(self, name: str) -> Mask | None:
        """Where the event carries this column's value; None when all do.

        What the schema says of old images counts for nothing: each holds the key, and beyond it what the
        server's settings of that moment let through. A null may be a value that was not sent.
        """
        sent = self._sent.get(name)
        if sent is None and (name in self.schema.key or len(self._moved) == 0):
            return None
        rows = np.ones(self.row_count, np.bool_) if sent is None else sent
        return np.concatenate([rows, self._held_by_departures(name)])

    def _held_by_departures(self, name: str) -> Mask:
        if name in self.schema.key:
            return np.ones(len(self._moved), np.bool_)
        return np.asarray(self._before(name).take(pa.array(self._moved)).is_valid(), np.bool_)

    @cached_property
    def _sent(self) -> dict[str, Mask]:
        """Per column that some row lacks: which rows carry it."""
        start = 0
        sent: dict[str, Mask] = {}
        for batch in self._batches:
            if batch.unchanged is not None:
                for name, rows in _lacking(batch.unchanged):
                    mask = sent.setdefault(name, np.ones(self.row_count, np.bool_))
                    mask[start : start + batch.row_count][rows] = False
            start += batch.row_count
        return {name: mask for name, mask in sent.items() if not mask.all()}

    def _values(self, name: str) -> pa.Array:
        if len(self._moved) == 0:
            return self._column(name)
        if name in self.schema.key:
            return self.keys[name]
        return _joined([self._column(name), self._before(name).take(pa.array(self._moved))])

    def _departures(self) -> tuple[Codes, dict[str, pa.Array]]:
        """Which changes move their row to another key, and the old keys."""
        none = np.zeros(0, np.int64)
        if all(batch.before is None for batch in self._batches):
            return none, {}
        valid = np.concatenate([_validity(batch) for batch in self._batches])
        candidates = np.flatnonzero(valid & (self.ops == Operation.UPDATE.code))
        old = {name: self._before(name).take(pa.array(candidates)) for name in self.schema.key}
        new = [self._column(name).take(pa.array(candidates)) for name in self.schema.key]
        both = [_joined([o, n]) for o, n in zip(old.values(), new, strict=True)]
        codes = row_codes(both, 2 * len(candidates))
        changed = np.flatnonzero(codes[: len(candidates)] != codes[len(candidates) :])
        return candidates[changed], {name: array.take(pa.array(changed)) for name, array in old.items()}

    def _column(self, name: str) -> pa.Array:
        return _joined([batch.data.column(name) for batch in self._batches])

    def _before(self, name: str) -> pa.Array:
        kind = self.schema.column(name).type
        images = [(batch.before, batch.row_count) for batch in self._batches]
        return _joined([pa.nulls(n, kind) if b is None else b.field(name) for b, n in images])


def _lacking(unchanged: Any) -> list[tuple[str, Codes]]:
    """Per column named in a `_cdc_unchanged` column: the rows that name it."""
    sets = unchanged.dictionary.to_pylist()
    indices = np.asarray(unchanged.indices.fill_null(len(sets)), np.int64)
    names = sorted({name for one in sets for name in one or ()})
    table = np.zeros((len(names), len(sets) + 1), np.bool_)
    for row, name in enumerate(names):
        table[row, :-1] = [name in (one or ()) for one in sets]
    return [(name, np.flatnonzero(table[row][indices])) for row, name in enumerate(names)]


def _validity(batch: ChangeBatch) -> Mask:
    if batch.before is None:
        return np.zeros(batch.row_count, np.bool_)
    return np.asarray(batch.before.is_valid(), np.bool_)


def _joined(arrays: list[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _take(values: pa.Array, positions: Codes) -> pa.Array:
    """`values` at these positions; all of them in place (a snapshot's rows, plain inserts) costs no copy."""
    if len(positions) == len(values) and np.array_equal(positions, np.arange(len(values))):
        return values
    return values.take(pa.array(positions))


def row_codes(columns: Sequence[Any], count: int) -> Codes:
    """Return one code a row over all columns; without columns all rows are equal.

    Equality is that of the stored bytes (null equals null, NaN equals NaN): the same by which a source
    decides whether a key has changed. Codes are dense: 0 ≤ code < number of distinct rows.
    """
    codes: Codes = np.zeros(count, np.int64)
    for index, column in enumerate(columns):
        own = _column_codes(column)
        codes = own if index == 0 else _dense(codes * (int(own.max(initial=0)) + 1) + own)
    return codes


def _column_codes(column: Any) -> Codes:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary.take(array.indices)
    kind = array.type
    if pa.types.is_struct(kind):
        return row_codes([array.is_valid(), *array.flatten()], len(array))
    if pa.types.is_map(kind):
        array = array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    if pa.types.is_nested(array.type):
        array = _list_bytes(array)
    return np.asarray(array.dictionary_encode("encode").indices, np.int64)


def _list_bytes(array: Any) -> Any:
    """Each list as the bytes of its elements' codes: equal bytes, equal lists."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * _CODE_BYTES
    elements = _column_codes(array.flatten())
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(elements))]
    packed = pa.Array.from_buffers(pa.large_binary(), len(array), buffers)
    return pc.if_else(array.is_valid(), packed, pa.scalar(None, pa.large_binary()))


def _dense(codes: Codes) -> Codes:
    """The same partition numbered from 0; keeps the products of `row_codes` far from 2**63."""
    return np.asarray(pa.array(codes).dictionary_encode().indices, np.int64)


@dataclass(slots=True)
class TruncateSegment:
    """The changes after a truncate (or from the start: `truncated_at` None) up to the next one.

    `truncated_at` is the `_cdc_seq` of the truncate, `commit_at` when it was committed.
    """

    truncated_at: int | None = None
    commit_at: datetime | None = None
    batches: list[ChangeBatch] = field(default_factory=list)


def segments(batches: Iterable[ChangeBatch]) -> Sequence[TruncateSegment]:
    """Cut batches at truncates, because rows must not be reduced across them.

    At least one segment; only the first may be without a truncate.
    """
    made = [TruncateSegment()]
    for batch in batches:
        start = 0
        for cut in np.flatnonzero(np.asarray(batch.ops) == Operation.TRUNCATE.code).tolist():
            _extend(made[-1], batch, start, cut)
            commit_at = batch.data.column(Envelope.COMMIT_AT)[cut].as_py()
            made.append(TruncateSegment(batch.seq[cut].as_py(), commit_at))
            start = cut + 1
        _extend(made[-1], batch, start, batch.row_count)
    return made


def _extend(segment: TruncateSegment, batch: ChangeBatch, start: int, end: int) -> None:
    if start == 0 and end == batch.row_count and end:
        segment.batches.append(batch)
    elif end > start:
        segment.batches.append(ChangeBatch(batch.schema, batch.data.slice(start, end - start)))


@dataclass(frozen=True, slots=True)
class Reduced:
    """`truncated_at`: drop everything stored first (the `_cdc_seq` of the last truncate), then apply.

    `upserts` are whole rows, one a key; `deletes` the keys that end without a row: old keys of moved rows
    included. Every key is in at most one of the two.
    """

    schema: TableSchema
    truncated_at: int | None
    upserts: Rows
    deletes: Rows

    @property
    def truncated(self) -> bool:
        return self.truncated_at is not None


def reduce_batches(batches: Sequence[ChangeBatch], *, keep_deleted: bool = False) -> Reduced:
    """Reduce batches of one table and schema version, in `_cdc_seq` order; the table must have a key.

    `deletes` holds only keys; with `keep_deleted` (soft deletes) whole rows, with holes like `upserts`.
    """
    schema = batches[0].schema
    last = segments(batches)[-1]
    if not last.batches:
        return Reduced(schema, last.truncated_at, _no_rows(schema), _no_rows(schema))
    timeline = Timeline(last.batches)
    finals = timeline.finals()
    arrives = timeline.arrives[finals]
    upserts = timeline.rows(finals[arrives])
    deletes = timeline.rows(finals[~arrives], complete=keep_deleted)
    return Reduced(schema, last.truncated_at, upserts, deletes)


def _no_rows(schema: TableSchema) -> Rows:
    envelope = pa.schema([(Envelope.SEQ, Envelope.SEQ_TYPE), (Envelope.COMMIT_AT, Envelope.COMMIT_AT_TYPE)])
    return Rows(pa.Table.from_batches([], pa.schema([*schema.arrow, *envelope])))


@dataclass(frozen=True, slots=True)
class Versions:
    """`opened`: whole rows, one a version, in order; `ended_seq` and `ended_at` (null while open) beside
    them.

    `closing`: per key that changed, the key, `_cdc_seq` and `_cdc_commit_at` of its first change: that is
    when a version stored before ended.
    """

    opened: Rows
    ended_seq: pa.Array
    ended_at: pa.Array
    closing: Rows


def row_versions(batches: Sequence[ChangeBatch]) -> Versions:
    """Return every version of the rows, for a history (SCD2), of batches that share a schema with a key and
    hold no truncate (`segments` cuts there).

    A version begins with a change and ends with the next change of its key. What ends here is given with its
    end; the last version of each key stays open.
    """
    timeline = Timeline(batches)
    order, gid = timeline.sorted, timeline.gid
    same = gid[order[1:]] == gid[order[:-1]]
    following = np.full(timeline.count, -1, np.int64)
    following[order[:-1]] = np.where(same, order[1:], -1)
    arrivals = np.flatnonzero(timeline.arrives)
    ends = following[arrivals]
    ending = timeline.rows(np.where(ends < 0, 0, ends), complete=False).table
    still_open = pa.array(ends < 0)
    return Versions(
        opened=timeline.rows(arrivals),
        ended_seq=_null_where(still_open, ending[Envelope.SEQ]),
        ended_at=_null_where(still_open, ending[Envelope.COMMIT_AT]),
        closing=timeline.rows(order[np.r_[True, ~same]], complete=False),
    )


def _null_where(mask: pa.Array, values: pa.ChunkedArray) -> pa.Array:
    return pc.if_else(mask, pa.scalar(None, values.type), values.combine_chunks())
