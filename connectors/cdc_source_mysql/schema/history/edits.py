"""Applies the clauses of ALTER TABLE to a definition, and CREATE TABLE to nothing, as the server does.

The server first walks the old columns (dropped, or changed, renamed or kept in their places), then adds the
new ones and moves those with a new place, in the order of the clauses. Where the outcome depends on an
unknown (the table's other indexes) the shape is unsure, never guessed. An unknown character set is
UNKNOWN_CHARSET. The hidden columns of MariaDB's long unique keys follow from the same clauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cdc.model import TableId
from cdc_source_mysql.schema.catalog import HIDDEN_PERIOD
from cdc_source_mysql.schema.charsets import holds
from cdc_source_mysql.schema.column_defaults import required, stated_default, with_default
from cdc_source_mysql.schema.ddl.changes import (
    AddColumn,
    AddIndex,
    Altered,
    ChangeColumn,
    ColumnPlace,
    ColumnSpec,
    ConvertCharset,
    CreatedShape,
    DefaultCharset,
    DropColumn,
    DropIndex,
    DropPrimaryKey,
    Edit,
    Index,
    RenameColumn,
    Repaired,
    SetDefault,
    SetEngine,
    SetVisible,
    Unsure,
)
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition, is_hash, may_need_hash

_TEXTS = ("tinytext", "text", "mediumtext", "longtext")
_VARYING = re.compile(r"var(char|binary)\((\d+)\)")
# What fits in a row whatever its character set.
_MOST_CHARACTERS = {"char": 65535 // 4, "binary": 65532}

# The character set of a column that has the table's default, where that isn't known.
UNKNOWN_CHARSET: Final = "?"
_SHAPELESS = (SetDefault, SetEngine, Repaired)


class ShapeUnsure(Exception):
    """Only the catalog knows what the statement made; the text says why."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """A character set and its collation, None where the server's default isn't known."""

    charset: str
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class KnownTable:
    """A table before a statement, as far as it is known. `characters` is its default character set;
    `has_primary_key` says that its key is the primary one (None: not known).
    """

    definition: TableDefinition
    characters: CharacterSet | None = None
    has_primary_key: bool | None = None

    @property
    def is_sure(self) -> bool:
        return all(column.charset != UNKNOWN_CHARSET for column in self.definition.columns)


@dataclass(slots=True)
class _Columns:
    """The columns of a table while it is being altered; names compare without case."""

    old: tuple[ColumnDefinition, ...]
    made: list[ColumnDefinition] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> int:
        for at, column in enumerate(self.made):
            if same(column.name, name):
                return at
        raise ShapeUnsure(f"there is no column {name}")

    def has(self, name: str) -> bool:
        return any(same(column.name, name) for column in self.made)

    def put(self, column: ColumnDefinition, place: ColumnPlace | None) -> None:
        if place is None:
            self.made.append(column)
        elif not place.after:
            self.made.insert(0, column)
        else:
            self.made.insert(self.find(place.after) + 1, column)


def same(one: str, other: str) -> bool:
    """Column and index names are the same in any case."""
    return one.lower() == other.lower()


def create(
    table: TableId,
    shape: CreatedShape,
    default_collations: Mapping[str, str],
    database: CharacterSet | None = None,
) -> KnownTable:
    """The table that a CREATE TABLE makes in a database with this default character set (None: not known).

    Raises:
        ShapeUnsure: the statement alone is not enough.
    """
    characters = _characters(shape.charset, shape.collation, default_collations)
    if shape.charset is None and shape.collation is None:
        characters = database
    columns = [column_of(spec, characters, default_collations) for spec in shape.columns]
    period = shape.period
    if shape.versioned and not period:
        period = HIDDEN_PERIOD
        columns += [_hidden(name) for name in HIDDEN_PERIOD]
    draft = _Columns(old=(), made=columns)
    primary = next((index for index in shape.indexes if index.primary), None)
    if primary is not None:
        _require(draft, primary.columns)
    key = tuple(primary.columns) if primary is not None else _unique_key(draft, shape.indexes)
    definition = TableDefinition(
        table=table,
        columns=tuple(draft.made),
        key=_spelled(draft, key),
        engine=shape.engine,
        period=period,
    )
    return KnownTable(definition, characters, bool(primary))


def alter(known: KnownTable, altered: Altered, default_collations: Mapping[str, str]) -> KnownTable:
    """The table after an ALTER TABLE.

    Raises:
        ShapeUnsure: the statement alone is not enough.
    """
    unsure = next((edit for edit in altered.edits if isinstance(edit, Unsure)), None)
    if unsure is not None:
        raise ShapeUnsure(unsure.reason)
    characters = _new_default(known.characters, altered.edits, default_collations)
    known = replace(known, characters=characters)
    columns = _alter_columns(known, altered.edits, default_collations)
    for edit in altered.edits:
        if isinstance(edit, ConvertCharset):
            _convert(columns, edit, default_collations)
    key, is_primary = _alter_key(known, altered.edits, columns)
    engine = next((e.engine for e in altered.edits if isinstance(e, SetEngine)), known.definition.engine)
    definition = replace(
        known.definition,
        columns=tuple(columns.made),
        key=key,
        engine=engine,
        period=_period(known.definition.period, columns),
    )
    return KnownTable(definition, characters, is_primary)


def column_of(
    spec: ColumnSpec, characters: CharacterSet | None, default_collations: Mapping[str, str]
) -> ColumnDefinition:
    """The column that a statement defines, in a table of that default character set."""
    if not spec.is_sure:
        raise ShapeUnsure(f"whether {spec.name} can be null depends on the server's settings")
    _require_fitting(spec.name, spec.column_type)
    charset, collation = spec.charset, spec.collation
    if spec.has_characters and charset is None:
        charset, collation = (
            (characters.charset, characters.collation) if characters else (UNKNOWN_CHARSET, None)
        )
    elif charset is not None and collation is None:
        collation = default_collations.get(charset)
    if spec.has_characters and charset == "binary":
        raise ShapeUnsure(f"the table's character set makes bytes of {spec.name}")
    _require_labels(spec.name, spec.labels, charset)
    return ColumnDefinition(
        name=spec.name,
        column_type=spec.column_type,
        charset=charset,
        collation=collation,
        nullable=spec.nullable is not False,
        generated=spec.generated,
        invisible=spec.invisible,
        labels=spec.labels,
        default=stated_default(spec),
        is_json=spec.is_json,
        compressed=spec.compressed,
        srid=spec.srid,
    )


def _require_labels(name: str, labels: Iterable[str], charset: str | None) -> None:
    """The server replaces what the column's character set lacks, by `?`."""
    if charset not in (None, UNKNOWN_CHARSET) and not all(holds(charset, label) for label in labels):
        raise ShapeUnsure(f"the character set {charset} may lack characters of the labels of {name}")


