"""All that is done to one table under one schema, in a fixed order: conditions, hooks, then columns and
masks.

So a condition sees the values of the source, and what a hook returns is masked like anything else.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.model import ChangeBatch, TableId, TableSchema
from cdc.transform.arrays import assemble
from cdc.transform.filtering import Filtered, RowFilter
from cdc.transform.hooks import Hook, Hooked
from cdc.transform.masks import KeyedHash
from cdc.transform.rules import TableRules
from cdc.transform.shaping import TransformedShape


class TableTransform:
    """Made for one schema of the source; `target` is the schema of what comes out."""

    def __init__(
        self, schema: TableSchema, target: TableId, rules: TableRules, key: KeyedHash | None
    ) -> None:
        """Raises UnsupportedSchema, or ConfigError for a hook that is not there."""
        self._source = schema
        self.filter = RowFilter(schema, rules.where) if rules.where else None
        hooks = [Hook(path, place) for path, place in rules.hooks]
        self._hooked = Hooked(schema, hooks) if hooks else None
        shaped = self._hooked.schema if self._hooked is not None else schema
        self._shape = TransformedShape(shaped, target, rules, key)
        self.target = self._shape.target

    def apply(self, batch: ChangeBatch) -> Filtered:
        """Return the rest of a batch. A batch without rows still announces its schema."""
        holes = False
        try:
            for step in (self.filter, self._hooked):
                if step is not None and batch.row_count:
                    found = step.apply(batch)
                    batch, holes = found.batch, holes or found.has_holes
            if not batch.row_count:
                columns = {column.name: pa.nulls(0, column.type) for column in self.target.columns}
                data = assemble(columns, batch.data, None, None)
                return Filtered(replace(batch, schema=self.target, data=data), holes)
            return Filtered(self._shape.apply(batch), holes)
        except pa.ArrowException as error:
            # Arrow's words may quote the value.
            raise UnsupportedSchema(
                f"transforming rows: {type(error).__name__}",
                where=str(self._source.table),
                remedy="Correct the entries of `transforms` that are for this table.",
            ) from None
