"""`where` on changes: rows that leave the filter become deletes, rows that enter it inserts.

A change is judged by its new and its old values. Of old values a source may send nothing or the key only,
of new ones all but those that did not change. A verdict is then unknown, and what follows is exact all the
same, or the table is copied again:

| new | old | what is captured |
|---|---|---|
| true | true | the update |
| true | false | an insert; if values were not sent, a copy |
| true | unknown | the update, which inserts a row that a mirror lacks; if values were not sent, a copy |
| false | true or unknown | a delete |
| false | false | nothing |
| unknown | | a copy |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema
from cdc.model.batch import OPERATION_DICTIONARY
from cdc.transform.arrays import assemble, children, choose, names_of, nulled, struct_of, unchanged_of
from cdc.transform.expression import Condition
from cdc.transform.rules import Where

_CREATE, _UPDATE, _DELETE, _TRUNCATE = (
    operation.code for operation in (Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.TRUNCATE)
)
_TRUE, _FALSE, _UNKNOWN = 1, 0, -1


@dataclass(frozen=True, slots=True)
class Filtered:
    """Rest of a batch after its filter. `has_holes`: a row that enters the filter may lack values."""

    batch: ChangeBatch
    has_holes: bool = False


class RowFilter:
    """The conditions on one table, under one schema."""

    def __init__(self, schema: TableSchema, where: Sequence[Where]) -> None:
        """Raises UnsupportedSchema where a condition does not fit the table."""
        self._schema = schema
        self._conditions: list[tuple[Condition, bool]] = [
            (each.expression.bind(schema, f"{each.place}: {schema.table}"), each.is_fixed) for each in where
        ]
        self._key = frozenset(schema.key)

    @property
    def needs_old_values(self) -> list[str]:
        """The columns outside of the key whose old values decide what an update means."""
        names = {
            name
            for condition, is_fixed in self._conditions
            if not is_fixed
            for name in condition.columns
            if name not in self._key
        }
        return sorted(names)

    def apply(self, batch: ChangeBatch) -> Filtered:
        """Raises whatever Arrow raises for values that a comparison can't take."""
        ops = batch.ops.to_numpy()
        if batch.unchanged is None and not ((ops == _UPDATE) | (ops == _DELETE)).any():
            keep = self._true(batch) | (ops == _TRUNCATE)
            return Filtered(batch if keep.all() else batch.filtered(pa.array(keep)))
        return self._judge(batch, ops)

    def _true(self, batch: ChangeBatch) -> np.ndarray:
        columns = {name: batch.data.column(name) for name in self._schema.arrow.names}
        found = np.ones(batch.row_count, bool)
        for condition, _ in self._conditions:
            found &= _flags(condition.evaluate(columns), batch.row_count)
        return found

    def _judge(self, batch: ChangeBatch, ops: np.ndarray) -> Filtered:
        view = _Images(batch, self._schema)
        new = np.full(len(ops), _TRUE)
        old = np.full(len(ops), _TRUE)
        for condition, is_fixed in self._conditions:
            one = view.new_verdict(condition)
            other = view.old_verdict(condition)
            new = _both(new, one)
            old = _both(old, np.where(other == _UNKNOWN, one, other) if is_fixed else other)
        updates = ops == _UPDATE
        enters = updates & (new == _TRUE) & (old == _FALSE)
        leaves = updates & (new == _FALSE) & (old != _FALSE)
        holes = updates & ((new == _UNKNOWN) | ((new == _TRUE) & (old != _TRUE) & view.lacks_values))
        dropped = (
            (updates & (new == _FALSE) & (old == _FALSE))
            | ((ops == _DELETE) & (new == _FALSE))
            | ((ops < _UPDATE) & (new != _TRUE))
        )
        changed = view.converted(enters, leaves) if (enters | leaves).any() else batch
        kept = changed.filtered(pa.array(~dropped)) if dropped.any() else changed
        return Filtered(kept, bool(holes.any()))


