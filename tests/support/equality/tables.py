"""Whole tables in canonical form: from the source, and from a DuckDB mirror."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from tests.support.equality.canonical import SESSION, SourceColumn, source_columns
from tests.support.postgres import Database

# How many differences a failure shows; the first ones tell the story.
SHOWN = 5
# What a mirror has beside the source's columns.
MIRROR_COLUMNS = {"_cdc_seq", "_cdc_commit_at"}


@dataclass(frozen=True)
class SourceTable:
    """A source table's rows now, each a tuple in column order, and what rows older than a column hold in
    it.
    """

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    rows: Counter[tuple[Any, ...]]
    fills: Mapping[str, Any]


def read_source(database: Database, table: str, key: Sequence[str]) -> SourceTable:
    """`table` as `schema.name`, already quoted where it needs it."""
    with database.connect(autocommit=False) as connection:
        connection.execute(SESSION)
        columns = source_columns(connection, table)
        names = ", ".join(c.expression for c in columns)
        fetched = connection.execute(f"select {names} from {table}".encode()).fetchall()
        by_column = [c.from_source([row[i] for row in fetched]) for i, c in enumerate(columns)]
        rows = Counter(zip(*by_column, strict=True)) if columns else Counter({(): len(fetched)})
        fills = {c.name: fill for c in columns if (fill := _fill(connection, table, c)) is not None}
    return SourceTable(table, tuple(columns), tuple(key), rows, fills)


def _fill(connection: psycopg.Connection[Any], table: str, column: SourceColumn) -> Any:
    """What rows from before ADD COLUMN … DEFAULT have, or None."""
    missing = connection.execute(
        "select (attmissingval::text::text[])[1], format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = %s::regclass and attname = %s and atthasmissing",
        [table, column.name],
    ).fetchone()
    if missing is None:
        return None
    quoted = column.name.replace('"', '""')
    expression = column.expression.replace("%", "%%")
    statement = f'select {expression} from (select %s::{missing[1]} as "{quoted}") one'
    found = connection.execute(statement.encode(), [missing[0]]).fetchone()
    return None if found is None else column.from_source([found[0]])[0]


def read_mirror(path: Path, source: SourceTable) -> Counter[tuple[Any, ...]]:
    """The rows of the mirror of a source table, which must have exactly its columns."""
    with duckdb.connect(str(path), read_only=True) as connection:
        table = connection.sql(f"select * from {source.name}").to_arrow_table()
    wanted = {column.name for column in source.columns}
    found = set(table.column_names)
    assert found == wanted | MIRROR_COLUMNS, (
        f"{source.name}: the mirror's columns differ: {found ^ (wanted | MIRROR_COLUMNS)}"
    )
    by_column = [column.from_arrow(table.column(column.name)) for column in source.columns]
    return Counter(zip(*by_column, strict=True)) if by_column else Counter({(): table.num_rows})


def differences(source: SourceTable, other: Counter[tuple[Any, ...]]) -> list[str]:
    """Sentences on the first rows that differ; empty when all is equal."""
    lost, extra = source.rows - other, other - source.rows
    if not lost and not extra:
        return []
    counts = f"{source.name}: {lost.total()} rows are missing, {extra.total()} are there without cause"
    if not source.key:
        return [
            counts,
            *(f"missing {_short(r)}" for r in [*lost][:SHOWN]),
            *(f"extra {_short(r)}" for r in [*extra][:SHOWN]),
        ]
    return [counts, *_by_key(source, lost, extra)]


def _by_key(
    source: SourceTable, lost: Iterable[tuple[Any, ...]], extra: Iterable[tuple[Any, ...]]
) -> list[str]:
    names = [column.name for column in source.columns]
    positions = [names.index(name) for name in source.key]
    there = {tuple(row[i] for i in positions): row for row in extra}
    found = []
    for row in lost:
        key = tuple(row[i] for i in positions)
        other = there.pop(key, None)
        if other is None:
            found.append(f"key {key}: missing")
            continue
        cells = [(n, a, b) for n, a, b in zip(names, row, other, strict=True) if a != b]
        found += [
            f"key {key}, column {n}: the source has {_short(a)}, here is {_short(b)}" for n, a, b in cells
        ]
    return [*found[:SHOWN], *(f"key {key}: extra" for key in [*there][:SHOWN])]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"
