"""Copies of tables that have rows: they are written to a separate table, and replace the table that readers
see in one step, when they are complete.

A table that never was complete grows in its place, and a changelog only gets more rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cdc.model import CopyMark, TableSchema
from cdc.model.position import from_microseconds, to_microseconds
from cdc.spi import SinkContext
from cdc.sql import own_tables, versioned
from cdc.sql.dialect import Connection, Dialect
from cdc.sql.evolve import fresh_columns, match
from cdc.sql.layout import own_columns
from cdc.sql.options import TableOptions
from cdc.sql.stored import StoredTable
from cdc.sql.tables import Tables

# The suffix of a copy's name, after the table's.
COPY_SUFFIX = "cdc_copy"


class Copies:
    """The steps of copies, within the transaction of a delivery."""

    def __init__(
        self,
        tables: Tables,
        connection: Connection,
        options: TableOptions,
        context: SinkContext,
    ) -> None:
        self._tables = tables
        self._connection = connection
        self._dialect = connection.dialect
        self._catalog = tables.catalog
        self._options = options
        self._context = context

    def passed(self, schema: TableSchema) -> None:
        """Skip a step that was applied before: later changes may be for another table."""
        self._tables.forget_mapping(schema.table)

    def await_one(self, schema: TableSchema, mark: CopyMark) -> None:
        """Note that a copy is due: no further change arrives before it begins."""
        stored = self._tables.find(schema)
        if stored is not None and stored.incomplete_since is None:
            self._save(replace(stored, incomplete_since=to_microseconds(mark.at)), stored)

    def begin(self, schema: TableSchema, mark: CopyMark) -> bool:
        """Begin a copy; return whether its rows go into the table that readers see."""
        self._tables.forget_mapping(schema.table)
        stored = self._tables.find(schema)
        if stored is None:
            stored = self._tables.create(schema, mark.seq)
            self._save(replace(stored, incomplete_since=to_microseconds(mark.at), is_new=True), stored)
            return True
        since = stored.incomplete_since or to_microseconds(mark.at)
        if self._options.mode == "append":
            self._save(replace(stored, incomplete_since=since), stored)
            return True
        stored = self._without_copy(self._tables.rename(stored, schema, mark.seq))
        shaped = replace(self._shaped(stored, schema, mark), incomplete_since=since, is_new=stored.is_new)
        if stored.is_new:
            # No reader has seen it whole, so none of it needs to be kept.
            self._tables.drop(stored)
            self._tables.make(shaped)
            self._save(shaped, stored)
            return True
        copy = replace(
            shaped,
            place=self._catalog.free_name(stored, COPY_SUFFIX),
            incomplete_since=to_microseconds(mark.at),
        )
        self._tables.make(copy, is_copy=True)
        self._catalog.made(copy.place)
        self._save(replace(stored, incomplete_since=since, copy=copy), stored)
        return False

    def finish(self, schema: TableSchema, mark: CopyMark, settle: Callable[[], None]) -> None:
        """Replace the older rows by the copy, which contains everything up to the mark.

        `settle` has definitions run before rows that need them.
        """
        self._tables.forget_mapping(schema.table)
        stored = self._tables.find(schema)
        if stored is None:
            return
        if stored.copy is None:
            self._save(replace(stored, incomplete_since=None, is_new=False), stored)
            return
        if (self._options.mode, self._options.deletes) == ("mirror", "hard"):
            if self._dialect.keeps_tables:
                self._refill(stored, schema, mark)
            else:
                self._replace(stored, stored.copy)
        else:
            self._merge(stored, schema, mark, settle)
        self._context.log("replaced the table with its new copy", table=str(schema.table))

    def cancel(self, schema: TableSchema) -> None:
        """Discard an unfinished copy; the table stays as it is, and incomplete."""
        self._tables.forget_mapping(schema.table)
        stored = self._tables.find(schema)
        if stored is not None:
            self._without_copy(stored)

    def _shaped(self, stored: StoredTable, schema: TableSchema, mark: CopyMark) -> StoredTable:
        """The table as it would be made now: as the source has it, unless the policy keeps shapes."""
        options = self._options
        if options.schema_changes != "evolve":
            shaped = self._tables.evolution(stored, schema, mark.seq).stored
        else:
            shaped = replace(
                stored,
                relation=schema.relation,
                version=schema.version,
                columns=fresh_columns(schema, options, self._dialect, mark.seq),
                key=schema.key,
                identity=schema.identity,
            )
        return replace(shaped, schema_seq=mark.seq, since_seq=mark.seq, copy=None)

    def _without_copy(self, stored: StoredTable) -> StoredTable:
        if stored.copy is None:
            return stored
        self._drop(stored.copy)
        alone = replace(stored, copy=None)
        self._save(alone, stored)
        return alone

    def _replace(self, stored: StoredTable, copy: StoredTable) -> None:
        """Drop the table, and give its name to the copy. Views go by the name, and stay."""
        if self._connection.exchange(stored.place, copy.place):
            own_tables.note_indexes(self._connection, copy.place)
            self._connection.define(self._dialect.drop_table(self._tables.target(copy)))
            self._took_place(stored, copy)
            return
        self._tables.drop(stored)
        self._take_place(stored, copy)

    def _refill(self, stored: StoredTable, schema: TableSchema, mark: CopyMark) -> None:
        """Put the copy's rows in place of the table's. The table itself stays, with its views and grants."""
        assert stored.copy is not None
        copy = self._tables.evolve(stored.copy, schema, mark.seq, empties=False, owner=stored)
        alone = replace(stored, copy=None, incomplete_since=None, is_new=False, since_seq=copy.since_seq)
        self._save(alone, self._tables.find(schema) or stored)
        # Not by a truncate: readers see the old rows until the commit.
        self._connection.run(f"delete from {self._tables.target(alone)}")
        main = self._tables.evolve(alone, schema, mark.seq, empties=False)
        target, origin = self._tables.target(main), self._tables.target(copy)
        self._connection.run(_insert_all(main, copy, target, origin, self._dialect))
        self._drop(copy)

    def _take_place(self, stored: StoredTable, copy: StoredTable) -> None:
        """Give the copy the name that the table had until now."""
        self._connection.define(self._dialect.rename_table(copy.place, stored.place.name))
        self._took_place(stored, copy)

    def _took_place(self, stored: StoredTable, copy: StoredTable) -> None:
        self._catalog.dropped(copy.place)
        whole = replace(copy, table=stored.table, place=stored.place, incomplete_since=None, is_new=False)
        self._save(whole, stored)
        self._tables.show(whole)

    def _leave_behind(self, stored: StoredTable, copy: StoredTable) -> None:
        """Keep older rows that do not fit the table's new shape, under another name."""
        free = self._catalog.free_name(stored)
        self._connection.define(self._dialect.rename_table(stored.place, free.name))
        self._catalog.made(free)
        self._take_place(stored, copy)
        self._context.log(
            "kept the old rows under another name",
            level="warning",
            table=str(stored.table),
            stored_as=str(free),
            reason="their types do not convert to the table's new types",
        )

    def _fits(self, stored: StoredTable, schema: TableSchema) -> bool:
        """Return whether all values of the table can have the types that the schema has now."""
        if self._options.schema_changes == "freeze":
            return True
        target, wrong = self._tables.target(stored), []
        for name, column in match(stored, schema).items():
            wanted = self._dialect.column_type(schema.column(name), str(schema.table))
            if column.type != wanted:
                wrong.append(self._dialect.is_not_castable(self._dialect.quoted(column.name), wanted))
        if not wrong:
            return True
        query = f"select exists (select 1 from {target} where {' or '.join(wrong)})"
        return not self._connection.query(query)[0][0]

    def _merge(
        self, stored: StoredTable, schema: TableSchema, mark: CopyMark, settle: Callable[[], None]
    ) -> None:
        """Put the copy's rows beside what is kept of the older ones: marked deleted, or ended."""
        assert stored.copy is not None
        if not self._fits(stored, schema):
            self._leave_behind(stored, stored.copy)
            return
        begun_seq, begun_at = stored.copy.since_seq, from_microseconds(stored.copy.incomplete_since or 0)
        moment = self._dialect.moment(begun_at)
        copy = self._tables.evolve(stored.copy, schema, mark.seq, empties=False, owner=stored)
        with_copy = self._tables.find(schema) or stored
        main = self._tables.evolve(with_copy, schema, mark.seq, empties=False)
        settle()
        target, origin = self._tables.target(main), self._tables.target(copy)
        if self._dialect.is_versioned:
            versioned.end_older(self._connection, main, target, begun_seq, begun_at)
        elif self._options.mode == "history":
            end = self._dialect.later("valid_from", moment)
            ended = f"valid_to = {end}, _cdc_end_seq = {begun_seq}"
            is_older = f"_cdc_end_seq is null and _cdc_seq < {begun_seq}"
            self._connection.run(f"update {target} set {ended} where {is_older}")
        else:
            deleted = f"_cdc_deleted = true, _cdc_seq = {begun_seq}, _cdc_commit_at = {moment}"
            is_older = f"not _cdc_deleted and _cdc_seq < {begun_seq}"
            self._connection.run(f"update {target} set {deleted} where {is_older}")
            if schema.key:
                matches = _keys_equal(main, copy, schema, self._dialect)
                self._connection.run(self._dialect.delete(target, f"{origin} s", matches))
        self._connection.run(_insert_all(main, copy, target, origin, self._dialect))
        self._save(replace(main, copy=None, incomplete_since=None), main)
        self._drop(copy)

    def _drop(self, copy: StoredTable) -> None:
        self._connection.define(self._dialect.drop_table(self._tables.target(copy)))
        self._catalog.dropped(copy.place)

    def _save(self, stored: StoredTable, before: StoredTable) -> None:
        self._catalog.save(stored, before)