class _Images:
    """New and old values of a batch's rows, and which of them are known."""

    def __init__(self, batch: ChangeBatch, schema: TableSchema) -> None:
        self._batch = batch
        self._schema = schema
        self._before = batch.before
        self._old = children(self._before) if self._before is not None else {}
        count = batch.row_count
        self._has_before = (
            self._before.is_valid().to_numpy(zero_copy_only=False)
            if self._before is not None
            else np.zeros(count, bool)
        )
        unchanged = batch.unchanged
        self._sets, self._indices = names_of(unchanged) if unchanged is not None else ([], np.full(count, -1))

    @property
    def lacks_values(self) -> np.ndarray:
        return self._indices >= 0

    def new_verdict(self, condition: Condition) -> np.ndarray:
        """By the row's own values; what was not sent is taken from the old image where it has it."""
        values: dict[str, pa.Array] = {}
        known = np.ones(self._batch.row_count, bool)
        for name in condition.columns:
            column, unsent = self._batch.data.column(name), self._unsent(name)
            if unsent.any() and name in self._old:
                column = choose(pa.array(unsent), self._old[name], column)
                unsent &= ~_valid(self._old[name])
            values[name] = column
            known &= ~unsent
        return self._verdict(condition, values, known)

    def old_verdict(self, condition: Condition) -> np.ndarray:
        """By the old image. A null outside of the key may be a value that was not sent; a key that was not
        sent did not change.
        """
        values: dict[str, pa.Array] = {}
        known = np.ones(self._batch.row_count, bool)
        for name in condition.columns:
            column = self._batch.data.column(name)
            old = self._old.get(name, pa.nulls(len(column), column.type))
            if name in self._schema.key:
                values[name] = choose(pa.array(_valid(old)), old, column)
            else:
                values[name] = old
                known &= _valid(old) if self._schema.key else self._has_before
        return self._verdict(condition, values, known)

    def converted(self, enters: np.ndarray, leaves: np.ndarray) -> ChangeBatch:
        """The batch with updates turned into inserts and deletes."""
        codes = self._batch.ops.to_numpy().copy()
        codes[enters], codes[leaves] = _CREATE, _DELETE
        ops = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), OPERATION_DICTIONARY)
        columns = {name: self._old_column(name, leaves) for name in self._schema.arrow.names}
        data = self._batch.data.set_column(
            self._batch.data.schema.get_field_index(Envelope.OP), Envelope.OP, ops
        )
        before = self._before
        if before is not None:
            remaining = self._has_before & ~(enters | leaves)
            kept = {name: nulled(~remaining, values) for name, values in self._old.items()}
            like = pa.array(remaining, mask=~remaining)
            before = struct_of(kept, like) if remaining.any() else None
        sets = [*self._sets, [name for name in self._schema.arrow.names if name not in self._schema.key]]
        # Without a key the whole old row is known.
        unknown = len(sets) - 1 if self._schema.key and sets[-1] else -1
        indices = np.where(leaves, unknown, self._indices)
        return replace(self._batch, data=assemble(columns, data, before, unchanged_of(sets, indices)))

    def _old_column(self, name: str, leaves: np.ndarray) -> pa.Array:
        column = self._batch.data.column(name)
        old = self._old.get(name)
        if name in self._schema.key:
            return column if old is None else choose(pa.array(leaves & _valid(old)), old, column)
        if self._schema.key or old is None:
            return nulled(leaves, column)
        return choose(pa.array(leaves), old, column)

    def _unsent(self, name: str) -> np.ndarray:
        if not self._sets:
            return np.zeros(self._batch.row_count, bool)
        is_in = np.array([name in names for names in self._sets])
        return (self._indices >= 0) & is_in[np.maximum(self._indices, 0)]

    def _verdict(self, condition: Condition, values: dict[str, pa.Array], known: np.ndarray) -> np.ndarray:
        flags = _flags(condition.evaluate(values), self._batch.row_count)
        return np.where(known, np.where(flags, _TRUE, _FALSE), _UNKNOWN)


def _flags(found: pa.Array | pa.Scalar, count: int) -> np.ndarray:
    """True where a condition is true; SQL's NULL is not."""
    if isinstance(found, pa.Scalar):
        return np.full(count, found.as_py() is True)
    return pc.fill_null(found, fill_value=False).to_numpy(zero_copy_only=False)


def _both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combine two verdicts as `and` does: false wins, then unknown."""
    is_false = (first == _FALSE) | (second == _FALSE)
    is_unknown = (first == _UNKNOWN) | (second == _UNKNOWN)
    return np.where(is_false, _FALSE, np.where(is_unknown, _UNKNOWN, _TRUE))


def _valid(values: pa.Array) -> np.ndarray:
    return values.is_valid().to_numpy(zero_copy_only=False)
