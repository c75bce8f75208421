"""Definitions of tables: plain values without a connection, and their one-line JSON for the log.

`column_type` is canonical: information_schema's COLUMN_TYPE in lower case (labels of enum and set as they
are) without what neither changes a value nor is in the binlog: display widths (`int(11)`,
`tinyint(1)`, `year(4)`, `float(7,3)`), `zerofill`, `unsigned` of a year, comments such as `/* mariadb-5.3
*/`. So the catalog, an event with full metadata and a parsed DDL statement give equal texts for equal
columns.

Row images also have hidden columns, which no statement or catalog shows. MariaDB keeps a unique key over a
TEXT or BLOB, over more bytes than an index takes, or USING HASH by a hash in a hidden column behind all
others, one per key. These columns are no part of the table.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import orjson

from cdc.errors import StateError
from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Default

HASH_PREFIX = "DB_ROW_HASH_"
HASH_TYPE = "bigint unsigned"
_HASH_NAME = re.compile(r"DB_ROW_HASH_\d+")
# They keep every row that is written, and no other.
_KEEPING_ENGINES = frozenset(
    (
        "",
        "archive",
        "aria",
        "csv",
        "heap",
        "innodb",
        "memory",
        "myisam",
        "ndb",
        "ndbcluster",
        "rocksdb",
        "tokudb",
    )
)
BLACKHOLE = "blackhole"
# Stands for an engine that keeps other rows, or for the one that the server took in its place.
UNSURE_ENGINE = "?"
# The indexes of these engines are hashes by themselves.
_HASHING_ENGINES = frozenset({"memory"})
# A key of InnoDB's default row format takes so many bytes; MyISAM's and Aria's take less.
_INDEX_BYTES = {"": 3072, "innodb": 3072}
_LEAST_INDEX_BYTES = 767
_MOST_BYTES_OF_A_CHARACTER = 4
_SIZED = re.compile(r"(?:var)?(?:char|binary)\((\d+)\)")
_ENDLESS = re.compile(r"(?:tiny|medium|long)?(?:text|blob)|json|geometry")


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """One column, in the order of the row images (hidden and generated columns too).

    `charset` and `collation` are None for a type without characters, and for binary ones. `labels` are those
    of an enum or set, decoded; `has_unsure_labels`: as information_schema shows them, with `?` where a
    character may be one beyond the BMP. `default` is what an INSERT that leaves the column out puts into it,
    None when that isn't known. `is_json` marks MariaDB's JSON (longtext with a json_valid check),
    `compressed` its COMPRESSED columns. `legacy_temporal`: stored in a format older than MySQL 5.6's. `srid`
    is MySQL's restriction of a geometry column.
    """

    name: str
    column_type: str
    charset: str | None = None
    collation: str | None = None
    nullable: bool = True
    generated: bool = False
    invisible: bool = False
    labels: tuple[str, ...] = ()
    default: Default | None = None
    is_json: bool = False
    compressed: bool = False
    legacy_temporal: bool = False
    srid: int | None = None
    has_unsure_labels: bool = False


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """One version of a table.

    `key` is the primary key, else the first unique index whose columns are all NOT NULL, else (). `period`
    names the two columns of MariaDB's system versioning (row start, row end), () without. `engine` is empty
    where the source of the definition lacks it (a TABLE_MAP event, a CREATE TABLE without it), `?` where the
    server may have taken another one for an engine that doesn't keep its rows.
    `has_primary_key` and `default_collation` (of columns to come): what the catalog has, None from
    elsewhere; not a part of the version.
    """

    table: TableId
    columns: tuple[ColumnDefinition, ...]
    key: tuple[str, ...] = ()
    engine: str = ""
    period: tuple[str, ...] = ()
    has_primary_key: bool | None = field(default=None, compare=False)
    default_collation: str | None = field(default=None, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def has_versions_by_transaction(self) -> bool:
        """Whether its period is one of transaction numbers: MariaDB logs its changes as statements only."""
        return any(self.column(name).column_type.startswith("bigint") for name in self.period)

    def labelled_as(self, other: TableDefinition) -> TableDefinition:
        """With the other's labels of enums and sets where this has only `?` for some of their characters."""
        known = {column.name: column for column in other.columns}
        columns = tuple(
            replace(
                column,
                column_type=known[column.name].column_type,
                labels=known[column.name].labels,
                has_unsure_labels=known[column.name].has_unsure_labels,
            )
            if column.has_unsure_labels and column.name in known and _may_show(column, known[column.name])
            else column
            for column in self.columns
        )
        return replace(self, columns=columns)

    def column(self, name: str) -> ColumnDefinition:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def to_json(self) -> str:
        """One line; what has its default value is left out."""
        value = {
            "schema": self.table.schema,
            "name": self.table.name,
            "columns": [_lean(column) for column in self.columns],
            "key": self.key,
            "engine": self.engine,
            "period": self.period,
        }
        return orjson.dumps(value).decode()

    @classmethod
    def from_json(cls, text: str) -> TableDefinition:
        """The reverse of `to_json`; unknown keys are left out, anything else wrong is a StateError."""
        try:
            value = orjson.loads(text)
            return cls(
                table=TableId(str(value["schema"]), str(value["name"])),
                columns=tuple(_column(column) for column in value["columns"]),
                key=tuple(value["key"]),
                engine=str(value["engine"]),
                period=tuple(value.get("period", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = "the stored definition of a table cannot be read"
            raise StateError(message, remedy="Copy the tables of this source again.") from error


_DEFAULTS = asdict(ColumnDefinition(name="", column_type=""))
_FIELDS = frozenset(each.name for each in fields(ColumnDefinition))


def _may_show(shown: ColumnDefinition, column: ColumnDefinition) -> bool:
    """Return whether the labels are those of the column with `?` for each character beyond the BMP."""
    told = tuple("".join("?" if char > "\uffff" else char for char in label) for label in column.labels)
    return shown.labels == told and shown.column_type[:4] == column.column_type[:4]


def _lean(column: ColumnDefinition) -> dict[str, Any]:
    return {name: value for name, value in asdict(column).items() if value != _DEFAULTS[name]}


def _column(value: Mapping[str, Any]) -> ColumnDefinition:
    known = {name: item for name, item in value.items() if name in _FIELDS}
    known["labels"] = tuple(known.get("labels", ()))
    default = known.get("default")
    known["default"] = Default(**default) if isinstance(default, dict) else None
    return ColumnDefinition(**known)


def hash_columns(
    keys: Iterable[tuple[str, bool]], engine: str, taken: Collection[str]
) -> tuple[ColumnDefinition, ...]:
    """The hidden columns of a table, named as the server names them. `keys`: of each unique index its kind
    (BTREE, HASH) and whether one of its columns can be null.
    """
    if engine.lower() in _HASHING_ENGINES:
        return ()
    nullable = [can_be_null for kind, can_be_null in keys if kind.upper() == "HASH"]
    numbers = (n for n in itertools.count(1) if f"{HASH_PREFIX}{n}" not in taken)
    named = zip(nullable, numbers, strict=False)
    return tuple(_hash(f"{HASH_PREFIX}{n}", nullable=can_be_null) for can_be_null, n in named)


def keeps_rows(engine: str) -> bool:
    """Return whether a SELECT shows the rows that were written. '' (not known) counts as such an engine."""
    return engine.lower() in _KEEPING_ENGINES


def is_hash(column: ColumnDefinition) -> bool:
    """Return whether the column is one that the server added for a long unique key."""
    return (
        column.generated
        and column.invisible
        and column.column_type == HASH_TYPE
        and _HASH_NAME.fullmatch(column.name) is not None
    )


def as_hidden(column: ColumnDefinition) -> ColumnDefinition:
    """A column of an event with full metadata, marked where its name and type say that it is hidden."""
    if column.column_type == HASH_TYPE and _HASH_NAME.fullmatch(column.name):
        return _hash(column.name, nullable=column.nullable)
    return column


def may_need_hash(columns: Iterable[ColumnDefinition], engine: str) -> bool:
    """Return whether a unique index over these whole columns may be too long for an index."""
    size = 0
    for column in columns:
        found = _SIZED.fullmatch(column.column_type)
        if found:
            size += int(found[1]) * (_MOST_BYTES_OF_A_CHARACTER if column.charset else 1)
        elif _ENDLESS.match(column.column_type):
            return True
    return size > _INDEX_BYTES.get(engine.lower(), _LEAST_INDEX_BYTES)


def _hash(name: str, *, nullable: bool) -> ColumnDefinition:
    return ColumnDefinition(name, HASH_TYPE, nullable=nullable, generated=True, invisible=True)


# A server that is upgraded calls the same character set by its new name.
_RENAMED_CHARSETS = {"utf8": "utf8mb3"}


def difference(known: TableDefinition, shown: TableDefinition) -> str:
    """Return how the catalog's definition (`shown`) differs from the history's, for people, where rows
    depend on it; '' when rows are read alike.

    Defaults, engines, collations and visibility are left out: rows are read alike whatever they are, and the
    history doesn't know them all.
    """
    shown = shown.labelled_as(known)
    if known.names != shown.names:
        if sorted(known.names) == sorted(shown.names):
            return "its columns are in another order"
        return f"its columns are {', '.join(shown.names)}, not {', '.join(known.names)}"
    for column, other in zip(known.columns, shown.columns, strict=True):
        if column.labels and other.labels and column.labels != other.labels:
            return f"column {column.name} has other labels"
        if _traits(column) != _traits(other):
            return f"column {column.name} is {_spelled(other)}, not {_spelled(column)}"
    if known.key != shown.key:
        return f"its key is ({', '.join(shown.key)}), not ({', '.join(known.key)})"
    return ""


def _traits(column: ColumnDefinition) -> tuple[object, ...]:
    charset = _RENAMED_CHARSETS.get(column.charset, column.charset) if column.charset else None
    # Statements don't say whether a hidden column can be null.
    nullable = None if is_hash(column) else column.nullable
    return (
        *(column.column_type, charset, nullable, column.generated),
        *(column.is_json, column.compressed, column.legacy_temporal),
    )


def _spelled(column: ColumnDefinition) -> str:
    # Labels may be many.
    base = column.column_type.partition("(")[0] if column.labels else column.column_type
    charset = f" character set {column.charset}" if column.charset else ""
    generated = " generated" if column.generated else ""
    json = " (json)" if column.is_json else ""
    return f"{base}{charset}{generated}{json}{' null' if column.nullable else ' not null'}"