def _require_fitting(name: str, column_type: str) -> None:
    """Without a strict sql_mode, a column that is too long for its type gets another."""
    found = _VARYING.fullmatch(column_type)
    if found and int(found[2]) > _MOST_CHARACTERS[found[1]]:
        raise ShapeUnsure(f"{name} may be too long for its type, and have become a text or blob")


def _hidden(name: str) -> ColumnDefinition:
    """A column that system versioning adds."""
    return ColumnDefinition(name, "timestamp(6)", nullable=False, generated=True, invisible=True)


def _characters(
    charset: str | None, collation: str | None, default_collations: Mapping[str, str]
) -> CharacterSet | None:
    if charset is None:
        return None
    return CharacterSet(charset, collation or default_collations.get(charset))


def _new_default(
    now: CharacterSet | None, edits: Sequence[Edit], default_collations: Mapping[str, str]
) -> CharacterSet | None:
    """None where clauses disagree: MariaDB 10.11 takes that of DEFAULT CHARACTER SET, wherever it stands."""
    stated = [
        _characters(edit.charset, edit.collation, default_collations)
        for edit in edits
        if isinstance(edit, DefaultCharset | ConvertCharset)
    ]
    if not stated:
        return now
    return stated[-1] if len({found and found.charset for found in stated}) == 1 else None


