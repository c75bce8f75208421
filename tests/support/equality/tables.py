"""Whole tables in canonical form: from the source, and from a DuckDB mirror."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from tests.support.equality.values import SourceColumn

# How many differences a failure shows; the first ones tell the story.
SHOWN = 5
# What a mirror has beside the source's columns.
MIRROR_COLUMNS = {"_cdc_seq", "_cdc_commit_at"}


@dataclass(frozen=True)
class SourceTable:
    """A source table's rows now, each a tuple in column order."""

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    rows: Counter[tuple[Any, ...]]


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
