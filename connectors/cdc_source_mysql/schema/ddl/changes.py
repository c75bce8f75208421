"""Effects of a statement of the binlog on tables, as plain values.

`cdc_source_mysql.schema.ddl.classify.classify` returns them, and the `History` of
`cdc_source_mysql.schema.history.history` applies them.
Names are as the statement spells them; the history folds their case where the server does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cdc.model import TableId


@dataclass(frozen=True, slots=True)
class Created:
    """CREATE TABLE. `shape` is None if the statement does not define it (LIKE, AS SELECT, unknown syntax).

    `like`: the table whose shape it has. `if_not_exists`: the statement is logged even when it did nothing.
    `replaces`: MariaDB's OR REPLACE.
    """

    table: TableId
    shape: CreatedShape | None = None
    like: TableId | None = None
    if_not_exists: bool = False
    replaces: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """DROP TABLE of one table."""

    table: TableId


@dataclass(frozen=True, slots=True)
class DatabaseDropped:
    """DROP DATABASE: all its tables are gone."""

    database: str


@dataclass(frozen=True, slots=True)
class DatabaseDefaults:
    """CREATE or ALTER DATABASE: the character set of new tables that name none. `charset` is None where the
    statement and its event do not contain it. `if_not_exists`: logged even when the database was there.
    """

    database: str
    charset: str | None = None
    collation: str | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """One pair of a RENAME; a swap is several of them in order. `by_alter`: ALTER TABLE … RENAME."""

    old: TableId
    new: TableId
    by_alter: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class TemporaryCreated:
    """CREATE TEMPORARY TABLE or SEQUENCE: hides a table of that name from the session."""

    table: TableId


@dataclass(frozen=True, slots=True)
class TemporaryDropped:
    """DROP TEMPORARY TABLE or SEQUENCE of one of them."""

    table: TableId


@dataclass(frozen=True, slots=True)
class Truncated:
    """All rows are gone, without row events."""

    table: TableId


@dataclass(frozen=True, slots=True)
class Altered:
    """Effect of an ALTER TABLE, CREATE INDEX or DROP INDEX on a table's shape, clause by clause.

    `strict`: values that don't fit are refused, not changed. `numbers_zeros`: a column that becomes
    AUTO_INCREMENT gets numbers where it is 0. `pads`: a CHAR is read with the spaces at its end. `rebuilds`:
    the server may copy the rows, and so compute generated columns again, by the session's settings.
    """

    table: TableId
    edits: tuple[Edit, ...]
    strict: bool = True
    numbers_zeros: bool = True
    pads: bool = False
    rebuilds: bool = False


@dataclass(frozen=True, slots=True)
class RowsChanged:
    """Stored rows have other values, without row events; `reason` names the clause."""

    table: TableId
    reason: str


@dataclass(frozen=True, slots=True)
class Dml:
    """Rows changed by a statement that is logged as text; `tables` is None when it is not known which.

    What its text says besides: `named` are all tables in it, `written` those of them that it may change,
    `calls` the functions that aren't the server's own. They may be more than there are, never less.
    """

    keyword: str
    tables: tuple[TableId, ...] | None
    named: tuple[TableId, ...] = field(default=(), compare=False)
    written: tuple[TableId, ...] = field(default=(), compare=False)
    calls: tuple[TableId, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ObjectChanged:
    """A view, trigger or routine (`kind`, in upper case) is made, altered or dropped. `name` is its own; of
    a FOREIGN KEY, its table's; of MERGE, that of a table whose UNION is set. `drops`: the statement may take
    a foreign key away.
    """

    kind: str
    name: TableId
    drops: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A statement that isn't understood; `words` are the identifiers in it, with quotes removed, `database`
    is that of unqualified ones.
    """

    reason: str
    words: frozenset[str]
    database: str


