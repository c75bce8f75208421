"""Hooks: the operator's own functions on batches, `python: acme.hooks:clean`.

A hook gets the rows' columns as a `pyarrow.RecordBatch`, named as at the source, and returns one with the
same rows in the same order. It may change values and types, add columns, and omit columns that are not in the
key. It is called without rows to learn the columns that it returns, and must not keep state between calls.

A hook may compute one column from others, so it never gets a part of a row. Deletes and old images of a table
with a key keep their key only, which a hook must not change; after an update that lacks values, the table is
copied again.
"""

from __future__ import annotations

import functools
import importlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import use_pandas
from cdc.errors import ConfigError, UnsupportedSchema
from cdc.model import ChangeBatch, Column, Operation, TableSchema
from cdc.transform.arrays import assemble, children, nulled, struct_of, unchanged_of
from cdc.transform.filtering import Filtered

_UPDATE, _DELETE, _TRUNCATE = (op.code for op in (Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE))
_CORRECT = "Correct the function and restart the daemon. `where` filters rows."
Function = Callable[[pa.RecordBatch], pa.RecordBatch]


class Hook:
    """One function; `place` is where the configuration names it."""

    def __init__(self, path: str, place: str) -> None:
        """Raises ConfigError if there is no such function."""
        self._path = path
        self._place = place
        self._function = _load(path, place)

    def columns(self, schema: pa.Schema, table: str) -> pa.Schema:
        """The columns that it makes of these."""
        empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        found: pa.Schema = self._call(empty, table).schema
        return found

    def apply(self, batch: pa.RecordBatch, expected: pa.Schema, table: str) -> pa.RecordBatch:
        """Raises UnsupportedSchema naming hook and table, never the values."""
        made = self._call(batch, table)
        if made.schema.remove_metadata() != expected.remove_metadata():
            raise self._wrong("returned other columns than for a batch without rows", table)
        return made

    def _call(self, batch: pa.RecordBatch, table: str) -> pa.RecordBatch:
        try:
            made = self._function(batch)
        except Exception as error:  # noqa: BLE001  (whatever a function of others raises)
            frame = _own_frame(traceback.extract_tb(error.__traceback__))
            reason = f"raised {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            # Its text, and the exception itself, may hold row values.
            raise self._wrong(reason, table) from None
        if not isinstance(made, pa.RecordBatch):
            raise self._wrong(f"returned {type(made).__name__}, not a pyarrow.RecordBatch", table)
        if made.num_rows != batch.num_rows:
            raise self._wrong(f"returned {made.num_rows} rows for {batch.num_rows}", table)
        return made

    def changes_key(self, column: str, table: str) -> UnsupportedSchema:
        """Return the error of a function that leaves out or changes this column."""
        remedy = f"Have the function leave it as it is. To hide it, write mask: {{{column}: hash}}."
        return self._wrong(f"changes the column {column!r}, which is part of the key", table, remedy)

    def _wrong(self, reason: str, table: str, remedy: str = _CORRECT) -> UnsupportedSchema:
        return UnsupportedSchema(
            f"the hook {self._path} {reason}",
            where=f"{self._place}: {table}",
            remedy=remedy,
        )


class Hooked:
    """The hooks of one table, in their order, for one schema; `schema` is what they make of it."""

    def __init__(self, schema: TableSchema, hooks: Sequence[Hook]) -> None:
        """Raises UnsupportedSchema if a hook fails, or leaves out or changes the type of a key column."""
        self._source = schema
        self._table = str(schema.table)
        self._steps: list[tuple[Hook, pa.Schema]] = []
        arrow = schema.arrow
        for hook in hooks:
            arrow = hook.columns(arrow, self._table)
            self._steps.append((hook, arrow))
            for name in schema.key:
                if name not in arrow.names or arrow.field(name).type != schema.arrow.field(name).type:
                    raise hook.changes_key(name, self._table)
        self.schema = replace(schema, columns=tuple(self._columns(arrow)))
        self._others = [name for name in arrow.names if name not in schema.key]

    def apply(self, batch: ChangeBatch) -> Filtered:
        ops, count = batch.ops.to_numpy(), batch.row_count
        unchanged = batch.unchanged
        lacks = (
            np.zeros(count, bool)
            if unchanged is None
            else unchanged.is_valid().to_numpy(zero_copy_only=False)
        )
        columns = self._call(batch.row_columns())
        before = batch.before
        is_partial = ops == _TRUNCATE
        indices = np.full(count, -1)
        if self._source.key:
            deletes = ops == _DELETE
            is_partial |= deletes
            indices = np.where(deletes | (lacks & (ops == _UPDATE)), 0, indices)
        columns = {
            name: nulled(is_partial, values) if is_partial.any() and name not in self._source.key else values
            for name, values in columns.items()
        }
        if before is not None:
            before = struct_of(self._old(before), before)
        data = assemble(columns, batch.data, before, unchanged_of([self._others], indices))
        return Filtered(replace(batch, schema=self.schema, data=data), bool((lacks & (ops == _UPDATE)).any()))

    def _old(self, before: pa.StructArray) -> dict[str, pa.Array]:
        old = children(before)
        if self._source.key:
            return {name: values for name, values in old.items() if name in self._source.key}
        return self._call([old[name] for name in self._source.arrow.names])

    def _call(self, columns: Sequence[pa.Array]) -> dict[str, pa.Array]:
        given = pa.RecordBatch.from_arrays(list(columns), schema=self._source.arrow)
        made = given
        for hook, expected in self._steps:
            made = hook.apply(made, expected, self._table)
            for name in self._source.key:
                if not made.column(name).equals(given.column(name)):
                    raise hook.changes_key(name, self._table)
        return dict(zip(made.schema.names, made.columns, strict=True))

    def _columns(self, arrow: pa.Schema) -> list[Column]:
        known = {column.name: column for column in self._source.columns}
        fills = self._fills(arrow)
        made = []
        for field in arrow:
            column = known.get(field.name)
            if column is None or column.type != field.type:
                column = Column(field.name, field.type, "python", id=column.id if column else None)
            made.append(replace(column, fill=fills.get(field.name)))
        return made

    def _fills(self, arrow: pa.Schema) -> dict[str, pa.Scalar]:
        """Apply the hooks to the defaults of older rows, in a row that is otherwise null."""
        fills = {}
        for column in self._source.columns:
            if not column.has_fill or column.name not in arrow.names:
                continue
            row = [
                pa.repeat(column.fill, 1) if each.name == column.name else pa.nulls(1, each.type)
                for each in self._source.columns
            ]
            fills[column.name] = self._call(row)[column.name][0]
        return fills


def _own_frame(frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """Return the place in the function's own file, and not in a library that it called."""
    called = frames[min(1, len(frames) - 1)]  # The first is the call of the function.
    return [frame for frame in frames if frame.filename == called.filename][-1]


@functools.lru_cache(maxsize=64)
def _load(path: str, place: str) -> Function:
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        message = f"importing the hook {path}: {type(error).__name__}"
        remedy = "Install its package in the daemon's environment, or put its folder on PYTHONPATH."
        raise ConfigError(message, where=place, remedy=remedy) from error
    use_pandas()
    function: Any = module
    for name in attribute.split("."):
        function = getattr(function, name, None)
    if not callable(function):
        raise ConfigError(f"the module {module_name} has no function {attribute!r}", where=place)
    return function
