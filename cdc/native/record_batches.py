"""From the columns and the envelope of one table's rows to a record batch: the last step of every decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.errors import CdcError, UnsupportedSchema
from cdc.model.batch import OPERATION_DICTIONARY, Envelope
from cdc.native.unrepresentable import COUNTER, RowError, UnrepresentablePolicy

PositionOf = Callable[[int | None], str]
# Takes a counter's name and what it grows by.
Count = Callable[[str, int], None]
READ, CREATE, UPDATE, DELETE, TRUNCATE = range(5)


def locate(error: CdcError, where: str) -> CdcError:
    """The error, with this place unless it has one."""
    error.where = error.where or where
    return error


def assemble(
    type_: Any,
    length: int,
    null_count: int,
    buffers: Sequence[Any],
    children: Sequence[pa.Array] | None = None,
) -> pa.Array:
    """An array over these buffers, which it keeps; nothing is copied."""
    if isinstance(type_, pa.BaseExtensionType):
        storage = assemble(type_.storage_type, length, null_count, buffers, children)
        return pa.ExtensionArray.from_storage(type_, storage)
    return pa.Array.from_buffers(type_, length, list(buffers), null_count, children=children)


class TableShape:
    """Table as a decoder needs it: fixed between two descriptions of it in the stream.

    `plans` are the columns': anything that has a `name` and its Arrow type as `arrow`.
    """

    def __init__(
        self,
        relid: int,
        table: str,
        plans: Sequence[Any],
        key: Sequence[int] = (),
        identity: str = "d",
        unrepresentable: str = "error",
    ) -> None:
        self.relid = relid
        self.table = table
        self.plans = tuple(plans)
        self.key = tuple(key)
        self.identity = identity
        self.fields = [pa.field(plan.name, plan.arrow) for plan in self.plans]
        self.policies = [UnrepresentablePolicy(unrepresentable) for _ in self.plans]
        if any(not 0 <= index < len(self.plans) for index in self.key):
            message = "the key names a column that the table does not have"
            raise UnsupportedSchema(message, where=table)

    def place(self, column: int, position: str) -> str:
        """Table, column and commit, for errors."""
        parts = [self.table]
        if 0 <= column < len(self.plans):
            parts.append(f"column {self.plans[column].name}")
        if position:
            parts.append(f"commit {position}")
        return ", ".join(parts)

    def take_refused(self) -> int:
        """How many values the policy `null` has replaced since the last call."""
        total = sum(policy.count for policy in self.policies)
        for policy in self.policies:
            policy.count = 0
        return total


@dataclass(slots=True)
class TakenRows:
    """Rows of one table since the last take. Buffers are anything that `pa.py_buffer` takes, in native byte
    order.

    `codes` (int32) index both `transactions` and `positions`. `before_rows` (int64) are the rows that have
    an old image, `before` its columns, dense. `unchanged` (int32, -1 for none) indexes `unchanged_sets`,
    tuples of columns.
    """

    count: int
    ops: Any
    seqs: Any
    codes: Any
    commit_ats: Any
    transactions: list[str]
    positions: list[str]
    unchanged: Any = None
    unchanged_sets: list[tuple[int, ...]] = field(default_factory=list)
    before_rows: Any = None


def finish_columns(shape: TableShape, columns: Sequence[Any], position_of: PositionOf) -> list[pa.Array]:
    """The arrays of `columns` (objects with `finish`); errors are given their place."""
    arrays = []
    for index, column in enumerate(columns):
        try:
            arrays.append(column.finish())
        except RowError as error:
            raise locate(error.cause, shape.place(index, position_of(error.row))) from None
        except CdcError as error:
            raise locate(error, shape.place(index, position_of(None))) from None
    return arrays


def rows_position(taken: TakenRows) -> PositionOf:
    """The commit of a row; of all rows where it is not known which."""
    return lambda row: _position(taken, row)


def before_position(taken: TakenRows) -> PositionOf:
    """The same for rows of the old images."""
    return lambda row: _position(
        taken, None if row is None else int(np.frombuffer(taken.before_rows, np.int64)[row])
    )


def _position(taken: TakenRows, row: int | None) -> str:
    if row is not None:
        return taken.positions[int(np.frombuffer(taken.codes, np.int32)[row])]
    first, last = taken.positions[0], taken.positions[-1]
    return first if first == last else f"{first} to {last}"


def change_batch(
    shape: TableShape, taken: TakenRows, columns: list[pa.Array], before: list[pa.Array] | None
) -> pa.RecordBatch:
    """The rows with their envelope (`cdc.model.batch`)."""
    codes = _primitive(pa.int32(), taken.count, taken.codes)
    arrays = [
        *columns,
        pa.DictionaryArray.from_arrays(_primitive(pa.int8(), taken.count, taken.ops), OPERATION_DICTIONARY),
        _primitive(Envelope.SEQ_TYPE, taken.count, taken.seqs),
        pa.DictionaryArray.from_arrays(codes, pa.array(taken.transactions, pa.string())),
        pa.DictionaryArray.from_arrays(codes, pa.array(taken.positions, pa.string())),
        _primitive(Envelope.COMMIT_AT_TYPE, taken.count, taken.commit_ats),
    ]
    names = [*(f.name for f in shape.fields), *Envelope.ALWAYS]
    if before is not None:
        arrays.append(_before(shape, taken, before))
        names.append(Envelope.BEFORE)
    if taken.unchanged is not None:
        arrays.append(_unchanged(shape, taken))
        names.append(Envelope.UNCHANGED)
    return pa.RecordBatch.from_arrays(arrays, names=names)


def take_rows(shape: TableShape, rows: int, columns: Sequence[Any], count: Count) -> pa.RecordBatch | None:
    """The rows of `columns` (objects with `finish`) without any envelope; None when there are none."""
    if not rows:
        return None
    arrays = finish_columns(shape, columns, lambda row: "")
    report_refused(shape, count)
    if not arrays:
        empty = pa.Array.from_buffers(pa.struct([]), rows, [None])
        return pa.RecordBatch.from_struct_array(empty)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(shape.fields))


def report_refused(shape: TableShape, count: Count) -> None:
    """Count the values that the policy `null` has replaced since the last call."""
    refused = shape.take_refused()
    if refused:
        count(COUNTER, refused)


def _primitive(type_: Any, count: int, buffer: Any) -> pa.Array:
    return pa.Array.from_buffers(type_, count, [None, pa.py_buffer(buffer)])


def _before(shape: TableShape, taken: TakenRows, before: list[pa.Array]) -> pa.Array:
    rows = np.frombuffer(taken.before_rows, np.int64)
    if before:
        dense = pa.StructArray.from_arrays(before, fields=shape.fields)
    else:
        dense = pa.Array.from_buffers(pa.struct([]), len(rows), [None])
    if len(rows) == taken.count:
        return dense
    places = np.zeros(taken.count, np.int64)
    places[rows] = np.arange(len(rows))
    absent = np.ones(taken.count, np.bool_)
    absent[rows] = False
    return dense.take(pa.array(places, mask=absent))


def _unchanged(shape: TableShape, taken: TakenRows) -> pa.Array:
    codes = np.frombuffer(taken.unchanged, np.int32)
    names = [[shape.plans[i].name for i in columns] for columns in taken.unchanged_sets]
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(names, pa.list_(pa.string()))
    )
