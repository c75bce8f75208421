"""Columns that row images have and no statement or catalog shows: MariaDB's hashes of long unique keys.

A unique key over a TEXT or BLOB, over more bytes than an index takes, or USING HASH is kept by a hash in a
hidden column behind all others, one a key. It is no part of the table.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable

from cdc_source_mysql.schema.definitions import ColumnDefinition

HASH_PREFIX = "DB_ROW_HASH_"
HASH_TYPE = "bigint unsigned"
_HASH_NAME = re.compile(r"DB_ROW_HASH_\d+")
# The indexes of these engines are hashes by themselves.
_HASHING_ENGINES = frozenset({"memory"})
# A key of InnoDB's default row format takes so many bytes; MyISAM's and Aria's take less.
_INDEX_BYTES = {"": 3072, "innodb": 3072}
_LEAST_INDEX_BYTES = 767
_MOST_BYTES_OF_A_CHARACTER = 4
_SIZED = re.compile(r"(?:var)?(?:char|binary)\((\d+)\)")
_ENDLESS = re.compile(r"(?:tiny|medium|long)?(?:text|blob)|json|geometry")


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


def is_hash(column: ColumnDefinition) -> bool:
    """Whether the column is one that the server added for a long unique key."""
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
    """Whether a unique index over these whole columns may be too long for an index."""
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
