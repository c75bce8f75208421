"""The columns of an Iceberg table: what the source's columns become, and how they follow its changes, by
field id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, NestedField, StructType

from cdc.errors import SchemaChangeRefused
from cdc.lake.columns import file_schema
from cdc.model import Column, Envelope, TableSchema
from cdc_sink_iceberg.types import iceberg_type, promoted


@dataclass(frozen=True, slots=True)
class ColumnIds:
    """The field ids of the source's columns, by the source's number of a column or, without one, its name.

    `images` are those of the fields in `_cdc_before`.
    """

    rows: Mapping[str, int]
    images: Mapping[str, int]

    def to_json(self) -> str:
        return json.dumps([self.rows, self.images])

    @classmethod
    def from_json(cls, text: str) -> ColumnIds:
        return cls(*json.loads(text))


def ids_by_name(stored: Schema, schema: TableSchema) -> ColumnIds:
    """Return the ids that the columns of these names have in a table."""
    rows = {field.name: field.field_id for field in stored.fields if not _is_own(field.name)}
    images: dict[str, int] = {}
    for field in stored.fields:
        if field.name == Envelope.BEFORE:
            images = {f.name: f.field_id for f in field.field_type.fields}
    named = {column.name: _key(column) for column in schema.columns}
    return ColumnIds(*({named[n]: i for n, i in ids.items() if n in named} for ids in (rows, images)))


def _key(column: Column) -> str:
    return column.name if column.id is None else str(column.id)


def wanted_fields(schema: TableSchema, mode: str) -> list[pa.Field]:
    """Return the columns of a table in Arrow: the source's, then the sink's own."""
    if mode == "append":
        return list(file_schema(schema))
    own = [pa.field(Envelope.SEQ, Envelope.SEQ_TYPE), pa.field(Envelope.COMMIT_AT, Envelope.COMMIT_AT_TYPE)]
    return [*schema.arrow, *own]


def check(schema: pa.Schema) -> None:
    """Raise ArrowException for types that Iceberg does not have."""
    ids = count(1)
    for field in schema:
        iceberg_type(field.type, lambda: next(ids))


@dataclass(frozen=True, slots=True)
class FollowedFields:
    """Fields that follow the source's columns. `new` are the fields that rows from before do not have."""

    fields: tuple[NestedField, ...]
    ids: dict[str, int]
    new: frozenset[int]


def evolved(
    old: Schema | None,
    ids: ColumnIds,
    schema: TableSchema,
    mode: str,
    last_id: int,
    *,
    kept: Collection[int],
    may_replace: bool,
) -> tuple[Schema, ColumnIds, frozenset[int]]:
    """Return the schema for the source's columns, their ids, and the ids of its new fields.

    A column that is dropped stays in a table of changes, which has its values. `kept` fields are never
    dropped. `may_replace`: no stored row will be read by this schema, so a column may become another.

    Raises:
        SchemaChangeRefused: a column of a mirror takes a type for which Iceberg would need new files.
    """
    numbers = count(last_id + 1)
    new_id: Callable[[], int] = lambda: next(numbers)  # noqa: E731
    before = old.fields if old is not None else ()
    follow = _Follow(schema, new_id, keeps=mode == "append", kept=kept, may_replace=may_replace)
    rows = follow.fields([f for f in before if not _is_own(f.name)], ids.rows)
    own = []
    images = FollowedFields((), {}, frozenset())
    known = {f.name: f for f in before if _is_own(f.name)}
    for field in wanted_fields(schema, mode)[len(schema.columns) :]:
        held = known.pop(field.name, None)
        if field.name == Envelope.BEFORE:
            stored = held.field_type.fields if held is not None else ()
            images = replace(follow, is_image=True).fields(stored, ids.images)
            number = held.field_id if held is not None else new_id()
            own.append(NestedField(number, field.name, StructType(*images.fields), required=False))
        elif held is not None:
            own.append(held)
        else:
            number = new_id()
            own.append(NestedField(number, field.name, iceberg_type(field.type, new_id), required=False))
    made = Schema(*rows.fields, *own, *known.values())
    return made, ColumnIds(rows.ids, images.ids), rows.new


@dataclass(frozen=True, slots=True)
class _Follow:
    schema: TableSchema
    new_id: Callable[[], int]
    keeps: bool
    kept: Collection[int]
    may_replace: bool
    is_image: bool = False

    def fields(self, before: Sequence[NestedField], ids: Mapping[str, int]) -> FollowedFields:
        known = {f.field_id: f for f in before}
        fields: list[NestedField] = []
        made: dict[str, int] = {}
        new: set[int] = set()
        for column in self.schema.columns:
            key = _key(column)
            field = known.get(ids.get(key, -1))
            kind = iceberg_type(column.type, self.new_id)
            merged = self._merged(field, kind, column.name)
            if field is None or merged is None:
                number = self.new_id()
                new.add(number)
                fields.append(NestedField(number, column.name, kind, required=False))
            else:
                del known[field.field_id]
                fields.append(NestedField(field.field_id, column.name, merged, required=False))
            made[key] = fields[-1].field_id
        return FollowedFields((*fields, *self._retired(known.values(), fields)), made, frozenset(new))

    def _merged(self, field: NestedField | None, kind: IcebergType, name: str) -> IcebergType | None:
        if field is None:
            return None
        merged = promoted(field.field_type, kind)
        if merged is None and not (self.keeps or self.may_replace):
            raise SchemaChangeRefused(
                f"the column {name} has become {kind}, and its values are stored as {field.field_type}",
                where=str(self.schema.table),
                remedy="No action needed: the daemon copies the table again for this sink.",
            )
        return merged

    def _retired(self, left: Collection[NestedField], taken: Sequence[NestedField]) -> list[NestedField]:
        """Columns that the source does not have any more, under names that are free."""
        names = {field.name for field in taken}
        stay = [f for f in left if self.keeps or f.field_id in self.kept]
        return [
            f if f.name not in names else f.model_copy(update={"name": f"{f.name}__{f.field_id}"})
            for f in stay
        ]


def _is_own(name: str) -> bool:
    return name in {*Envelope.ALWAYS, Envelope.BEFORE, Envelope.UNCHANGED}
