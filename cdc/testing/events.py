"""Builders of schemas, batches, change sets and deliveries from plain Python rows.

They make exactly what a source makes (dictionary-encoded envelope columns, ordinals from 0), a row at a
time: for tests, never for the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cdc.model import (
    ChangeBatch,
    ChangeSet,
    Column,
    Commit,
    Envelope,
    Operation,
    Position,
    TableId,
    TableSchema,
)
from cdc.model.batch import OPERATION_DICTIONARY, altered_batch
from cdc.model.schema import Identity
from cdc.spi.log import LogWriter
from cdc.spi.sink import Delivery, SinkContext
from cdc.spi.source import SourceContext

# One change of one table: (op, row), (op, row, before) or (op, row, before, unchanged column names).
Change = Sequence[Any]

# The commit time of everything built without one.
EPOCH = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# The identity of the log that built deliveries are of.
LOG_ID = "5f1a0c9e-0000-4000-8000-000000000000"


def position(order: int) -> Position:
    """A position written as Postgres writes an LSN."""
    return Position(order, f"{order >> 32:X}/{order & 0xFFFFFFFF:X}")


def table(
    name: str,
    columns: Mapping[str, pa.DataType],
    *,
    key: Sequence[str] | None = None,
    identity: Identity = "key",
    relation: int | None = None,
    version: int = 0,
) -> TableSchema:
    """A schema; the key is the first column unless given, `key=()` for none. Column ids count from 1."""
    schema_name, _, table_name = name.partition(".")
    made = tuple(Column(n, t, str(t), id=i) for i, (n, t) in enumerate(columns.items(), 1))
    names = tuple(columns)[:1] if key is None else tuple(key)
    return TableSchema(TableId(schema_name, table_name), made, names, identity, relation, version)


def changes(
    schema: TableSchema,
    rows: Iterable[Change],
    *,
    seqs: Sequence[int] | None = None,
    start: int = 0,
    tx: str = "1",
    at: int = 1,
    commit_at: datetime | None = EPOCH,
) -> ChangeBatch:
    """One batch. `_cdc_seq` is `seqs`, else counts from `start`; `at` is the order of `_cdc_position`."""
    items = [tuple(row) + (None,) * (4 - len(row)) for row in rows]
    ordinals = list(seqs) if seqs is not None else list(range(start, start + len(items)))
    count = len(items)
    arrays = [
        pa.array([None if row is None else row.get(c.name) for _, row, _, _ in items], c.type)
        for c in schema.columns
    ]
    names = [c.name for c in schema.columns]
    codes = pa.array([Operation(op).code for op, *_ in items], pa.int8())
    zeros = pa.repeat(pa.scalar(0, pa.int32()), count)
    envelope: dict[str, Any] = {
        Envelope.OP: pa.DictionaryArray.from_arrays(codes, OPERATION_DICTIONARY),
        Envelope.SEQ: pa.array(ordinals, Envelope.SEQ_TYPE),
        Envelope.TX: pa.DictionaryArray.from_arrays(zeros, pa.array([tx], pa.string())),
        Envelope.POSITION: pa.DictionaryArray.from_arrays(zeros, pa.array([position(at).text], pa.string())),
        Envelope.COMMIT_AT: pa.array([commit_at] * count, Envelope.COMMIT_AT_TYPE),
    }
    if any(before is not None for _, _, before, _ in items):
        envelope[Envelope.BEFORE] = _before(schema, [before for _, _, before, _ in items])
    if any(unchanged for *_, unchanged in items):
        envelope[Envelope.UNCHANGED] = _unchanged([unchanged for *_, unchanged in items])
    data = pa.RecordBatch.from_arrays([*arrays, *envelope.values()], names=[*names, *envelope])
    return ChangeBatch(schema, data)


def altered(schema: TableSchema, seq: int, *, at: int = 1) -> ChangeBatch:
    """The mark of a new definition, at this offset (or ordinal), at the position of this order."""
    return altered_batch(schema, position(at).text, seq)


def transaction(
    at: int,
    steps: Iterable[Sequence[Any]],
    *,
    tx: str | None = None,
    commit_at: datetime | None = EPOCH,
    part_rows: int | None = None,
) -> list[ChangeSet]:
    """One transaction committed at order `at`: steps are `(schema, op, row[, before[, unchanged]])` in order
    over all tables.

    Gives one ChangeSet that ends at position `at + 1`, or, with `part_rows`, several of which only the last
    carries it.
    """
    items = list(steps)
    size = part_rows or max(len(items), 1)
    groups = [items[i : i + size] for i in range(0, len(items), size)] or [[]]
    made = []
    for group in groups:
        batches = _batches(group, tx=tx or str(at), at=at, commit_at=commit_at)
        made.append(ChangeSet(batches, None, changes=len(group)))
    made[-1] = replace(made[-1], position=position(at + 1), transactions=1, commit_at=commit_at)
    return made


def delivery(  # noqa: PLR0913  (one keyword a field)
    batches: Sequence[ChangeBatch],
    *,
    source: str = "shop",
    first: int,
    next: int,  # noqa: A002  (the term of the contract)
    parts: Callable[[], Iterator[Sequence[ChangeBatch]]] | None = None,
    replaying: bool = False,
    commit_at: datetime | None = EPOCH,
    at: int | None = None,
    begins: bool = False,
) -> Delivery:
    """A delivery of these batches in one part, or of what `parts` gives; its position is `at`, else its
    `next`.
    """
    return Delivery(
        source=source,
        first=first,
        next=next,
        position=position(next if at is None else at),
        commit_at=commit_at,
        row_count=sum(batch.row_count for batch in batches),
        byte_count=sum(batch.byte_count for batch in batches),
        replaying=replaying,
        parts=parts or (lambda: iter([list(batches)] if batches else [])),
        begins=begins,
    )


def source_context(name: str = "shop") -> SourceContext:
    """Return a context that discards all reports."""
    return SourceContext(name, log=_ignore, count=_ignore)


def sink_context(name: str = "lake", epoch: int = 1) -> SinkContext:
    """Return a context that discards all reports."""
    return SinkContext(name, epoch, log=_ignore, count=_ignore, log_id=LOG_ID)


def _ignore(*args: object, **fields: object) -> None:
    """Report nothing."""


def _batches(
    group: Sequence[Sequence[Any]], *, tx: str, at: int, commit_at: datetime | None
) -> tuple[ChangeBatch, ...]:
    """One batch per schema object, in order of first appearance, ordinals as in the group."""
    by_schema: dict[int, tuple[TableSchema, list[int], list[Change]]] = {}
    for ordinal, (schema, *change) in enumerate(group):
        _, seqs, rows = by_schema.setdefault(id(schema), (schema, [], []))
        seqs.append(ordinal)
        rows.append(change)
    return tuple(
        changes(schema, rows, seqs=seqs, tx=tx, at=at, commit_at=commit_at)
        for schema, seqs, rows in by_schema.values()
    )


def _before(schema: TableSchema, images: list[Mapping[str, Any] | None]) -> pa.StructArray:
    fields = [pa.field(c.name, c.type) for c in schema.columns]
    arrays = [pa.array([(image or {}).get(c.name) for image in images], c.type) for c in schema.columns]
    mask = pa.array([image is None for image in images], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=mask)


def _unchanged(names: list[Sequence[str] | None]) -> pa.DictionaryArray:
    distinct = sorted({tuple(n) for n in names if n})
    where = {n: i for i, n in enumerate(distinct)}
    indices = pa.array([where[tuple(n)] if n else None for n in names], pa.int32())
    values = pa.array([list(n) for n in distinct], pa.list_(pa.string()))
    return pa.DictionaryArray.from_arrays(indices, values)


def append(
    log: LogWriter,
    changes: ChangeSet,
    position: Position | None = None,
    metadata: Mapping[str, str | None] | None = None,
) -> Commit:
    """Append one set to a log as a separate commit, at its position or at the given one."""
    reached = position or changes.position
    assert reached is not None, "a set without a position is a part"
    with log.begin() as transaction:
        transaction.append(changes)
        return transaction.commit(reached, metadata)


def append_parts(
    log: LogWriter, parts: Iterable[ChangeSet], metadata: Mapping[str, str | None] | None = None
) -> Commit:
    """Append the parts of one transaction to a log as one commit."""
    with log.begin() as transaction:
        for part in parts:
            transaction.append(part)
            reached = part.position
        assert reached is not None, "the last part has the position"
        return transaction.commit(reached, metadata)
