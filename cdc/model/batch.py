"""The unit of work everywhere: changes of one table under one schema version, as one Arrow record batch, with
the sinks that see it, and the marks between its rows (progress of a copy, a new definition); the sets of
changes that become durable together, and the log's record of each such commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model.position import Position, from_microseconds, to_microseconds
from cdc.model.schema import TableId, TableSchema


class Operation(StrEnum):
    """The values of the envelope column `_cdc_op`: what a change did; the letters are Debezium's."""

    READ = "r"
    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    TRUNCATE = "t"

    @property
    def code(self) -> int:
        """The dictionary index of this operation in every batch (`OPERATION_DICTIONARY`)."""
        return _CODES[self]


_CODES = {operation: index for index, operation in enumerate(Operation)}

# Every batch shares this dictionary, so an op column's indices are the codes: r=0 c=1 u=2 d=3 t=4.
OPERATION_DICTIONARY: pa.StringArray = pa.array([o.value for o in Operation], pa.string())


class CopyStep(StrEnum):
    """State of a table from its mark on.

    PENDING: a copy is due, and no further change of the table arrives before it begins. BEGIN: all rows and
    changes that follow belong to a copy from nothing; an earlier one that did not finish is void. FINISHED:
    the rows and changes since BEGIN are the table as of here. CANCELLED: the copy that was due or under way
    is not made (the table was dropped at the source), and what arrived since BEGIN is void. ALTERED is no
    step of a copy: the table has the batch's schema and name from here on, whether rows follow or not.
    """

    PENDING = "pending"
    BEGIN = "begin"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    ALTERED = "altered"


@dataclass(frozen=True, slots=True)
class CopyMark:
    """One step; `at` is the wall clock then.

    A mark takes an offset of its own, `seq`: an ordinal before the log, an offset after it.
    """

    step: CopyStep
    at: datetime
    seq: int = 0

    def shifted(self, base: int) -> CopyMark:
        return replace(self, seq=self.seq + base)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step.value, "at": to_microseconds(self.at), "seq": self.seq}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CopyMark:
        return cls(CopyStep(value["step"]), from_microseconds(value["at"]), value["seq"])


_ONLY, _BUT = "only", "but"


