"""Whether mirror and lake hold what the source holds now, table by table and value by value.

The lake is folded by the source's numbers of tables and columns, which its files carry: names change hands.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.support.equality.postgres import read_source
from tests.support.equality.tables import SourceTable, differences, read_mirror
from tests.support.postgres import Database

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
    """The rows of one file; `numbers` gives the source's number of each column by its name in the file."""

    table: pa.Table
    numbers: Mapping[str, int]

    @property
    def seqs(self) -> list[int]:
        return list(self.table.column("_cdc_seq").to_pylist())


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the lake in the source's present columns. `absent` are those that the file has not."""

    seq: int
    op: str
    values: tuple[Any, ...]
    before: tuple[Any, ...] | None
    unchanged: frozenset[int]
    absent: frozenset[int]


def assert_copies_equal(
    database: Database, schemas: Sequence[str], lake: Path, mirror: Path, excluded: Callable[[str], bool]
) -> None:
    """Compare every followed table; all differences are told at once."""
    history = read_lake(lake)
    found: list[str] = []
    seqs = Counter(seq for chunks in history.values() for chunk in chunks for seq in chunk.seqs)
    doubled = [seq for seq, count in seqs.items() if count > 1]
    if doubled:
        found.append(f"lake: {len(doubled)} values of _cdc_seq come twice, first {min(doubled)}")
    for relid, name, key in database.query(_TABLES, [list(schemas)]):
        if excluded(name):
            continue
        source = _without_generated(database, read_source(database, name, key or ()))
        numbers = dict(database.query(_NUMBERS, [relid]))
        try:
            found += [f"mirror: {line}" for line in differences(source, read_mirror(mirror, source))]
        except Exception as error:  # noqa: BLE001  (every table's difference is told)
            found.append(f"mirror: {name}: {error}")
        try:
            rows = fold(history.get(relid, []), source, numbers)
        except AssertionError as error:
            found.append(f"lake: {name}: {error}")
            continue
        found += [f"lake: {line}" for line in differences(source, rows)]
    assert not found, "\n".join(found)


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
    return SourceTable(source.name, tuple(source.columns[i] for i in kept), source.key, counted, source.fills)


def read_lake(folder: Path) -> dict[int, list[Chunk]]:
    """Every file of the lake by the number of its table."""
    found: dict[int, list[Chunk]] = defaultdict(list)
    for path in sorted(folder.rglob("*.parquet")):
        if "_cdc" in path.relative_to(folder).parts:
            continue
        file = pq.ParquetFile(path)
        metadata = file.metadata.metadata
        numbers = json.loads(metadata[b"cdc.column_ids"])
        known = {name: number for name, number in numbers.items() if number is not None}
        found[int(metadata[b"cdc.relation"])].append(Chunk(file.read(), known))
    return found


def fold(
    chunks: Sequence[Chunk], source: SourceTable, numbers: Mapping[str, int]
) -> Counter[tuple[Any, ...]]:
    """The rows that the changes since the last truncate or copy leave, in the source's present columns."""
    names = [column.name for column in source.columns]
    at = [names.index(name) for name in source.key] if source.key else list(range(len(names)))
    fills = [source.fills.get(name) for name in names]
    state: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for change in _since_truncate(chunks, source, numbers):
        key = tuple(change.values[i] for i in at)
        moved = change.op == "u" and change.before is not None
        old_key = tuple((change.before or ())[i] for i in at) if moved else key
        old = state[old_key].pop() if change.op in "ud" and state.get(old_key) else None
        assert change.op in "rc" or old is not None, (
            f"seq {change.seq} ({change.op}) changes {old_key}, which is not there"
        )
        if change.op != "d":
            row = list(change.values)
            for i in change.absent:
                row[i] = fills[i]
            for i in change.unchanged:
                row[i] = old[i] if old is not None else None
            state[key].append(tuple(row))
    return Counter(row for rows in state.values() for row in rows)


def _since_truncate(chunks: Sequence[Chunk], source: SourceTable, numbers: Mapping[str, int]) -> list[Change]:
    start = -1
    for chunk in chunks:
        ops = chunk.table.column("_cdc_op").to_pylist()
        start = max(start, *(s for s, op in zip(chunk.seqs, ops, strict=True) if op == "t"), -1)
    changes = [change for chunk in chunks for change in _changes(chunk, start, source, numbers)]
    return sorted(changes, key=lambda change: change.seq)


def _changes(chunk: Chunk, start: int, source: SourceTable, numbers: Mapping[str, int]) -> Iterator[Change]:
    """A file's rows behind that offset."""
    table = chunk.table.filter(pc.greater(chunk.table.column("_cdc_seq"), start))
    in_file = {number: name for name, number in chunk.numbers.items()}
    here = [in_file.get(numbers[column.name]) for column in source.columns]
    absent = frozenset(i for i, name in enumerate(here) if name is None)
    empty = [None] * table.num_rows
    values = _columns(source, here, table.column, empty)
    old = table.column("_cdc_before").combine_chunks() if "_cdc_before" in table.column_names else None
    before = _columns(source, here, old.field, empty) if old is not None else values
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
            absent,
        )


def _columns(
    source: SourceTable, here: Sequence[str | None], column_of: Callable[[str], Any], empty: list[Any]
) -> list[list[Any]]:
    """Each of the source's columns as the file has it, in canonical form."""
    return [
        empty if name is None else column.from_arrow(column_of(name))
        for column, name in zip(source.columns, here, strict=True)
    ]
