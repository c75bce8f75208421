"""Finds the table for a batch: makes it, renames it, brings it to the batch's shape, or leaves it as it is in
a replay.

All of it happens in the transaction of the delivery: after a roll-back a new object is made.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb

from cdc.errors import CdcError, SchemaChangeRefused
from cdc.model import ChangeBatch, Operation, TableId, TableSchema
from cdc.spi import SinkContext
from sinks.duckdb import indexes, names
from sinks.duckdb.catalog import Catalog, StoredTable
from sinks.duckdb.copies import Copies
from sinks.duckdb.evolve import create, evolve, fresh_columns
from sinks.duckdb.options import Options
from sinks.duckdb.shape import Shape, run


class Tables:
    """The sink's tables for one source."""

    def __init__(self, connection: Any, source: str, options: Options, context: SinkContext) -> None:
        self._connection = connection
        self._source = source
        self._options = options
        self._context = context
        self._catalog = Catalog(connection, source, str(options.path))
        self._shapes: dict[TableId, Shape] = {}
        self._looked_at: dict[TableId, TableSchema] = {}
        self.copies = Copies(self, connection, self._catalog, options, context)

    def stored(self) -> list[StoredTable]:
        """The tables of our source that are in the file."""
        return [table for table in self._catalog if self._catalog.exists(table.place)]

    def target(self, stored: StoredTable) -> str:
        """The table's name in SQL."""
        return names.qualified(self._catalog.name, stored.place)

    def shape(self, batches: Sequence[ChangeBatch], replayed_below: int) -> Shape:
        """The way in for these changes of one schema version.

        Raises:
            SinkRefused: DuckDB can't hold the table, or its name is taken.
            SchemaChangeRefused: it may not be altered, or its values can't be converted.
        """
        schema = batches[0].schema
        first = batches[0].seq[0].as_py() if batches[0].row_count else 0
        known = self._shapes.get(schema.table)
        if known is not None and (known.schema is schema or known.schema == schema):
            return known
        stored = self.find(schema)
        if stored is None:
            stored = self.create(schema, first)
        elif stored.copy is not None and first >= stored.copy.since_seq:
            copy = stored.copy
            if not (first < replayed_below and first < copy.schema_seq):
                copy = self.evolve(copy, schema, first, anew=False, owner=stored)
            stored = copy
        elif first < replayed_below and first < stored.schema_seq:
            # An older version of the table: its rows go into the columns that it has now.
            return Shape(stored, schema, self.target(stored))
        else:
            anew = _starts_with_truncate(batches) and (stored.mode, stored.deletes) == ("mirror", "hard")
            stored = self.evolve(self.rename(stored, schema), schema, first, anew=anew)
        shape = Shape(stored, schema, self.target(stored))
        self._check_key(shape)
        self._shapes[schema.table] = shape
        return shape

    def refusal(self, schema: TableSchema) -> CdcError | None:
        """Return why the table can't be taken in this shape when it begins anew; None when it can."""
        options = self._options
        stored = self._catalog.by_relation(schema.relation) or self._catalog.by_name(schema.table)
        try:
            if stored is None:
                fresh_columns(schema, options.mode, options.deletes, options.identifiers)
                self._catalog.place_for(schema.table, options.identifiers)
                return None
            if stored.table != schema.table and options.schema_changes != "freeze":
                self._catalog.place_for(schema.table, options.identifiers, moving=stored)
            step = evolve(stored, schema, options, 0, self.target(stored))
            self._check_key(Shape(step.stored, schema, self.target(stored)))
        except CdcError as error:
            return error
        if step.converts and not self._begins_empty and self._catalog.exists(stored.place):
            return self._unconvertible(schema, step.changes)
        return None

    def is_new(self, schema: TableSchema) -> bool:
        """Whether the file has no table for it."""
        return (self._catalog.by_relation(schema.relation) or self._catalog.by_name(schema.table)) is None

    def heals_anew(self, error: CdcError) -> bool:
        """Whether a table that was refused for this reason is fine once it begins anew."""
        return isinstance(error, SchemaChangeRefused) and self._begins_empty

    def is_news(self, schema: TableSchema) -> bool:
        """Whether this shape of a table was not looked at before."""
        known = self._looked_at.get(schema.table)
        self._looked_at[schema.table] = schema
        return known is not schema and known != schema

    @property
    def _begins_empty(self) -> bool:
        """Whether a copy leaves nothing that would have to be converted."""
        return self._options.mode != "append"

    def forget_shape(self, table: TableId) -> None:
        """Look for the table's place again."""
        self._shapes.pop(table, None)

    def find(self, schema: TableSchema) -> StoredTable | None:
        """The table of this number, else of this name; made again when someone dropped it in the file."""
        stored = self._catalog.by_relation(schema.relation) or self._catalog.by_name(schema.table)
        if stored is not None and not self._catalog.exists(stored.place):
            self.make(stored)
            self._catalog.save(stored, stored)
        return stored

    def create(self, schema: TableSchema, first: int) -> StoredTable:
        """Make a table that the file does not have; its first change is `first`."""
        mode, deletes, identifiers = self._options.mode, self._options.deletes, self._options.identifiers
        stored = StoredTable(
            source=self._source,
            table=schema.table,
            relation=schema.relation,
            version=schema.version,
            columns=fresh_columns(schema, mode, deletes, identifiers),
            key=schema.key,
            identity=schema.identity,
            schema_seq=first,
            since_seq=0,
            mode=mode,
            deletes=deletes,
            place=self._catalog.place_for(schema.table, identifiers),
        )
        self.make(stored)
        self._catalog.save(stored, None)
        self._context.log(
            "created the table", table=str(schema.table), stored_as=str(stored.place), mode=mode
        )
        return stored

    def make(self, stored: StoredTable) -> None:
        """Make the table in the file."""
        self._make_schema(stored.place)
        run(self._connection, create(stored, self.target(stored)))

    def _make_schema(self, table: TableId) -> None:
        catalog = names.quoted(self._catalog.name)
        run(self._connection, f"create schema if not exists {catalog}.{names.quoted(table.schema)}")

    def evolve(
        self,
        stored: StoredTable,
        schema: TableSchema,
        first: int,
        *,
        anew: bool,
        owner: StoredTable | None = None,
    ) -> StoredTable:
        """Bring a table to this schema; `owner` is the table that `stored` is the copy of."""
        target = self.target(stored)
        step = evolve(stored, schema, self._options, first, target)
        if not step.statements and _same_but_start(step.stored, stored):
            self._report_ignored(schema, step.ignored)
            return stored
        statements = step.statements
        if statements and anew:
            # Its rows go anyway; altered, they would have to be converted even after a delete.
            indexes.note(self._connection, stored.place)
            statements = [f"drop table {target}", create(step.stored, target)]
        try:
            for statement in statements:
                run(self._connection, statement)
        except duckdb.ConversionException as error:
            raise self._unconvertible(schema, step.changes) from error
        if owner is None:
            self._catalog.save(step.stored, stored)
        else:
            self._catalog.save(replace(owner, copy=step.stored), owner)
        self._report_ignored(schema, step.ignored)
        if step.changes:
            self._context.log(
                "changed the columns of the table", table=str(schema.table), changes=step.changes
            )
            self._context.count("schema_changes", 1)
        return step.stored

    def _unconvertible(self, schema: TableSchema, changes: Sequence[str]) -> SchemaChangeRefused:
        remedy = f"Drop the table {schema.table} in {self._options.path}: the daemon recreates it."
        if self._begins_empty:
            table = shlex.quote(str(schema.table))
            remedy = f"Copy it again: cdc snapshot {self._source} {table} --sink {self._context.name}"
        message = f"the stored values can't be converted ({'; '.join(changes)})"
        return SchemaChangeRefused(message, where=str(schema.table), remedy=remedy)

    def _report_ignored(self, schema: TableSchema, ignored: list[str]) -> None:
        if ignored:
            self._context.log(
                "ignoring new columns (schema_changes: freeze)", table=str(schema.table), columns=ignored
            )
            self._context.count("columns_ignored", len(ignored))

    def rename(self, stored: StoredTable, schema: TableSchema) -> StoredTable:
        """Follow the source's name of the table, unless the policy keeps tables as they are."""
        policy = self._options.schema_changes
        if stored.table == schema.table or policy == "freeze":
            return stored
        if policy == "stop":
            raise SchemaChangeRefused(
                f"the source's table {stored.table} was renamed and schema_changes is stop",
                where=str(schema.table),
                remedy="Set schema_changes to evolve or freeze for this sink and start again.",
            )
        occupant = self._catalog.by_name(schema.table)
        if occupant is not None and occupant is not stored:
            # Two tables swap their names, or that one is gone in the source: it waits under another name.
            free = self._catalog.free_name(occupant)
            self._move(occupant, free, free)
        place = self._catalog.place_for(schema.table, self._options.identifiers, moving=stored)
        return self._move(stored, schema.table, place)

    def _move(self, stored: StoredTable, table: TableId, place: TableId) -> StoredTable:
        self._shapes.pop(stored.table, None)
        moved = replace(stored, table=table, place=place)
        old, new = self.target(stored), self.target(moved)
        if stored.place.schema == place.schema:
            between = names.qualified(self._catalog.name, replace(place, name="_cdc_rename"))
            run(self._connection, f"alter table {old} rename to {names.quoted('_cdc_rename')}")
            run(self._connection, f"alter table {between} rename to {names.quoted(place.name)}")
        else:
            self._make_schema(place)
            run(self._connection, f"create table {new} as select * from {old}")
            indexes.note(self._connection, stored.place)
            run(self._connection, f"drop table {old}")
        self._catalog.save(moved, stored)
        self._context.log("renamed the table", table=str(stored.table), to=str(table), stored_as=str(place))
        return moved

    def _check_key(self, shape: Shape) -> None:
        if self._options.mode != "append" and shape.schema.key and not shape.has_key:
            raise SchemaChangeRefused(
                "the table's new key has a column that the frozen table lacks",
                where=str(shape.schema.table),
                remedy="Set schema_changes to evolve for this sink and start again.",
            )


def _starts_with_truncate(batches: Sequence[ChangeBatch]) -> bool:
    first = batches[0]
    return first.row_count > 0 and bool(first.ops[0].as_py() == Operation.TRUNCATE.code)


def _same_but_start(one: StoredTable, other: StoredTable) -> bool:
    """Whether nothing differs but the place in the log where the shape begins."""
    return replace(one, schema_seq=other.schema_seq) == other
