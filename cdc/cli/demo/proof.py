"""Proves that three things are equal: the source, the DuckDB mirror, and what replaying the lake gives.

Per table a count and a sum of row hashes. The hash is of a text that both engines render alike: every column
of a row as text (times as microseconds), NULL as a mark of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NULL_MARK = "~null~"


@dataclass(frozen=True, slots=True)
class Checksum:
    """Rows and the sum of the first 60 bits of their hashes."""

    rows: int
    total: int

    @property
    def digits(self) -> str:
        """The last 48 bits of the sum, for people."""
        return f"{self.total % 16**12:012x}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One table's three checksums."""

    table: str
    source: Checksum
    mirror: Checksum
    lake: Checksum

    @property
    def is_equal(self) -> bool:
        return self.source == self.mirror == self.lake


def prove(url: str, warehouse: Path, lake: Path) -> list[Verdict]:
    """The verdict for every table of the source's public schema."""
    import duckdb
    import psycopg

    verdicts = []
    with psycopg.connect(url) as source, duckdb.connect(str(warehouse), read_only=True) as target:
        target.execute("set timezone = 'UTC'")
        for table, columns, key in _tables(source):
            verdicts.append(
                Verdict(
                    table,
                    _source_sum(source, table, columns),
                    _duckdb_sum(target, _mirror(table), columns),
                    _duckdb_sum(target, _replayed(lake, table, columns, key), columns),
                )
            )
    return verdicts


Columns = Sequence[tuple[str, str]]


def _tables(source: Any) -> list[tuple[str, Columns, Sequence[str]]]:
    names = source.execute(
        "select tablename from pg_tables where schemaname = 'public' order by 1"
    ).fetchall()
    return [(name, _columns(source, name), _key(source, name)) for (name,) in names]


def _columns(source: Any, table: str) -> Columns:
    rows = source.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'public' and table_name = %s order by ordinal_position",
        (table,),
    ).fetchall()
    return [(str(name), str(kind)) for name, kind in rows]


def _key(source: Any, table: str) -> Sequence[str]:
    rows = source.execute(
        "select a.attname from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
        " where i.indrelid = %s::regclass and i.indisprimary order by a.attnum",
        (f"public.{table}",),
    ).fetchall()
    return [str(name) for (name,) in rows]


def _source_sum(source: Any, table: str, columns: Columns) -> Checksum:
    text = _row_text(columns, "(extract(epoch from {}) * 1000000)::bigint::text")
    hashed = f"('x' || substr(md5({text}), 1, 15))::bit(60)::bigint"
    query = f"select count(*), coalesce(sum({hashed}), 0) from {table}"
    rows, total = source.execute(query).fetchone()
    return Checksum(int(rows), int(total))


def _duckdb_sum(target: Any, relation: str, columns: Columns) -> Checksum:
    text = _row_text(columns, "epoch_us({})::varchar")
    hashed = f"('0x' || substr(md5({text}), 1, 15))::bigint::hugeint"
    query = f"select count(*), coalesce(sum({hashed}), 0) from ({relation})"
    rows, total = target.execute(query).fetchall()[0]
    return Checksum(int(rows), int(total))


def _row_text(columns: Columns, time_as_text: str) -> str:
    parts = []
    for name, kind in columns:
        quoted = f'"{name}"'
        as_text = (
            time_as_text.format(quoted) if kind.startswith("timestamp") else f"cast({quoted} as varchar)"
        )
        parts.append(f"coalesce({as_text}, '{NULL_MARK}')")
    return " || '|' || ".join(parts)


def _mirror(table: str) -> str:
    return f'select * from public."{table}"'


def _replayed(lake: Path, table: str, columns: Columns, key: Sequence[str]) -> str:
    """The current rows, from the lake's history alone: the last change of each key, unless that is a delete.

    A change of the key ends the old key. Rows of the shop are small: no value is ever left out of a change.
    """
    files = f"read_parquet('{lake}/public.{table}/**/*.parquet', union_by_name = true)"
    names = ", ".join(f'"{name}"' for name, _ in columns)
    keys = ", ".join(f'"{name}"' for name in key)
    old_keys = ", ".join(f'_cdc_before."{name}" as "{name}"' for name in key)
    moved = " or ".join(f'_cdc_before."{name}" <> "{name}"' for name in key)
    fills = ", ".join(f'{_filled(table, name)} as "{name}"' for name, _ in columns)
    return f"""
        with changes as (select {names}, _cdc_seq * 2 + 1 as place, _cdc_op <> 'd' as alive from {files}),
        left_keys as (
            select {old_keys}, _cdc_seq * 2 as place from {files}
            where _cdc_before is not null and ({moved})),
        every as (select * from changes union all by name select *, false as alive from left_keys),
        newest as (select *, row_number() over (partition by {keys} order by place desc) as rank from every)
        select {fills} from newest where rank = 1 and alive"""


def _filled(table: str, column: str) -> str:
    """Rows from before the demo's schema change have the new column's default at the source."""
    return (
        f"coalesce(\"{column}\", 'bronze')" if (table, column) == ("customers", "loyalty") else f'"{column}"'
    )