def _insert_all(main: StoredTable, copy: StoredTable, target: str, origin: str, dialect: Dialect) -> str:
    given = {column.source_name: column for column in copy.columns if not column.retired}
    columns: list[tuple[str, str]] = []
    for column in main.columns:
        from_copy = None if column.retired else given.get(column.source_name)
        # Both have the newest shape: what the copy lacks is gone in the source.
        value = "null" if from_copy is None else f"s.{dialect.quoted(from_copy.name)}"
        columns.append((dialect.quoted(column.name), f"cast({value} as {column.type})"))
    own = own_columns(main.mode, main.deletes, dialect, is_keyed=bool(main.key))
    columns += [(name, f"s.{name}") for name, _ in own]
    into, selected = ", ".join(name for name, _ in columns), ", ".join(value for _, value in columns)
    return f"insert into {target} ({into}) select {selected} from {origin} s"


def _keys_equal(main: StoredTable, copy: StoredTable, schema: TableSchema, dialect: Dialect) -> str:
    ours = {column.source_name: column for column in main.columns if not column.retired}
    given = {column.source_name: column for column in copy.columns if not column.retired}
    pairs = [(ours[name], given[name]) for name in schema.key]
    quoted = dialect.quoted
    return " and ".join(f"t.{quoted(t.name)} = cast(s.{quoted(s.name)} as {t.type})" for t, s in pairs)
