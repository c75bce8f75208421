"""Gathered columns and envelope to record batches, the last step of every decoder, and what happens to a
value that Arrow can't hold: the policy `unrepresentable`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.errors import CdcError, UnrepresentableValue, UnsupportedSchema
from cdc.model.batch import OPERATION_DICTIONARY, Envelope

PositionOf = Callable[[int | None], str]
# Takes a counter's name and what it grows by.
Count = Callable[[str, int], None]
COUNTER = "unrepresentable_values"
READ, CREATE, UPDATE, DELETE, TRUNCATE = range(5)
REMEDY = (
    "Set `unrepresentable: null` to deliver nulls (counted), or `unrepresentable: string` to deliver such "
    "columns as text."
)


class Refusals:
    """Decides for one column: `refuse(what)` gives None and counts, or raises, by the policy."""

    def __init__(self, policy: str) -> None:
        self.is_lenient = policy == "null"
        self.count = 0

    def refuse(self, what: str) -> None:
        if not self.is_lenient:
            message = f"{what} has no counterpart in the column's type"
            raise UnrepresentableValue(message, remedy=REMEDY)
        self.count += 1


def locate(error: CdcError, where: str) -> CdcError:
    """The error, with this place unless it has one."""
    error.where = error.where or where
    return error


class RowError(Exception):
    """The value in row `row` of a column can't be converted; `cause` says why."""

    def __init__(self, row: int, cause: CdcError) -> None:
        super().__init__(row)
        self.row = row
        self.cause = cause


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
        self.refusals = [Refusals(unrepresentable) for _ in self.plans]
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
        total = sum(refusals.count for refusals in self.refusals)
        for refusals in self.refusals:
            refusals.count = 0
        return total


@dataclass(slots=True)
class GatheredRows:
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


def rows_position(gathered: GatheredRows) -> PositionOf:
    """The commit of a row; of all rows where it is not known which."""
    return lambda row: _position(gathered, row)


def before_position(gathered: GatheredRows) -> PositionOf:
    """The same for rows of the old images."""
    return lambda row: _position(
        gathered, None if row is None else int(np.frombuffer(gathered.before_rows, np.int64)[row])
    )


def _position(gathered: GatheredRows, row: int | None) -> str:
    if row is not None:
        return gathered.positions[int(np.frombuffer(gathered.codes, np.int32)[row])]
    first, last = gathered.positions[0], gathered.positions[-1]
    return first if first == last else f"{first} to {last}"


def change_batch(
    shape: TableShape, gathered: GatheredRows, columns: list[pa.Array], before: list[pa.Array] | None
) -> pa.RecordBatch:
    """The rows with their envelope (`cdc.model.batch`)."""
    codes = _primitive(pa.int32(), gathered.count, gathered.codes)
    arrays = [
        *columns,
        pa.DictionaryArray.from_arrays(
            _primitive(pa.int8(), gathered.count, gathered.ops), OPERATION_DICTIONARY
        ),
        _primitive(Envelope.SEQ_TYPE, gathered.count, gathered.seqs),
        pa.DictionaryArray.from_arrays(codes, pa.array(gathered.transactions, pa.string())),
        pa.DictionaryArray.from_arrays(codes, pa.array(gathered.positions, pa.string())),
        _primitive(Envelope.COMMIT_AT_TYPE, gathered.count, gathered.commit_ats),
    ]
    names = [*(f.name for f in shape.fields), *Envelope.ALWAYS]
    if before is not None:
        arrays.append(_before(shape, gathered, before))
        names.append(Envelope.BEFORE)
    if gathered.unchanged is not None:
        arrays.append(_unchanged(shape, gathered))
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


def _before(shape: TableShape, gathered: GatheredRows, before: list[pa.Array]) -> pa.Array:
    rows = np.frombuffer(gathered.before_rows, np.int64)
    if before:
        dense = pa.StructArray.from_arrays(before, fields=shape.fields)
    else:
        dense = pa.Array.from_buffers(pa.struct([]), len(rows), [None])
    if len(rows) == gathered.count:
        return dense
    places = np.zeros(gathered.count, np.int64)
    places[rows] = np.arange(len(rows))
    absent = np.ones(gathered.count, np.bool_)
    absent[rows] = False
    return dense.take(pa.array(places, mask=absent))


def _unchanged(shape: TableShape, gathered: GatheredRows) -> pa.Array:
    codes = np.frombuffer(gathered.unchanged, np.int32)
    names = [[shape.plans[i].name for i in columns] for columns in gathered.unchanged_sets]
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(names, pa.list_(pa.string()))
    )