@dataclass(frozen=True, slots=True)
class Audience:
    """A set of sinks of one source: those in `sinks`, or all but those with `excluded`.

    The default is every sink, also one that is configured later. Names are those of the configuration.
    """

    sinks: frozenset[str] = frozenset()
    excluded: bool = True

    @classmethod
    def only(cls, sinks: Iterable[str]) -> Audience:
        return cls(frozenset(sinks), excluded=False)

    @property
    def is_everyone(self) -> bool:
        return self.excluded and not self.sinks

    @property
    def others(self) -> Audience:
        """Exactly the sinks that this audience leaves out."""
        return Audience(self.sinks, not self.excluded)

    def includes(self, sink: str) -> bool:
        return (sink in self.sinks) != self.excluded

    def covers(self, other: Audience) -> bool:
        """Return whether every sink of `other` is in this audience."""
        return self | other == self

    def __or__(self, other: Audience) -> Audience:
        if self.excluded and other.excluded:
            return Audience(self.sinks & other.sinks)
        if self.excluded:
            return Audience(self.sinks - other.sinks)
        if other.excluded:
            return Audience(other.sinks - self.sinks)
        return Audience(self.sinks | other.sinks, excluded=False)

    def to_json(self) -> dict[str, Any] | None:
        """A JSON-able form, `None` for every sink; `from_json` returns an equal value."""
        if self.is_everyone:
            return None
        return {_BUT if self.excluded else _ONLY: sorted(self.sinks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Audience:
        if value is None:
            return EVERYONE
        return cls(frozenset(value.get(_ONLY, value.get(_BUT, ()))), excluded=_BUT in value)


EVERYONE = Audience()


RESERVED_PREFIX = "_cdc_"
# `_cdc_tx` of changes that no transaction of the stream brought.
SNAPSHOT_TX = "snapshot"
# Measuring a slice exactly takes as long as half of an append to the log (60 µs for ten columns). Of buffers
# smaller than this a slice counts as the whole: a few KiB decide nothing.
MEASURED_WHOLE_BYTES = 4096


class Envelope:
    """Names and Arrow types of the envelope columns (DESIGN section 3)."""

    OP = "_cdc_op"
    SEQ = "_cdc_seq"
    TX = "_cdc_tx"
    POSITION = "_cdc_position"
    COMMIT_AT = "_cdc_commit_at"
    BEFORE = "_cdc_before"
    UNCHANGED = "_cdc_unchanged"

    # Types in memory and in the log. `_cdc_before` is a struct of the table's columns.
    OP_TYPE = pa.dictionary(pa.int8(), pa.string())
    SEQ_TYPE = pa.int64()
    TX_TYPE = pa.dictionary(pa.int32(), pa.string())
    POSITION_TYPE = pa.dictionary(pa.int32(), pa.string())
    COMMIT_AT_TYPE = pa.timestamp("us", "UTC")
    UNCHANGED_TYPE = pa.dictionary(pa.int32(), pa.list_(pa.string()))

    ALWAYS = (OP, SEQ, TX, POSITION, COMMIT_AT)


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Changes of one table, ordered by `_cdc_seq`.

    `data` holds the schema's columns first, in schema order, under their own names, then the envelope
    columns: the five of `Envelope.ALWAYS`, and `_cdc_before` and `_cdc_unchanged` only when some row has one.
    Between the source and the log `_cdc_seq` holds ordinals that start at 0 in each ChangeSet and order the
    changes of all its tables; the log adds its own next offset, and from then on the values are final. A
    truncate is a row of its own whose columns are all null. A delete's columns hold the old image; columns
    that the source did not send are null and named in `_cdc_unchanged`.

    `audience` are the sinks that see the batch. A batch with a `mark` begins or ends a step of the table's
    copy: it has no row, or, where a copy of a known table begins, one truncate. The mark ALTERED brings a new
    definition, without a row.

    `commit` is the log commit that holds the batch, set when the log is read for delivery.
    """

    schema: TableSchema
    data: pa.RecordBatch
    audience: Audience = EVERYONE
    mark: CopyMark | None = None
    commit: Commit | None = field(default=None, compare=False, repr=False)

    @property
    def table(self) -> TableId:
        return self.schema.table

    @property
    def row_count(self) -> int:
        return int(self.data.num_rows)

    @property
    def byte_count(self) -> int:
        """Bytes in memory of this batch's slice of its buffers; of small batches, of the whole buffers."""
        whole = int(self.data.get_total_buffer_size())
        return whole if whole < MEASURED_WHOLE_BYTES else int(self.data.nbytes)

    @property
    def ops(self) -> pa.Array:
        """int8 codes of the operations (`Operation.code`)."""
        return self.data.column(Envelope.OP).indices

    @property
    def seq(self) -> pa.Array:
        return self.data.column(Envelope.SEQ)

    @property
    def before(self) -> pa.StructArray | None:
        return self._optional(Envelope.BEFORE)

    @property
    def unchanged(self) -> pa.DictionaryArray | None:
        return self._optional(Envelope.UNCHANGED)

    @property
    def first_seq(self) -> int | None:
        """Where the batch begins; None for one without rows and mark."""
        if self.row_count:
            return int(self.seq[0].as_py())
        return self.mark.seq if self.mark is not None else None

    @property
    def last_seq(self) -> int | None:
        """Where the batch ends; None for one without rows and mark."""
        if self.row_count:
            return int(self.seq[-1].as_py())
        return self.mark.seq if self.mark is not None else None

    def row_columns(self) -> list[pa.Array]:
        """The table's own columns, in schema order."""
        return [self.data.column(i) for i in range(len(self.schema.columns))]

    def shifted(self, base: int) -> ChangeBatch:
        """The same changes with `base` added to every `_cdc_seq`."""
        index = self.data.schema.get_field_index(Envelope.SEQ)
        seq = pc.add(self.data.column(index), pa.scalar(base, pa.int64()))
        mark = self.mark and self.mark.shifted(base)
        return replace(self, data=self.data.set_column(index, Envelope.SEQ, seq), mark=mark)

    def filtered(self, mask: pa.Array) -> ChangeBatch:
        """The rows where the boolean `mask` is true, in order."""
        return replace(self, data=self.data.filter(mask))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict a change, envelope included: for people and tests, never for the hot path."""
        decoded = {name: self._plain(name) for name in self.data.schema.names}
        for i in range(self.row_count):
            yield {name: column[i] for name, column in decoded.items()}

    def _plain(self, name: str) -> list[Any]:
        column = self.data.column(name)
        if isinstance(column, pa.DictionaryArray):
            column = column.dictionary.take(column.indices)
        return list(column.to_pylist())

    def _optional(self, name: str) -> Any:
        index = self.data.schema.get_field_index(name)
        return None if index < 0 else self.data.column(index)


def altered_batch(schema: TableSchema, place: str, ordinal: int) -> ChangeBatch:
    """The word, without rows, that a table has this schema from a place of the stream on."""
    at = datetime.now(UTC)
    columns = [pa.nulls(0, column.type) for column in schema.columns]
    batch = snapshot_batch(schema, Operation.UPDATE, columns, 0, place, at)
    return replace(batch, mark=CopyMark(CopyStep.ALTERED, at, ordinal))


def snapshot_batch(
    schema: TableSchema,
    operation: Operation,
    columns: Sequence[pa.Array],
    count: int,
    place: str,
    at: datetime,
) -> ChangeBatch:
    """Return copied rows with their envelope: `count` times one operation at one place, numbered from 0."""
    envelope = [
        op_array(operation, count),
        pa.array(np.arange(count, dtype=np.int64)),
        constant_text(SNAPSHOT_TX, count),
        constant_text(place, count),
        pa.repeat(pa.scalar(at, Envelope.COMMIT_AT_TYPE), count),
    ]
    names = [*schema.arrow.names, *Envelope.ALWAYS]
    return ChangeBatch(schema, pa.RecordBatch.from_arrays([*columns, *envelope], names=names))


def op_array(operation: Operation, count: int) -> pa.DictionaryArray:
    """`count` times the same operation, as an op column."""
    codes = pa.repeat(pa.scalar(operation.code, pa.int8()), count)
    return pa.DictionaryArray.from_arrays(codes, OPERATION_DICTIONARY)


def constant_text(value: str, count: int) -> pa.DictionaryArray:
    """`count` times the same text, as a `_cdc_tx` or `_cdc_position` column."""
    zeros = pa.repeat(pa.scalar(0, pa.int32()), count)
    return pa.DictionaryArray.from_arrays(zeros, pa.array([value], pa.string()))


@dataclass(frozen=True, slots=True)
class Resnapshot:
    """A source's word that a table's rows changed without row events (a rewrite) and must be read again.

    `relation` is the source's number of the table, which stays when it is renamed. `remedy` ends what an
    application may do again and again: then each copy waits longer than the one before.
    """

    table: TableId
    reason: str
    relation: int | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """One or more whole source transactions in commit order, or a part of one that is too large for memory.

    `position` is where the source can continue after this set: all before it is contained. None says that
    more parts of the same transaction follow; the part that ends it carries the position. A set may be empty:
    it then only moves the position (an idle source). `changes` is the number of ordinals used by the batches'
    `_cdc_seq` (at least the number of rows). `memory` is what the source wants back at its next start, by
    key; None deletes a key.
    """

    batches: tuple[ChangeBatch, ...]
    position: Position | None
    changes: int = 0
    transactions: int = 0
    commit_at: datetime | None = None
    memory: Mapping[str, str | None] = field(default_factory=dict)
    resnapshot: tuple[Resnapshot, ...] = ()

    @property
    def byte_count(self) -> int:
        return sum(batch.byte_count for batch in self.batches)

    @property
    def row_count(self) -> int:
        return sum(batch.row_count for batch in self.batches)


@dataclass(frozen=True, slots=True)
class Commit:
    """The log's record of one durable ChangeSet.

    The set holds the offsets `first` ≤ offset < `next`; a set without changes has first == next. Offsets are
    the values of `_cdc_seq`. `position` is the source position reached, `commit_at` the commit time of the
    last transaction in it (None for snapshot reads and heartbeats), `written_at` the wall clock of the log.
    `audience` holds every sink that sees one of its batches: a sink outside has nothing to read here.
    """

    first: int
    next: int
    position: Position
    commit_at: datetime | None
    written_at: datetime
    row_count: int
    byte_count: int
    transactions: int = 0
    audience: Audience = EVERYONE
