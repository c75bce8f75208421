"""Hooks on changes: called with rows, and kept from what a change does not know.

A function may compute one column from others, so a value can't come from half a row. Of deletes and old
images of a table with a key only the key stays, which a hook must leave alone; an update that lacks values
has the table copied again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from cdc.model import ChangeBatch, Column, Operation, TableSchema
from cdc.transform.arrays import assemble, children, nulled, struct_of, unchanged_of
from cdc.transform.filtering import Filtered
from cdc.transform.hooks import Hook

_UPDATE, _DELETE, _TRUNCATE = (op.code for op in (Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE))


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
