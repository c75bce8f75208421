"""Proves that three things are equal: the source, the mirror, and what replaying the lake gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc.cli.demo.checksums import Checksum, Columns, row_text, summed_in_duckdb
from cdc.cli.demo.mirrors import DemoMirror
from cdc.cli.demo.server import DemoServer, DemoSession, Hashing


@dataclass(frozen=True, slots=True)
class TableProof:
    """One table's three checksums."""

    table: str
    source: Checksum
    mirror: Checksum
    lake: Checksum

    @property
    def is_equal(self) -> bool:
        return self.source == self.mirror == self.lake


def prove(server: DemoServer, mirror: DemoMirror, lake: Path) -> list[TableProof]:
    """The verdict for every table of the source's schema."""
    import duckdb

    verdicts = []
    with server.connect() as source, duckdb.connect() as reader:
        reader.execute("set timezone = 'UTC'")
        for table, columns, key in _tables(source, server.schema):
            folder = lake / f"{server.schema}.{table}"
            verdicts.append(
                TableProof(
                    table,
                    _source_sum(source, server.hashing, table, columns),
                    mirror.checksum(server.schema, table, columns),
                    summed_in_duckdb(reader, _replayed(folder, columns, key), columns),
                )
            )
    return verdicts


def _tables(source: DemoSession, schema: str) -> list[tuple[str, Columns, Sequence[str]]]:
    names = source.execute(
        "select table_name from information_schema.tables"
        " where table_schema = %s and table_type = 'BASE TABLE' order by 1",
        (schema,),
    )
    return [(name, _columns(source, schema, name), _key(source, schema, name)) for (name,) in names]


def _columns(source: DemoSession, schema: str, table: str) -> Columns:
    rows = source.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        (schema, table),
    )
    return [(str(name), str(kind)) for name, kind in rows]


def _key(source: DemoSession, schema: str, table: str) -> Sequence[str]:
    rows = source.execute(
        "select k.column_name from information_schema.table_constraints c"
        " join information_schema.key_column_usage k on k.constraint_schema = c.constraint_schema"
        " and k.constraint_name = c.constraint_name and k.table_name = c.table_name"
        " where c.constraint_type = 'PRIMARY KEY' and c.table_schema = %s and c.table_name = %s"
        " order by k.ordinal_position",
        (schema, table),
    )
    return [str(name) for (name,) in rows]


def _source_sum(source: DemoSession, hashing: Hashing, table: str, columns: Columns) -> Checksum:
    hashed = hashing.sixty_bits_of.format(row_text(columns, hashing.as_text, hashing.timestamp_as_text))
    rows, total = source.execute(f"select count(*), coalesce(sum({hashed}), 0) from {table}")[0]
    return Checksum(int(rows), int(total))


def _replayed(folder: Path, columns: Columns, key: Sequence[str]) -> str:
    """The current rows, from the lake's history alone: the last change of each key, unless that is a delete.

    A change of the key ends the old key. Rows of the shop are small: no value is ever left out of a change.
    """
    names = ", ".join(f'"{name}"' for name, _ in columns)
    filled = ", ".join(_filled(name) for name, _ in columns)
    keys = ", ".join(f'"{name}"' for name in key)
    old_keys = ", ".join(f'_cdc_before."{name}" as "{name}"' for name in key)
    moved = " or ".join(f'_cdc_before."{name}" <> "{name}"' for name in key)
    return f"""
        with told as (
            select file_name as filename,
                any_value(decode(value)::json) filter (decode(key) = 'cdc.columns') as columns,
                any_value(decode(value)::json) filter (decode(key) = 'cdc.fills') as fills
            from parquet_kv_metadata('{folder}/**/*.parquet')
            where decode(key) in ('cdc.columns', 'cdc.fills') group by file_name),
        files as (
            select {filled}, _cdc_seq, _cdc_op, _cdc_before
            from read_parquet('{folder}/**/*.parquet', union_by_name = true, filename = true) f
            join told using (filename)),
        changes as (select {names}, _cdc_seq * 2 + 1 as place, _cdc_op <> 'd' as alive from files),
        left_keys as (
            select {old_keys}, _cdc_seq * 2 as place from files
            where _cdc_before is not null and ({moved})),
        every as (select * from changes union all by name select *, false as alive from left_keys),
        newest as (select *, row_number() over (partition by {keys} order by place desc) as rank from every)
        select {names} from newest where rank = 1 and alive"""


def _filled(column: str) -> str:
    """A column, with what the lake tells of rows that are older than it."""
    fill = f"(select arg_max(fills->>'{column}', filename) from told)"
    return (
        f'case when json_exists(told.columns, \'$."{column}"\') then f."{column}"'
        f' else cast_to_type({fill}, f."{column}") end as "{column}"'
    )
