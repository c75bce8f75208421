"""Whether mirror and lake hold what the source holds now, table by table and value by value."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.support.equality.fills import one_fill, told_fills
from tests.support.equality.mysql import read_source as read_mysql
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.migrations.mysql.migrator import MysqlMigrator
from tests.support.mysql.server import MysqlServer
from tests.support.postgres.server import Database

_TABLES = """
    select c.oid::int8, format('%%I.%%I', n.nspname, c.relname),
           (select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
              from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
             where i.indrelid = c.oid and i.indisprimary)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any(%s) and c.relkind in ('r', 'p') and not c.relispartition
     order by 2
"""
_NUMBERS = """
    select attname::text, attnum::int from pg_attribute
     where attrelid = %s and attnum > 0 and not attisdropped
"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one file. `numbers` gives the source's number or name of each column; `fills` is what the
    file tells of rows older than its columns, by column. `last` is its last offset, which a file without
    rows has too.
    """

    last: int
    table: pa.Table
    numbers: Mapping[str, Any]
    fills: Mapping[str, pa.Array]

    @property
    def seqs(self) -> list[int]:
        return list(self.table.column("_cdc_seq").to_pylist())


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the lake in the source's present columns; what its file lacks is what the lake tells of
    older rows.
    """

    seq: int
    op: str
    values: tuple[Any, ...]
    before: tuple[Any, ...] | None
    unchanged: frozenset[int]


def assert_postgres_equal(
    database: Database,
    schemas: Sequence[str],
    lake: Path,
    mirror: Path,
    excluded: Callable[[str], bool],
    *,
    sends_generated: bool = False,
) -> None:
    """Compare every followed table; all differences are reported at once.

    The lake is folded by the source's numbers of tables and columns, which its files carry: names change
    hands.
    """
    history = read_lake(lake, lambda metadata: metadata[b"cdc.relation"].decode(), _numbers_of)
    found = _doubled(history)
    for relid, name, key in database.query(_TABLES, [list(schemas)]):
        if excluded(name):
            continue
        source = read_source(database, name, key or ())
        if not sends_generated:
            source = _without_generated(database, source)
        numbers = dict(database.query(_NUMBERS, [relid]))
        found += _differences(source, mirror, history.get(str(relid), []), numbers)
    assert not found, "\n".join(found)


def assert_mysql_equal(
    server: MysqlServer,
    tables: Mapping[str, Sequence[str]],
    lake: Path,
    mirror: Path,
    migrator: MysqlMigrator,
) -> None:
    """The same on MySQL, `tables` with their keys. The lake is folded by name: a table where a column's name
    was used again, or that changed places with another one, is compared in the mirror only.
    """
    history = read_lake(lake, lambda metadata: metadata[b"cdc.table"].decode(), _names_of)
    found = _doubled(history)
    for name, key in tables.items():
        source = read_mysql(server, name, key)
        numbers = {column.name: column.name for column in source.columns}
        chunks = [_renamed(chunk, migrator.renamed[name]) for chunk in history.get(name, [])]
        by_name = name not in migrator.reused and "twin" not in name
        found += _differences(source, mirror, chunks if by_name else None, numbers, copies_run_ahead=True)
    assert not found, "\n".join(found)


def _differences(
    source: SourceTable,
    mirror: Path,
    chunks: Sequence[Chunk] | None,
    numbers: Mapping[str, Any],
    *,
    copies_run_ahead: bool = False,
) -> list[str]:
    found = []
    try:
        found += [f"mirror: {line}" for line in differences(source, read_mirror(mirror, source))]
    except (AssertionError, duckdb.Error) as error:
        found.append(f"mirror: {source.name}: {error}")
    if chunks is None:
        return found
    try:
        rows = fold(chunks, source, numbers, copies_run_ahead=copies_run_ahead)
    except AssertionError as error:
        return [*found, f"lake: {source.name}: {error}"]
    return [*found, *(f"lake: {line}" for line in differences(source, rows))]


def _doubled(history: Mapping[str, Sequence[Chunk]]) -> list[str]:
    seqs = Counter(seq for chunks in history.values() for chunk in chunks for seq in chunk.seqs)
    doubled = [seq for seq, count in seqs.items() if count > 1]
    if not doubled:
        return []
    return [f"lake: {len(doubled)} values of _cdc_seq come twice, first {min(doubled)}"]


def _numbers_of(metadata: Mapping[bytes, bytes], _names: Sequence[str]) -> Mapping[str, Any]:
    numbers = json.loads(metadata[b"cdc.column_ids"])
    return {name: number for name, number in numbers.items() if number is not None}


def _names_of(_metadata: Mapping[bytes, bytes], names: Sequence[str]) -> Mapping[str, Any]:
    return {name: name for name in names if not name.startswith("_cdc_")}


def _renamed(chunk: Chunk, renamed: Sequence[tuple[str, str]]) -> Chunk:
    """The chunk with its columns under the names that they have now."""
    present = dict(chunk.numbers)
    for old, new in renamed:
        present = {name: new if now == old else now for name, now in present.items()}
    return replace(chunk, numbers=present)


def _without_generated(database: Database, source: SourceTable) -> SourceTable:
    """A source table without the columns that the server doesn't send."""
    rows = database.query(
        "select attname::text from pg_attribute where attrelid = %s::regclass and attgenerated <> ''",
        [source.name],
    )
    generated = {row[0] for row in rows}
    kept = [i for i, column in enumerate(source.columns) if column.name not in generated]
    counted: Counter[tuple[Any, ...]] = Counter()
    for row, count in source.rows.items():
        counted[tuple(row[i] for i in kept)] += count
    return SourceTable(source.name, tuple(source.columns[i] for i in kept), source.key, counted)