def _alter_columns(
    known: KnownTable, edits: Sequence[Edit], default_collations: Mapping[str, str]
) -> _Columns:
    columns = _Columns(old=known.definition.columns)
    _check_names(known.definition, edits)
    for column in known.definition.columns:
        _keep(column, columns, known, edits, default_collations)
    for edit in edits:
        if isinstance(edit, AddColumn):
            _add(edit, columns, known, default_collations)
        elif isinstance(edit, ChangeColumn) and edit.place is not None:
            columns.put(columns.made.pop(columns.find(edit.spec.name)), edit.place)
        elif isinstance(edit, SetVisible):
            at = columns.find(edit.name)
            columns.made[at] = replace(columns.made[at], invisible=not edit.visible)
        elif isinstance(edit, SetDefault):
            at = columns.find(edit.name)
            columns.made[at] = with_default(columns.made[at], edit.default)
    return columns


def _check_names(definition: TableDefinition, edits: Sequence[Edit]) -> None:
    """A clause for a column that isn't there did nothing (IF EXISTS), or our definition is wrong. MariaDB
    applies a second clause for a column to the one that ADD makes.
    """
    seen: set[str] = set()
    for edit in edits:
        if not isinstance(edit, DropColumn | ChangeColumn | RenameColumn):
            continue
        if isinstance(edit, DropColumn) and edit.if_exists:
            continue
        if not any(same(edit.name, name) for name in definition.names):
            raise ShapeUnsure(f"there is no column {edit.name}")
        if edit.name.lower() in seen:
            raise ShapeUnsure(f"several clauses name the column {edit.name}")
        seen.add(edit.name.lower())


def _keep(
    column: ColumnDefinition,
    columns: _Columns,
    known: KnownTable,
    edits: Sequence[Edit],
    default_collations: Mapping[str, str],
) -> None:
    """Take one old column over: dropped, changed, renamed or as it is."""
    for edit in edits:
        if isinstance(edit, DropColumn) and same(edit.name, column.name):
            return
        if isinstance(edit, ChangeColumn) and same(edit.name, column.name):
            columns.renamed[column.name.lower()] = edit.spec.name
            columns.made.append(column_of(edit.spec, known.characters, default_collations))
            return
        if isinstance(edit, RenameColumn) and same(edit.name, column.name):
            columns.renamed[column.name.lower()] = edit.new
            columns.made.append(replace(column, name=edit.new))
            return
    columns.made.append(column)


def _add(
    edit: AddColumn, columns: _Columns, known: KnownTable, default_collations: Mapping[str, str]
) -> None:
    if edit.if_not_exists and any(same(old.name, edit.spec.name) for old in columns.old):
        # Whether or not another clause drops or renames that column.
        return
    if columns.has(edit.spec.name):
        if edit.if_not_exists:
            return
        raise ShapeUnsure(f"there is a column {edit.spec.name} already")
    columns.put(column_of(edit.spec, known.characters, default_collations), edit.place)


