"""Contract of a target: its SQL, as far as targets differ (`Dialect`), and the wrapper of its driver
(`Connection`). Common statements are where they are used.

Statements read staged Arrow tables under the name `GIVEN` (`Connection.run`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from cdc.errors import CdcError
from cdc.model import Column, TableId
from cdc.sql.keyed import KeyedRows, delete_and_insert
from cdc.sql.stored import StoredTable

# The schema of the sink's own tables.
OWN_SCHEMA = "_cdc"
# The name under which a statement reads the Arrow table that it is given.
GIVEN = "_cdc_given"

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class OwnTypes:
    """The types of the columns that the sink itself adds; `texts` is a list of texts."""

    text: str
    integer: str
    bigint: str
    flag: str
    moment: str
    texts: str
    json: str


class OwnDialect(ABC):
    """The SQL of the sink's own tables: of the target, or of what keeps them for it (`Connection.own`)."""

    container: ClassVar[str] = "database"
    """The word for what holds the tables, for messages."""
    types: ClassVar[OwnTypes]

    def quoted(self, name: str) -> str:
        """The name as an identifier, whatever characters it has."""
        return '"' + name.replace('"', '""') + '"'

    def place(self, table: TableId) -> TableId:
        """Return the place of a table by its name in the source, if that place is free."""
        return table

    def qualified(self, place: TableId) -> str:
        """The name of a table, as statements have it."""
        return f"{self.quoted(place.schema)}.{self.quoted(place.name)}"

    def own(self, name: str) -> str:
        """The qualified name of one of the sink's own tables."""
        return self.qualified(self.place(TableId(OWN_SCHEMA, name)))

    def create_schema(self, name: str) -> list[str]:
        """Return the statements that create a schema if it does not exist."""
        return [f"create schema if not exists {self.quoted(name)}"]

    @abstractmethod
    def moment(self, at: datetime | None) -> str:
        """A time as an expression of the type `types.moment`."""

    @abstractmethod
    def microseconds(self, moment: str) -> str:
        """A time, an expression, as microseconds since 1970."""