def read_lake(
    folder: Path,
    table_of: Callable[[Mapping[bytes, bytes]], str],
    numbers_of: Callable[[Mapping[bytes, bytes], Sequence[str]], Mapping[str, Any]],
) -> dict[str, list[Chunk]]:
    """Every file of the lake, by its table."""
    found: dict[str, list[Chunk]] = defaultdict(list)
    for path in sorted(folder.rglob("*.parquet")):
        if "_cdc" in path.relative_to(folder).parts:
            continue
        file = pq.ParquetFile(path)
        metadata, table = file.metadata.metadata, file.read()
        fills = told_fills(metadata, dict(zip(table.column_names, table.schema.types, strict=True)))
        last, numbers = int(metadata[b"cdc.last"]), numbers_of(metadata, table.column_names)
        found[table_of(metadata)].append(Chunk(last, table, numbers, fills))
    return found


def fold(
    chunks: Sequence[Chunk],
    source: SourceTable,
    numbers: Mapping[str, Any],
    *,
    copies_run_ahead: bool = False,
) -> Counter[tuple[Any, ...]]:
    """The rows that the changes since the last truncate leave, in the source's present columns.

    A copy of a table with a key that was resumed has changes between its rows: those of rows that are still
    to come, and rows again that changed meanwhile. `copies_run_ahead`: copied rows of a table with a key may
    contain changes that come again after them.
    """
    names = [column.name for column in source.columns]
    at = [names.index(name) for name in source.key] if source.key else list(range(len(names)))
    state: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    changes = _since_truncate(chunks, source, numbers)
    copied = max((change.seq for change in changes if change.op == "r"), default=-1) if source.key else -1
    for change in changes:
        key = tuple(change.values[i] for i in at)
        moved = change.op == "u" and change.before is not None
        old_key = tuple((change.before or ())[i] for i in at) if moved else key
        old = state[old_key].pop() if change.op in "ud" and state.get(old_key) else None
        if copies_run_ahead and source.key and change.op in "cu" and state.get(key):
            old = old or state[key][-1]
            state[key].clear()
        if change.op == "r" and source.key:
            state[key].clear()
        assert change.op in "rc" or old is not None or copies_run_ahead or change.seq < copied, (
            f"seq {change.seq} ({change.op}) changes {old_key}, which is not there"
        )
        if change.op != "d":
            row = list(change.values)
            for i in change.unchanged:
                row[i] = old[i] if old is not None else None
            state[key].append(tuple(row))
    return Counter(row for rows in state.values() for row in rows)


def _since_truncate(chunks: Sequence[Chunk], source: SourceTable, numbers: Mapping[str, Any]) -> list[Change]:
    start = -1
    for chunk in chunks:
        ops = chunk.table.column("_cdc_op").to_pylist()
        start = max(start, *(s for s, op in zip(chunk.seqs, ops, strict=True) if op == "t"), -1)
    chunks = [chunk for chunk in chunks if chunk.last > start]
    fills = _fills(chunks, source, numbers)
    changes = [change for chunk in chunks for change in _changes(chunk, start, source, numbers, fills)]
    return sorted(changes, key=lambda change: change.seq)


def _fills(chunks: Sequence[Chunk], source: SourceTable, numbers: Mapping[str, Any]) -> list[Any]:
    """What rows hold in each of the source's columns that they are older than, as the files tell it."""
    told: dict[Any, list[pa.Array]] = defaultdict(list)
    for chunk in chunks:
        for name, value in chunk.fills.items():
            told[chunk.numbers[name]].append(value)
    return [one_fill(c.name, c, told[numbers[c.name]]) for c in source.columns]


def _changes(
    chunk: Chunk, start: int, source: SourceTable, numbers: Mapping[str, Any], fills: Sequence[Any]
) -> Iterator[Change]:
    """A file's rows behind that offset."""
    table = chunk.table.filter(pc.greater(chunk.table.column("_cdc_seq"), start))
    in_file = {number: name for name, number in chunk.numbers.items()}
    here = [in_file.get(numbers[column.name]) for column in source.columns]
    absent = [[fill] * table.num_rows for fill in fills]
    values = _columns(source, here, table.column, absent)
    old = table.column("_cdc_before").combine_chunks() if "_cdc_before" in table.column_names else None
    before = _columns(source, here, old.field, absent) if old is not None else values
    valid = old.is_valid().to_pylist() if old is not None else [False] * table.num_rows
    at = {name: i for i, name in enumerate(here) if name is not None}
    seqs, ops, missing = (table.column(f"_cdc_{n}").to_pylist() for n in ("seq", "op", "unchanged"))
    for i, (seq, op) in enumerate(zip(seqs, ops, strict=True)):
        yield Change(
            seq,
            op,
            tuple(column[i] for column in values),
            tuple(column[i] for column in before) if valid[i] else None,
            frozenset(at[name] for name in missing[i] or () if name in at),
        )


def _columns(
    source: SourceTable,
    here: Sequence[str | None],
    column_of: Callable[[str], Any],
    absent: Sequence[list[Any]],
) -> list[list[Any]]:
    """Each of the source's columns as the file has it, in canonical form."""
    return [
        older if name is None else column.from_arrow(column_of(name))
        for column, name, older in zip(source.columns, here, absent, strict=True)
    ]
