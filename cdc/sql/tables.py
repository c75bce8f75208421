"""Find the table for a batch: create it, rename it, alter it to the batch's schema, or leave it unchanged in
a replay.

All of it happens in the transaction of the delivery: after a rollback, use a new object.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from cdc.errors import CdcError, SchemaChangeRefused
from cdc.model import ChangeBatch, Operation, TableId, TableSchema
from cdc.spi import SinkContext
from cdc.sql import own_tables
from cdc.sql.catalog import Catalog
from cdc.sql.dialect import Connection
from cdc.sql.evolve import Evolution, create, evolve, fresh_columns
from cdc.sql.mapping import ColumnMapping
from cdc.sql.options import TableOptions
from cdc.sql.stored import StoredTable


class Tables:
    """The sink's tables for one source; `where` names the target in errors."""

    def __init__(
        self, connection: Connection, source: str, options: TableOptions, context: SinkContext, where: str
    ) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._source = source
        self._options = options
        self._context = context
        self._where = where
        self.catalog = Catalog(connection, source, where)
        self._mappings: dict[TableId, ColumnMapping] = {}
        self._checked: dict[TableId, TableSchema] = {}
        # The names that tables have until their definitions are run, by the names that they get.
        self._named_now: dict[TableId, TableId] = {}

    def stored(self) -> list[StoredTable]:
        """The existing tables of the source."""
        return [table for table in self.catalog if self.catalog.exists(table.place)]

    def target(self, stored: StoredTable) -> str:
        """The table's name in SQL."""
        return self._dialect.qualified(stored.place)

    def mapping(self, batches: Sequence[ChangeBatch], replayed_below: int) -> ColumnMapping:
        """Return the mapping of these changes of one schema version to their table, which is created or
        altered first.

        Raises:
            SinkRefused: the target cannot store the table, or its name is taken.
            SchemaChangeRefused: it may not be altered, or its values cannot be converted.
        """
        schema = batches[0].schema
        first = batches[0].first_seq or 0
        known = self._mappings.get(schema.table)
        if known is not None and (known.schema is schema or known.schema == schema):
            return known
        stored = self.find(schema)
        if stored is None:
            stored = self.create(schema, first)
        elif stored.copy is not None and first >= stored.copy.since_seq:
            copy = stored.copy
            if not (first < replayed_below and first < copy.schema_seq):
                copy = self.evolve(copy, schema, first, empties=False, owner=stored)
            stored = copy
        elif first < replayed_below and first < stored.schema_seq:
            # An older version of the table: its rows go into the columns that it has now.
            return self._mapped(stored, schema, first)
        else:
            empties = _starts_with_truncate(batches) and (stored.mode, stored.deletes) == ("mirror", "hard")
            stored = self.evolve(self.rename(stored, schema, first), schema, first, empties=empties)
        mapping = self._mapped(stored, schema, first)
        self._check_key(mapping)
        self._mappings[schema.table] = mapping
        return mapping

    def _mapped(self, stored: StoredTable, schema: TableSchema, first: int) -> ColumnMapping:
        return ColumnMapping(stored, schema, self.target(stored), self._dialect, first)

    def evolution(self, stored: StoredTable, schema: TableSchema, first: int) -> Evolution:
        """Return how to alter a table to this schema, whose first change is `first`."""
        return evolve(stored, schema, self._options, first, self.target(stored), self._dialect)

    def refusal(self, schema: TableSchema) -> CdcError | None:
        """Return why a copy of the table with this schema cannot be stored; None if it can."""
        options = self._options
        stored = self.catalog.by_relation(schema.relation) or self.catalog.by_name(schema.table)
        try:
            if stored is None:
                fresh_columns(schema, options, self._dialect, 0)
                self.catalog.place_for(schema.table, options.identifiers)
                return None
            if stored.table != schema.table and options.schema_changes != "freeze":
                self.catalog.place_for(schema.table, options.identifiers, moving=stored)
            step = self.evolution(stored, schema, 0)
            self._check_key(self._mapped(step.stored, schema, 0))
        except CdcError as error:
            return error
        if step.converts and not self._begins_empty and self.catalog.exists(stored.place):
            return self._unconvertible(schema, step.changes)
        return None

    def is_new(self, schema: TableSchema) -> bool:
        """Return whether the sink has no table for this schema."""
        return (self.catalog.by_relation(schema.relation) or self.catalog.by_name(schema.table)) is None

    def is_healed_by_copy(self, error: CdcError) -> bool:
        """Return whether a copy resolves this reason for a refusal."""
        return isinstance(error, SchemaChangeRefused) and self._begins_empty

    def is_unchecked(self, schema: TableSchema) -> bool:
        """Return whether this schema of a table was not checked before."""
        known = self._checked.get(schema.table)
        self._checked[schema.table] = schema
        return known is not schema and known != schema

    @property
    def _begins_empty(self) -> bool:
        """Whether a copy leaves nothing that would have to be converted."""
        return self._options.mode != "append"

    def settled(self) -> None:
        """Note that all definitions have been run."""
        self._named_now.clear()

    def forget_mapping(self, table: TableId) -> None:
        """Find the table's place again."""
        self._mappings.pop(table, None)

    def find(self, schema: TableSchema) -> StoredTable | None:
        """Return the table with this number, else with this name; created again if someone dropped it."""
        stored = self.catalog.by_relation(schema.relation) or self.catalog.by_name(schema.table)
        if stored is not None and not self.catalog.exists(stored.place):
            self.make(stored)
            self.catalog.save(stored, stored)
        return stored

    def create(self, schema: TableSchema, first: int) -> StoredTable:
        """Create a table that the sink does not have; its first change is `first`."""
        options = self._options
        stored = StoredTable(
            source=self._source,
            table=schema.table,
            relation=schema.relation,
            version=schema.version,
            columns=fresh_columns(schema, options, self._dialect, first),
            key=schema.key,
            identity=schema.identity,
            schema_seq=first,
            since_seq=0,
            mode=options.mode,
            deletes=options.deletes,
            place=self.catalog.place_for(schema.table, options.identifiers),
        )
        self.make(stored)
        self.catalog.save(stored, None)
        self._context.log(
            "created the table", table=str(schema.table), stored_as=str(stored.place), mode=options.mode
        )
        return stored

    def make(self, stored: StoredTable, *, is_copy: bool = False) -> None:
        """Create the table itself, and its views unless it is a copy."""
        self._make_schema(stored.place)
        self._connection.define(create(stored, self.target(stored), self._dialect))
        self._index_key(stored)
        if not is_copy:
            self.show(stored)

    def show(self, stored: StoredTable) -> None:
        """Create the views of the table for readers, or replace them."""
        for statement in self._dialect.views(stored):
            self._connection.define(statement)

    def _hide(self, place: TableId) -> None:
        for statement in self._dialect.drop_views(place):
            self._connection.define(statement)

    def _index_key(self, stored: StoredTable) -> None:
        if stored.mode != "append" and stored.key_columns:
            self._connection.index_key(stored.place, stored.key_columns, is_unique=stored.has_unique_key)

    def drop(self, stored: StoredTable) -> None:
        """Drop the table itself, because another replaces it."""
        own_tables.note_indexes(self._connection, stored.place)
        self._connection.define(self._dialect.drop_table(self.target(stored)))

    def _make_schema(self, place: TableId) -> None:
        for statement in self._dialect.create_schema(place.schema):
            self._connection.define(statement)

    def evolve(
        self,
        stored: StoredTable,
        schema: TableSchema,
        first: int,
        *,
        empties: bool,
        owner: StoredTable | None = None,
    ) -> StoredTable:
        """Alter a table to this schema; `empties`: the first change deletes its rows.

        `owner` is the table that `stored` is the copy of.
        """
        step = self.evolution(stored, schema, first)
        if not step.statements and _same_but_start(step.stored, stored):
            self._report_ignored(schema, step.ignored)
            return stored
        if step.statements and empties and not self._dialect.keeps_tables:
            # Its rows go anyway; altered, they would have to be converted even after a delete.
            self.drop(stored)
            self.make(step.stored)
        else:
            if empties and step.statements:
                self._connection.run(f"delete from {self.target(stored)}")
            self._alter(schema, stored, step, is_copy=owner is not None)
        if owner is None:
            self.catalog.save(step.stored, stored)
        else:
            self.catalog.save(replace(owner, copy=step.stored), owner)
        self._report_ignored(schema, step.ignored)
        if step.changes:
            self._context.log(
                "changed the columns of the table", table=str(schema.table), changes=step.changes
            )
            self._context.count("schema_changes", 1)
        return step.stored

    def _alter(self, schema: TableSchema, stored: StoredTable, step: Evolution, *, is_copy: bool) -> None:
        if not self._connection.alters_in_transactions or self._connection.casts_deleted_rows:
            self._require_convertible(schema, stored, step)
        if step.changes_key and self._connection.rebuild(stored, step.stored, step.origins):
            if not is_copy:
                self.show(step.stored)
            return
        if step.changes_key and stored.mode != "append":
            self._connection.index_key(stored.place, (), is_unique=False)
        try:
            for statement in step.statements:
                self._connection.define(statement)
            if step.changes_key:
                self._index_key(step.stored)
            if not is_copy and step.statements:
                self.show(step.stored)
        except self._connection.Error as error:
            if not self._connection.is_conversion(error):
                raise
            raise self._unconvertible(schema, step.changes) from error

    def _require_convertible(self, schema: TableSchema, stored: StoredTable, step: Evolution) -> None:
        """Raise SchemaChangeRefused if a stored value cannot be converted, before a statement tries."""
        quoted, check = self._dialect.quoted, self._dialect.is_not_castable
        wrong = [check(quoted(name), kind) for name, kind in step.conversions]
        now = self._dialect.qualified(self._named_now.get(stored.place, stored.place))
        query = f"select exists (select 1 from {now} where {' or '.join(wrong)})"
        if wrong and self._connection.query(query)[0][0]:
            raise self._unconvertible(schema, step.changes)

    def _unconvertible(self, schema: TableSchema, changes: Sequence[str]) -> SchemaChangeRefused:
        remedy = f"Drop the table {schema.table} in {self._where}: the daemon recreates it."
        if self._begins_empty:
            table = shlex.quote(str(schema.table))
            remedy = f"Copy it again: cdc snapshot {self._source} {table} --sink {self._context.name}"
        message = f"the stored values cannot be converted ({'; '.join(changes)})"
        return SchemaChangeRefused(message, where=str(schema.table), remedy=remedy)

    def _report_ignored(self, schema: TableSchema, ignored: list[str]) -> None:
        if ignored:
            self._context.log(
                "ignoring new columns (schema_changes: freeze)", table=str(schema.table), columns=ignored
            )
            self._context.count("columns_ignored", len(ignored))

    def rename(self, stored: StoredTable, schema: TableSchema, first: int) -> StoredTable:
        """Follow the source's name of the table, which it has from the change `first` on, unless the policy
        keeps tables as they are.
        """
        policy = self._options.schema_changes
        if stored.table == schema.table or policy == "freeze":
            return stored
        if policy == "stop":
            raise SchemaChangeRefused(
                f"the source's table {stored.table} was renamed and schema_changes is stop",
                where=str(schema.table),
                remedy="Set schema_changes to evolve or freeze for this sink, then run: cdc reload",
            )
        occupant = self.catalog.by_name(schema.table)
        if occupant is not None and occupant is not stored:
            # Two tables swap their names, or that one is gone in the source: it waits under another name.
            free = self.catalog.free_name(occupant)
            self._move(occupant, free, free, schema_seq=occupant.schema_seq)
        place = self.catalog.place_for(schema.table, self._options.identifiers, moving=stored)
        # Replayed changes from before go to the table under this name.
        return self._move(stored, schema.table, place, schema_seq=first)

    def _move(self, stored: StoredTable, table: TableId, place: TableId, *, schema_seq: int) -> StoredTable:
        self._mappings.pop(stored.table, None)
        self._hide(stored.place)
        if self._connection.has_definitions:
            self._named_now[place] = self._named_now.get(stored.place, stored.place)
        moved = replace(stored, table=table, place=place, schema_seq=schema_seq)
        if stored.place.schema == place.schema:
            between = replace(place, name="_cdc_rename")
            self._connection.define(self._dialect.rename_table(stored.place, between.name))
            self._connection.define(self._dialect.rename_table(between, place.name))
        elif moving := self._dialect.move_table(replace(stored.place, name="_cdc_rename"), place.schema):
            self._make_schema(place)
            self._connection.define(self._dialect.rename_table(stored.place, "_cdc_rename"))
            self._connection.define(moving)
            self._connection.define(
                self._dialect.rename_table(replace(place, name="_cdc_rename"), place.name)
            )
        else:
            self._make_schema(place)
            copied = f"create table {self.target(moved)} as select * from {self.target(stored)}"
            self._connection.run(copied)
            self._index_key(moved)
            self.drop(stored)
        self.catalog.save(moved, stored)
        self.show(moved)
        self._context.log("renamed the table", table=str(stored.table), to=str(table), stored_as=str(place))
        return moved

    def _check_key(self, mapping: ColumnMapping) -> None:
        if self._options.mode != "append" and mapping.schema.key and not mapping.has_key:
            raise SchemaChangeRefused(
                "the table's new key has a column that the frozen table lacks",
                where=str(mapping.schema.table),
                remedy="Set schema_changes to evolve for this sink, then run: cdc reload",
            )


def _starts_with_truncate(batches: Sequence[ChangeBatch]) -> bool:
    first = batches[0]
    return first.row_count > 0 and bool(first.ops[0].as_py() == Operation.TRUNCATE.code)


def _same_but_start(one: StoredTable, other: StoredTable) -> bool:
    """Return whether nothing differs but the place in the log where the shape begins."""
    return replace(one, schema_seq=other.schema_seq) == other
