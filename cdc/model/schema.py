"""Tables and columns as the source describes them, in versions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from cdc.names import shown

Identity = Literal["key", "full", "none"]


@dataclass(frozen=True, slots=True, order=True)
class TableId:
    """`<schema>.<table>` in Postgres, `<database>.<table>` in MySQL; names are kept verbatim.

    `str` is for people: odd names are quoted, so two tables never look alike.
    """

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{shown(self.schema)}.{shown(self.name)}"

    def lower(self) -> TableId:
        """As a database has it that ignores the case of names."""
        return TableId(self.schema.lower(), self.name.lower())


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, how the source spells the type, and what identifies it.

    `id` is the source's own number of the column (Postgres: attnum), None when unknown: a column that keeps
    its id and changes its name was renamed. `fill` is the Arrow-typed value that rows older than this column
    have (Postgres: the default given in ADD COLUMN), None for NULL.
    """

    name: str
    type: pa.DataType
    source_type: str = ""
    nullable: bool = True
    id: int | None = None
    fill: pa.Scalar | None = None

    @property
    def has_fill(self) -> bool:
        """Whether older rows have anything but NULL."""
        return self.fill is not None and bool(self.fill.is_valid)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One version of a table's shape.

    `key` names the columns that identify a row in updates and deletes, in order; empty when there is none.
    `identity` says what the source sends of an old row: its `key`, the `full` row, or `none` (inserts only).
    In a table with a key `full` is no promise: an old image may lack columns that are not in the key.
    A table with `full` and no `key` is a multiset of rows. `relation` is the source's own number of the table
    (Postgres: oid): a table that keeps it and changes its name was renamed; one that keeps its name and
    changes it was dropped and created again. `version` counts from 1 per table and is given by the log; 0
    before that.
    """

    table: TableId
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    identity: Identity = "key"
    relation: int | None = None
    version: int = 0

    def with_version(self, version: int) -> TableSchema:
        return replace(self, version=version)

    def same_shape(self, other: TableSchema) -> bool:
        """Return whether the two differ in nothing but the version number and the fills."""
        return _shape(self) == _shape(other)

    def covers(self, other: TableSchema) -> bool:
        """Return whether the two have the same shape and this one has a fill wherever `other` has one.

        A column has one fill until its rows are copied again, so where both have one, the fills are equal.
        """
        return self.same_shape(other) and all(
            own.has_fill or not column.has_fill
            for own, column in zip(self.columns, other.columns, strict=True)
        )

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the row columns, in order, all nullable (a delete may know only its key)."""
        return pa.schema([pa.field(c.name, c.type) for c in self.columns])

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def _shape(schema: TableSchema) -> object:
    columns = tuple((c.name, c.type, c.source_type, c.nullable, c.id) for c in schema.columns)
    return (schema.table, columns, schema.key, schema.identity, schema.relation)