TableChange = (
    Created
    | Dropped
    | DatabaseDropped
    | DatabaseDefaults
    | Renamed
    | TemporaryCreated
    | TemporaryDropped
    | Truncated
    | Altered
    | RowsChanged
    | Dml
    | ObjectChanged
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Default:
    """A column's default: a literal with its text, or an expression (`text` None).

    `kind` is 'null', 'text', 'number', 'bytes' (x'..', b'..': `text` is hex), 'expression', 'implicit' (the
    zero or empty value of a column that is NOT NULL and has none) or 'shown' (a float, double or timestamp in
    UTC as the catalog shows it, already rounded by the server).
    """

    kind: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A column as a statement defines it. `column_type` is canonical (see
    `cdc_source_mysql.schema.definitions`), but the character set may still be missing: then it is the table's
    default.

    `charset` is also 'binary' for a text type made binary by its character set. `nullable` is None where the
    statement says neither NULL nor NOT NULL; with `is_sure` False the server's settings decide what that
    means. `period` is 'row_start' or 'row_end' for the columns of MariaDB's system versioning. `rounds`: a
    float or double with stated digits, to which the server rounds stored values too.
    """

    name: str
    column_type: str
    charset: str | None = None
    collation: str | None = None
    nullable: bool | None = None
    generated: bool = False
    invisible: bool = False
    labels: tuple[str, ...] = ()
    default: Default | None = None
    is_json: bool = False
    compressed: bool = False
    srid: int | None = None
    primary: bool = False
    unique: bool = False
    auto_increment: bool = False
    has_characters: bool = False
    on_update: bool = False
    is_sure: bool = True
    period: str = ""
    rounds: bool = False


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """Where a column goes: `after` a column, or first (''). No Place: at the end, or where it is."""

    after: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """A primary key or unique index; `columns` is () where a part is an expression. `if_not_exists`: it, or
    the column that it is a part of, may have been there.
    """

    columns: tuple[str, ...]
    primary: bool
    name: str = ""
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreatedShape:
    """A whole CREATE TABLE: columns, unique indexes in order, defaults."""

    columns: tuple[ColumnSpec, ...]
    indexes: tuple[Index, ...] = ()
    charset: str | None = None
    collation: str | None = None
    engine: str = ""
    versioned: bool = False
    period: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddColumn:
    spec: ColumnSpec
    place: ColumnPlace | None = None
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropColumn:
    name: str
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class ChangeColumn:
    """MODIFY (old name equal to the new one) or CHANGE."""

    name: str
    spec: ColumnSpec
    place: ColumnPlace | None = None


@dataclass(frozen=True, slots=True)
class RenameColumn:
    name: str
    new: str


@dataclass(frozen=True, slots=True)
class SetDefault:
    """ALTER COLUMN … SET DEFAULT or DROP DEFAULT (`default` None): stored rows stay as they are."""

    name: str
    default: Default | None


@dataclass(frozen=True, slots=True)
class SetVisible:
    name: str
    visible: bool


@dataclass(frozen=True, slots=True)
class AddIndex:
    index: Index


@dataclass(frozen=True, slots=True)
class DropPrimaryKey:
    pass


@dataclass(frozen=True, slots=True)
class DropIndex:
    name: str


@dataclass(frozen=True, slots=True)
class ConvertCharset:
    """CONVERT TO CHARACTER SET; `charset` None is the database's default."""

    charset: str | None
    collation: str | None


@dataclass(frozen=True, slots=True)
class DefaultCharset:
    """The table's default for columns to come."""

    charset: str | None
    collation: str | None


@dataclass(frozen=True, slots=True)
class SetEngine:
    """`engine` is "" where the server may take another one than the statement names."""

    engine: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """REPAIR TABLE, or of a partition: damaged rows are dropped."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """A clause after which only the catalog knows the shape; the rows that are there keep their values."""

    reason: str


Edit = (
    AddColumn
    | DropColumn
    | ChangeColumn
    | RenameColumn
    | SetDefault
    | SetVisible
    | AddIndex
    | DropPrimaryKey
    | DropIndex
    | ConvertCharset
    | DefaultCharset
    | SetEngine
    | Repaired
    | Unsure
)