def _convert(columns: _Columns, edit: ConvertCharset, default_collations: Mapping[str, str]) -> None:
    """The character columns become of one set; a text type may become a larger one."""
    characters = _characters(edit.charset, edit.collation, default_collations)
    if characters is None or characters.charset == "binary":
        raise ShapeUnsure("CONVERT TO CHARACTER SET without a name, or to bytes")
    for at, column in enumerate(columns.made):
        if column.charset is None:
            continue
        is_kept = column.charset == characters.charset and column in columns.old
        if column.is_json or (column.column_type in _TEXTS and not is_kept):
            # MySQL 9.7 makes TINYTEXT of MODIFY … TEXT beside CONVERT TO.
            raise ShapeUnsure("CONVERT TO CHARACTER SET may make a text type larger or smaller")
        _require_fitting(column.name, column.column_type)
        _require_labels(column.name, column.labels, characters.charset)
        columns.made[at] = replace(column, charset=characters.charset, collation=characters.collation)


def _alter_key(
    known: KnownTable, edits: Sequence[Edit], columns: _Columns
) -> tuple[tuple[str, ...], bool | None]:
    """The key after the statement, and whether it is the primary one."""
    added = _made_indexes(known, edits, columns)
    primary = next((index for index in added if index.primary), None)
    if primary is not None:
        _require(columns, primary.columns)
        return _spelled(columns, primary.columns), True
    if any(isinstance(edit, DropPrimaryKey) for edit in edits):
        raise ShapeUnsure("without its primary key the table may have another unique index")
    key = _kept_key(known, columns)
    if key and known.has_primary_key:
        _require(columns, key)
        return key, True
    if key and any(columns.made[columns.find(name)].nullable for name in key):
        raise ShapeUnsure("a column of the unique index can be null")
    if known.definition.key and any(isinstance(edit, DropIndex) for edit in edits):
        raise ShapeUnsure("the index that was dropped may have been the key")
    return _with_unique(key, added, columns), known.has_primary_key if key else False


def _made_indexes(known: KnownTable, edits: Sequence[Edit], columns: _Columns) -> list[Index]:
    """The indexes that a statement adds. Where an index of IF NOT EXISTS could be the key, only the catalog
    shows whether it was there; a primary key that stays is the key in any case.
    """
    drops = any(isinstance(edit, DropPrimaryKey) for edit in edits)
    has_primary = bool(known.has_primary_key) and not drops
    added = [edit.index for edit in edits if isinstance(edit, AddIndex)]
    open_ones = [index for index in added if index.if_not_exists]
    if any(index.primary for index in open_ones) and not has_primary:
        raise ShapeUnsure("the primary key of IF NOT EXISTS may have been there")
    if not has_primary and _unique_candidates(columns, open_ones):
        raise ShapeUnsure("the unique index of IF NOT EXISTS may have been there")
    return [index for index in added if not index.if_not_exists]


def _with_unique(key: tuple[str, ...], added: Sequence[Index], columns: _Columns) -> tuple[str, ...]:
    """The key once unique indexes are added and there is no primary key, as far as is known."""
    if not key and any(not column.nullable for column in columns.made) and _became_required(columns):
        raise ShapeUnsure("a column that became NOT NULL may be in a unique index")
    if not key:
        return _unique_key(columns, added)
    if _unique_candidates(columns, added):
        raise ShapeUnsure("the table has several unique indexes")
    return key


def _became_required(columns: _Columns) -> bool:
    """Return whether an old column can't be null any more: an index over it may have become a key."""
    nullable = {column.name.lower() for column in columns.old if column.nullable}
    now = {columns.renamed.get(name, name).lower() for name in nullable}
    return any(not column.nullable and column.name.lower() in now for column in columns.made)


def _kept_key(known: KnownTable, columns: _Columns) -> tuple[str, ...]:
    """The old key under its columns' new names."""
    key = tuple(columns.renamed.get(name.lower(), name) for name in known.definition.key)
    if not all(columns.has(name) for name in key):
        raise ShapeUnsure("a column of the key was dropped")
    return key


def _unique_candidates(columns: _Columns, indexes: Sequence[Index]) -> list[tuple[str, ...]]:
    """The unique indexes that identify every row."""
    found = []
    for index in indexes:
        if index.primary:
            continue
        if not index.columns:
            raise ShapeUnsure("a unique index is on an expression")
        if not any(columns.made[columns.find(name)].nullable for name in index.columns):
            found.append(_spelled(columns, index.columns))
    return found


