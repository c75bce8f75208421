"""Columns left out, masked and renamed: one table's rows and old images from one schema to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cdc.errors import UnsupportedSchema
from cdc.model import ChangeBatch, Column, TableId, TableSchema
from cdc.model.batch import RESERVED_PREFIX
from cdc.transform.arrays import assemble, children, mapped_unchanged, struct_of
from cdc.transform.masks import ColumnMask, KeyedHash, make_mask
from cdc.transform.rules import TableRules


@dataclass(frozen=True, slots=True)
class _Kept:
    """A column that stays: its place and name at the source, what it becomes, and how."""

    name: str
    column: Column
    mask: ColumnMask | None

    def apply(self, values: pa.Array) -> pa.Array:
        return values if self.mask is None else self.mask.apply(values)


class TransformedShape:
    """Made for one schema; `target` is what comes out."""

    def __init__(
        self, schema: TableSchema, target: TableId, rules: TableRules, key: KeyedHash | None
    ) -> None:
        """Raises UnsupportedSchema where rules do not fit, naming rule, table and column of each."""
        problems: list[UnsupportedSchema] = []
        self._kept = list(_kept(schema, rules, key, problems))
        self._new_names = {kept.name: kept.column.name for kept in self._kept}
        problems += _key_problems(schema, rules, self._kept)
        problems += _collisions(schema, rules, [kept.column.name for kept in self._kept])
        if problems:
            raise _all_in_one(problems, schema.table)
        self.target = replace(
            schema,
            table=target,
            columns=tuple(kept.column for kept in self._kept),
            key=tuple(self._new_names[name] for name in schema.key),
        )

    def apply(self, batch: ChangeBatch) -> ChangeBatch:
        """The batch as its target schema has it; what was not sent stays unknown."""
        data, before, unchanged = batch.data, batch.before, batch.unchanged
        columns = {kept.column.name: kept.apply(data.column(kept.name)) for kept in self._kept}
        if before is not None:
            old = children(before)
            shaped = {k.column.name: k.apply(old[k.name]) for k in self._kept if k.name in old}
            before = struct_of(shaped, before)
        if unchanged is not None:
            unchanged = mapped_unchanged(unchanged, self._renamed)
        return replace(batch, schema=self.target, data=assemble(columns, data, before, unchanged))

    def _renamed(self, names: Sequence[str]) -> list[str]:
        return [self._new_names[name] for name in names if name in self._new_names]


def _all_in_one(problems: Sequence[UnsupportedSchema], table: TableId) -> UnsupportedSchema:
    """Return one error for all problems of a table."""
    if len(problems) == 1:
        return problems[0]
    messages = [f"{one.where.removesuffix(f': {table}')}: {one.message}" for one in problems]
    remedies = dict.fromkeys(one.remedy for one in problems)
    return UnsupportedSchema("; ".join(messages), where=str(table), remedy=" ".join(remedies))


def _kept(
    schema: TableSchema, rules: TableRules, key: KeyedHash | None, problems: list[UnsupportedSchema]
) -> Iterator[_Kept]:
    """Yield the columns that stay; a mask that does not fit its column is added to the problems."""
    for column in schema.columns:
        name = column.name.lower()
        place, mask = rules.masks.get(name, ("", None))
        if mask == "drop" or name in rules.excluded or any(name not in names for _, names in rules.included):
            continue
        made = None
        if mask is not None:
            try:
                made = make_mask(mask, column.type, key)
            except ValueError as error:
                where = f"{place}.mask.{column.name}: {schema.table}"
                remedy = "Use hash, redact or drop instead."
                problems.append(UnsupportedSchema(str(error), where=where, remedy=remedy))
        new_name = rules.renames[name][1] if name in rules.renames else column.name
        yield _Kept(column.name, _shaped(column, new_name, made), made)


def _shaped(column: Column, name: str, mask: ColumnMask | None) -> Column:
    """The type as the source spells it may hold values too (labels of an enum), and so may a default."""
    if mask is None:
        return replace(column, name=name)
    fill = None if column.fill is None else mask.apply(pa.repeat(column.fill, 1))[0]
    nullable = column.nullable or mask.kind in ("redact", "truncate")
    return replace(column, name=name, type=mask.type, source_type=mask.kind, nullable=nullable, fill=fill)


def _key_problems(
    schema: TableSchema, rules: TableRules, kept: Sequence[_Kept]
) -> Iterator[UnsupportedSchema]:
    """Rows are found by their key: it has to be there, and two keys must not become one."""
    by_name: Mapping[str, _Kept] = {each.name: each for each in kept}
    for name in schema.key:
        found = by_name.get(name)
        if found is None:
            yield UnsupportedSchema(
                f"the column {name!r} is part of the key and cannot be left out:"
                " updates and deletes match rows by it",
                where=_place_of(rules, name, schema.table),
                remedy=f"Write mask: {{{name}: hash}}, or leave the table out of the entry.",
            )
        elif found.mask is not None and not found.mask.is_injective:
            yield UnsupportedSchema(
                f"the column {name!r} is part of the key and cannot be masked by {found.mask.kind}:"
                " two rows could become one",
                where=_place_of(rules, name, schema.table),
                remedy=f"Write mask: {{{name}: hash}}, or leave the table out of the entry.",
            )
    if not kept:
        remedy = "Exclude the table in `tables` instead."
        yield UnsupportedSchema("no column is left", where=str(schema.table), remedy=remedy)


def _collisions(schema: TableSchema, rules: TableRules, names: Sequence[str]) -> Iterator[UnsupportedSchema]:
    for name in dict.fromkeys(names):
        if name.startswith(RESERVED_PREFIX) or names.count(name) > 1:
            reason = "is reserved" if name.startswith(RESERVED_PREFIX) else "is the name of two columns"
            yield UnsupportedSchema(
                f"{name!r} {reason} after renaming",
                where=_place_of(rules, name, schema.table),
                remedy="Change `rename` so that each column has a name of its own.",
            )


def _place_of(rules: TableRules, name: str, table: TableId) -> str:
    """The rule that a message is about."""
    wanted = name.lower()
    for old, (place, new) in rules.renames.items():
        if new == name or old == wanted:
            return f"{place}.rename.{old}: {table}"
    if wanted in rules.masks:
        return f"{rules.masks[wanted][0]}.mask.{name}: {table}"
    if wanted in rules.excluded:
        return f"{rules.excluded[wanted]}.columns.exclude: {table}"
    for place, names in rules.included:
        if wanted not in names:
            return f"{place}.columns.include: {table}"
    return str(table)