class Dialect(OwnDialect):
    """One target's SQL."""

    product: ClassVar[str]
    """The target's name, for messages."""
    is_versioned: ClassVar[bool] = False
    """Whether rows are inserted only, and the newest version of a row counts (`cdc.sql.versioned`)."""
    rebuilds_images: ClassVar[bool] = True
    """Whether old images (`_cdc_before`) of a changelog get the new names and types of altered columns."""
    row_place: ClassVar[str | None] = None
    """The name of a row's number in its table, by which a few rows are found without a scan; None without."""
    system_schemas: ClassVar[frozenset[str]] = frozenset()
    """Folded names of schemas that nothing can be put into."""
    system_columns: ClassVar[frozenset[str]] = frozenset()
    """Folded names that no column can have."""
    keeps_tables: ClassVar[bool] = False
    """Whether views and grants belong to a table, not to its name: a finished copy of a table is then moved
    into the table that readers see, which is not replaced by another one."""
    longest_name: ClassVar[int | None] = None
    """The most bytes (UTF-8) that a name may have; None without a limit."""

    def folded(self, name: str) -> str:
        """Return a form that is equal for two names exactly if the target treats them as equal."""
        return name.translate(_ASCII_LOWER)

    def temporary(self, name: str) -> str:
        """The name of a temporary table, as statements have it once it is there."""
        return name

    def literal(self, text: str) -> str:
        """The text as a string."""
        return "'" + text.replace("'", "''") + "'"

    def value(self, value: Any, kind: str) -> str:
        """An expression with exactly this value (an Arrow scalar, or None), of this type."""
        if value is None or not value.is_valid:
            return f"cast(null as {kind})"
        return self.cast(self.constant(value, kind), kind)

    def cast(self, value: str, kind: str) -> str:
        """The expression as a value of that type, for DDL."""
        return f"cast({value} as {kind})"

    @abstractmethod
    def constant(self, value: Any, kind: str) -> str:
        """Return a value that is not null (an Arrow scalar), in a form that can be cast to the type."""

    def later(self, one: str, other: str) -> str:
        """The later of two times; the first where the other is null."""
        return f"greatest({one}, {other})"

    @abstractmethod
    def column_type(self, column: Column, where: str) -> str:
        """The type for a source's column.

        Raises:
            SinkRefused: no type holds its values exactly.
        """

    def key_type(self, kind: str) -> str:
        """The type of a key's column that is never null, given the type of any column."""
        return kind

    @abstractmethod
    def readable(self, array: Any, kind: str) -> Any:
        """The same Arrow values in a form that the target reads into a column of type `kind`."""

    def is_not_castable(self, value: str, kind: str) -> str:
        """Return a condition: the value, an expression, cannot be cast to the type."""
        return f"({value} is not null and try_cast({value} as {kind}) is null)"

    def byte_length(self, value: str, kind: str) -> str | None:
        """The bytes of a value of that type; None for types whose values are always small."""
        del value, kind
        return None

    def image_type(self, columns: Sequence[tuple[str, str]]) -> str:
        """The type of `_cdc_before`: old images of these columns, by name and type; JSON without structs."""
        del columns
        return self.types.json

    @abstractmethod
    def image(self, fields: Sequence[tuple[str, str]]) -> str:
        """An old image of these columns, by name and expression."""

    @abstractmethod
    def image_field(self, image: str, name: str) -> str:
        """The value of a column in an old image, an expression."""

    def rows_equal(self, pairs: Sequence[tuple[str, str]]) -> str:
        """A condition: the two expressions of each pair are the same value, or both are null."""
        return " and ".join(f"{one} is not distinct from {other}" for one, other in pairs) or "true"

    def converted(self, value: str, old: str, new: str) -> str | None:
        """A stored value of the type `old`, an expression, as one of the type `new`; None for a cast."""
        del value, old, new
        return None

    def change_type(self, target: str, name: str, kind: str, value: str | None = None) -> list[str]:
        """The statements that give a column another type; its values are cast, or become `value`."""
        using = f" using {value}" if value else ""
        return [f"alter table {target} alter column {self.quoted(name)} type {kind}{using}"]

    def add_column(self, target: str, name: str, kind: str, fill: str | None = None) -> list[str]:
        """The statements that add a column; rows that are there get `fill`, an expression of a constant."""
        added = f"alter table {target} add column {self.quoted(name)} {kind}"
        if fill is None:
            return [added]
        return [
            f"{added} default {fill}",
            f"alter table {target} alter column {self.quoted(name)} drop default",
        ]

    def drop_column(self, target: str, name: str) -> str:
        """The statement that drops a column."""
        return f"alter table {target} drop column {self.quoted(name)}"

    def rename_column(self, target: str, old: str, new: str) -> str:
        """The statement that renames a column."""
        return f"alter table {target} rename column {self.quoted(old)} to {self.quoted(new)}"

    def storage(self, stored: StoredTable) -> str:
        """The end of the statement that creates a table, behind its columns."""
        del stored
        return ""

    def create_table(self, target: str, columns: Sequence[tuple[str, str]], stored: StoredTable) -> str:
        """The statement that creates a table with these columns, by name and type."""
        listed = ", ".join(f"{self.quoted(name)} {kind}" for name, kind in columns)
        return f"create table {target} ({listed}){self.storage(stored)}"

    def drop_table(self, target: str) -> str:
        """The statement that drops a table, if it is there."""
        return f"drop table if exists {target}"

    def views(self, stored: StoredTable) -> list[str]:
        """The statements that create the views of a table for readers, or replace them."""
        del stored
        return []

    def drop_views(self, place: TableId) -> list[str]:
        """The statements that drop the views of a table, if they are there."""
        del place
        return []

    def newest(self, target: str, condition: str) -> str:
        """The rows of a table with versions that meet a condition, each in its newest version, for a FROM
        clause.
        """
        return f"(select * from {target} where {condition})"

    def fingerprint(self, values: Sequence[str]) -> str:
        """An expression that is equal for two rows exactly if all their values are equal or null."""
        raise NotImplementedError

    def rename_table(self, place: TableId, name: str) -> str:
        """The statement that renames a table within its schema."""
        return f"alter table {self.qualified(place)} rename to {self.quoted(name)}"

    def move_table(self, place: TableId, schema: str) -> str | None:
        """The statement that moves a table to another schema; None if its rows have to be copied."""
        del place, schema
        return None

    def delete(self, target: str, origin: str, condition: str) -> str:
        """Delete the rows of the table, `t`, that meet a condition with rows of `origin`, which has an alias
        of its own.
        """
        return f"delete from {target} as t using {origin} where {condition}"

    def write_keyed(self, rows: KeyedRows) -> list[str]:
        """Return the statements that bring staged rows into a table by key, in the order in which they run.

        `cdc.sql.keyed` has three ways; the fastest one differs by target.
        """
        return delete_and_insert(rows, self.delete)


class OwnConnection(ABC):
    """The connection to the sink's own tables."""

    dialect: OwnDialect

    @abstractmethod
    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with these values for its `?`, and return its rows."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether the sink's own table of that name exists."""