def _unique_key(columns: _Columns, indexes: Sequence[Index]) -> tuple[str, ...]:
    found = _unique_candidates(columns, indexes)
    if len(set(found)) > 1:
        raise ShapeUnsure("the table has several unique indexes")
    return found[0] if found else ()


def _require(columns: _Columns, names: Sequence[str]) -> None:
    """The columns of a primary key are NOT NULL whatever they say."""
    if not names:
        raise ShapeUnsure("the primary key is not on columns")
    for name in names:
        at = columns.find(name)
        columns.made[at] = required(columns.made[at])


def _spelled(columns: _Columns, names: Sequence[str]) -> tuple[str, ...]:
    """Column names as the columns spell them."""
    return tuple(columns.made[columns.find(name)].name for name in names)


def _period(period: tuple[str, ...], columns: _Columns) -> tuple[str, ...]:
    if not all(columns.has(columns.renamed.get(name.lower(), name)) for name in period):
        raise ShapeUnsure("a column of the system versioning was dropped")
    return tuple(columns.renamed.get(name.lower(), name) for name in period)


def guess(definition: TableDefinition, altered: Altered) -> TableDefinition | None:
    """The columns after a statement whose outcome isn't sure: good enough to recognise one in an event. None
    where not even they can be told.
    """
    kept = (AddColumn, DropColumn, ChangeColumn, RenameColumn, SetDefault)
    edits = tuple(_sure(edit) for edit in altered.edits if isinstance(edit, kept))
    try:
        columns = _alter_columns(KnownTable(definition), edits, {})
    except ShapeUnsure:
        return None
    return replace(definition, columns=tuple(columns.made), key=())


def guess_created(table: TableId, shape: CreatedShape) -> TableDefinition | None:
    """As `guess`, for a CREATE TABLE."""
    columns = tuple(replace(spec, is_sure=True) for spec in shape.columns)
    try:
        return create(table, replace(shape, columns=columns, indexes=()), {}).definition
    except ShapeUnsure:
        return None


def _sure(edit: Edit) -> Edit:
    if isinstance(edit, AddColumn | ChangeColumn):
        return replace(edit, spec=replace(edit.spec, is_sure=True))
    return edit


def require_no_hash(definition: TableDefinition, indexes: Iterable[Index]) -> None:
    """Refuse a definition made by a statement if one of these unique indexes may have a hidden column."""
    by_name = {column.name.lower(): column for column in definition.columns}
    for index in indexes:
        columns = [by_name[name.lower()] for name in index.columns if name.lower() in by_name]
        if not index.primary and may_need_hash(columns, definition.engine):
            raise ShapeUnsure("a long unique key may have a hidden column")


def require_same_hidden(before: TableDefinition, after: TableDefinition, edits: Iterable[Edit]) -> None:
    """Refuse what an ALTER TABLE made if MariaDB may have other hidden columns, or have them elsewhere."""
    edits = tuple(edits)
    has_hashes = any(map(is_hash, before.columns))
    if has_hashes and not all(isinstance(edit, _SHAPELESS) for edit in edits):
        raise ShapeUnsure("a long unique key has a hidden column after all others")
    appends = any(isinstance(edit, AddColumn) and edit.place is None for edit in edits)
    if appends and _may_be_hidden(before):
        raise ShapeUnsure("a new column comes before the hidden columns of system versioning")
    require_no_hash(after, (edit.index for edit in edits if isinstance(edit, AddIndex)))


def _may_be_hidden(definition: TableDefinition) -> bool:
    """Return whether the server may have added the columns of system versioning: columns of these names that
    the table states as INVISIBLE look the same, but new columns come after them.
    """
    period = definition.period
    return period == HIDDEN_PERIOD and all(definition.column(name).invisible for name in period)