class Connection(OwnConnection):
    """One open connection. All errors of `run` and `query` are the driver's own (`Error`)."""

    Error: ClassVar[type[Exception]]
    """The base class of the driver's errors."""
    dialect: Dialect

    @property
    def own(self) -> OwnConnection:
        """Where the sink's own tables are: here, in the same transaction, unless the target has none."""
        return self

    @property
    def is_recovering(self) -> bool:
        """Whether an earlier attempt may have left rows behind the cursor: never with transactions."""
        return False

    @property
    def has_definitions(self) -> bool:
        """Whether statements wait for the next commit (`define`)."""
        return False

    def define(self, statement: str) -> None:
        """Run a statement that creates, alters, renames or drops something.

        A target whose schema changes are no part of a transaction notes it instead: `commit` stores it
        together with the cursor, then runs it, and `begin` runs what an ended process has left.
        """
        self.run(statement)

    alters_in_transactions: ClassVar[bool] = True
    """Whether a statement that alters a table can be rolled back when a value does not convert."""

    casts_deleted_rows: ClassVar[bool] = False
    """Whether a change of a type casts deleted rows too, whose values need not convert: the values that are
    there are then checked before, and the statement must not fail for any value."""

    def exchange(self, place: TableId, other: TableId) -> bool:
        """Let two tables swap their names in one step, if the target can; return whether it does."""
        del place, other
        return False

    def rebuild(self, stored: StoredTable, altered: StoredTable, origins: Mapping[str, str]) -> bool:
        """Replace a table by one of another key, with its rows, if the target cannot alter the key; return
        whether it does.

        `origins` says which column of `stored` a column of `altered` continues from, by name.
        """
        del stored, altered, origins
        return False

    def insert_once(self, statement: str, given: pa.Table, token: str) -> None:
        """Run an insert that takes effect once for its table and token, however often it is repeated."""
        del token
        self.run(statement, given)

    @abstractmethod
    def run(self, statement: str, given: pa.Table | None = None) -> int:
        """Run a statement, which may read the Arrow table as `GIVEN`; return how many rows it changed."""

    def run_all(self, statements: Sequence[str], given: pa.Table | None = None) -> None:
        """Run statements one after the other, each of which may read the Arrow table as `GIVEN`.

        A target that copies Arrow tables overrides this to copy the table once.
        """
        for statement in statements:
            self.run(statement, given)

    def load(
        self, target: str, columns: Sequence[tuple[str, str, str]], given: pa.Table, *, is_new: bool
    ) -> bool:
        """Insert the rows of an Arrow table into the table `target` without staging them, if the target has a
        faster way for that; return whether it was done.

        `columns` are the names of the table's columns, quoted, their types, and the names of the Arrow
        columns. `is_new`: the keys are expected not to be in the table. If one is, nothing is inserted.
        """
        del target, columns, given, is_new
        return False

    def lock(self, source: str) -> None:
        """In a transaction: wait until no other process writes for this source, and keep others waiting."""

    @abstractmethod
    def places(self) -> Collection[TableId]:
        """Return all tables and views, as of the running transaction."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def table_refusal(self, error: Exception) -> CdcError | None:
        """The driver's error as ours, if it refused what was done to one table; None if the database, its
        disk or its memory is at fault, or the driver does not tell.
        """
        del error
        return None

    def is_conversion(self, error: Exception) -> bool:
        """Return whether the driver could not convert a value to another type."""
        del error
        return False

    def begin(self) -> None:
        """Begin a transaction."""
        self.run("begin transaction")

    def commit(self) -> None:
        """Commit the running transaction."""
        self.run("commit")

    def roll_back(self) -> None:
        """Roll back the running transaction; raise no errors of the driver."""
        self.run("rollback")

    def indexes_of(self, place: TableId) -> Collection[str]:
        """Return the statements that create the table's indexes, for a table that replaces it; without the
        index of `index_key`.
        """
        del place
        return ()

    def index_key(self, place: TableId, columns: Sequence[str], *, is_unique: bool) -> None:
        """Give a mirror or history the index by which statements find its rows, and drop the one that the
        sink made before. Without columns, only drop it.

        `is_unique`: no two rows share a key. Nothing by default: some targets have no use for an index.
        """
        del place, columns, is_unique

    def has(self, name: str) -> bool:
        """Return whether the sink's own table of that name exists."""
        return self.dialect.place(TableId(OWN_SCHEMA, name)) in self.places()

    def keep(self, name: str, query: str, given: pa.Table | None = None) -> str:
        """Store the result of a query in a temporary table; return its qualified name."""
        table = self.dialect.temporary(name)
        self.run(f"drop table if exists {table}")
        self.run(f"create temp table {name} as {query}", given)
        return table
