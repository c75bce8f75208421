"""Reads a lake's history of a table, replays it in `_cdc_seq` order, and holds it against the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.equality.fills import one_fill, told_fills
from tests.support.equality.tables import SourceTable
from tests.support.equality.values import SourceColumn
from tests.support.workload.events import Event

# The transaction id of rows that no transaction wrote: snapshot reads and the truncate before a new snapshot.
SNAPSHOT_TX = "snapshot"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the lake; `values` and `before` by the source's present column names, dropped columns left
    out, columns that the row is older than with what the lake's files tell of them.
    """

    seq: int
    op: str
    tx: str
    position: int
    values: Mapping[str, Any]
    before: Mapping[str, Any] | None
    unchanged: frozenset[str]


def read_lake(folder: Path, source: SourceTable, renamed: Sequence[tuple[str, str]] = ()) -> list[Change]:
    """All changes of a table, in `_cdc_seq` order. `renamed` lists (old, new) column names in order of
    time.
    """
    present = _present_names(renamed)
    columns = {column.name: column for column in source.columns}
    paths = sorted((folder / source.name.replace('"', "")).rglob("*.parquet"))
    files = [pq.ParquetFile(path) for path in paths]
    tables = [file.read() for file in files]
    fills = _fills(files, tables, columns, present)
    changes: list[Change] = []
    for table in tables:
        changes += _read_table(table, columns, present, fills)
    changes.sort(key=lambda change: change.seq)
    return changes


def replay(
    changes: Sequence[Change], source: SourceTable, *, copies_run_ahead: bool = False
) -> Counter[tuple[Any, ...]]:
    """The rows that the changes leave, applied one after the other.

    `copies_run_ahead`: copied rows of a table with a key may contain changes that come again after them.
    """
    names = [column.name for column in source.columns]
    if source.key:
        rows = _replay_keyed(changes, source, copies_run_ahead)
        return Counter(tuple(row[n] for n in names) for row in rows.values())
    return _replay_multiset(changes, names)


def check_sequence(name: str, changes: Sequence[Change], events: Sequence[Event]) -> None:
    """Every committed change is there once and in order, but for those that a copy of the table contains.

    After rows of a copy no change may come that they contain; before them such changes may come or be left
    out.
    """
    newest_copy = _newest_copy(changes)
    contained_before = 0
    left = iter(events)
    for change in changes:
        if change.op == "r":
            contained_before = max(contained_before, change.position)
        if change.tx == SNAPSHOT_TX:
            continue
        where = f"{name}: seq {change.seq} ({change.op} of {change.position})"
        assert change.position >= contained_before, f"{where} is contained in rows copied before it"
        wanted = Event(change.position, change.op)
        for event in left:
            if event == wanted:
                break
            assert event.seen_from < newest_copy, f"{where} comes, but {event} before it is missing"
        else:
            message = f"{where} was never committed, or comes twice or out of order"
            raise AssertionError(message)
    rest = [event for event in left if event.seen_from >= newest_copy]
    assert not rest, f"{name}: {len(rest)} changes are missing at the end, first {rest[0]}"


def _newest_copy(changes: Sequence[Change]) -> int:
    """The position of the newest snapshot that rows were copied from; 0 without any."""
    return max((change.position for change in changes if change.op == "r"), default=0)


def _present_names(renamed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Old column name → the name that column has now. Names are never used twice."""
    present: dict[str, str] = {}
    for old, new in renamed:
        for name, now in present.items():
            if now == old:
                present[name] = new
        present[old] = new
    return present


def _fills(
    files: Sequence[pq.ParquetFile],
    tables: Sequence[pa.Table],
    columns: Mapping[str, SourceColumn],
    present: Mapping[str, str],
) -> dict[str, Any]:
    """What rows since the last truncate hold in columns that they are older than, as the files tell it."""
    ops = [
        zip(t.column("_cdc_seq").to_pylist(), t.column("_cdc_op").to_pylist(), strict=True) for t in tables
    ]
    begin = max((seq for rows in ops for seq, op in rows if op == "t"), default=-1)
    told: dict[str, list[pa.Array]] = {name: [] for name in columns}
    for file, table in zip(files, tables, strict=True):
        metadata = file.metadata.metadata
        if int(metadata[b"cdc.last"]) > begin:
            types = dict(zip(table.column_names, table.schema.types, strict=True))
            for name, value in told_fills(metadata, types).items():
                told.get(present.get(name, name), []).append(value)
    return {name: one_fill(name, columns[name], values) for name, values in told.items()}


def _read_table(
    table: pa.Table,
    columns: Mapping[str, SourceColumn],
    present: Mapping[str, str],
    fills: Mapping[str, Any],
) -> Iterator[Change]:
    values = _rows(
        dict(zip(table.column_names, table.columns, strict=True)), columns, present, table.num_rows
    )
    before = _before(table, columns, present)
    unchanged = table.column("_cdc_unchanged").to_pylist()
    envelope = [
        table.column(name).to_pylist() for name in ("_cdc_seq", "_cdc_op", "_cdc_tx", "_cdc_position")
    ]
    for i, (seq, op, tx, position) in enumerate(zip(*envelope, strict=True)):
        names = frozenset(present.get(name, name) for name in unchanged[i] or ())
        image = before[i]
        old = None if image is None else {**fills, **image}
        yield Change(seq, op, tx, order(position), {**fills, **values[i]}, old, names)


def _rows(
    arrays: Mapping[str, Any], columns: Mapping[str, SourceColumn], present: Mapping[str, str], count: int
) -> list[dict[str, Any]]:
    named = {present.get(name, name): array for name, array in arrays.items()}
    known = {name: columns[name].from_arrow(array) for name, array in named.items() if name in columns}
    return [{name: values[i] for name, values in known.items()} for i in range(count)]


def _before(
    table: pa.Table, columns: Mapping[str, SourceColumn], present: Mapping[str, str]
) -> list[dict[str, Any] | None]:
    struct = table.column("_cdc_before").combine_chunks()
    fields = {field.name: struct.field(i) for i, field in enumerate(struct.type)}
    rows = _rows(fields, columns, present, len(struct))
    return [row if known else None for row, known in zip(rows, struct.is_valid().to_pylist(), strict=True)]


def _replay_keyed(
    changes: Sequence[Change], source: SourceTable, copies_run_ahead: bool
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A change of a row that is not there is an error, unless a later copy of the table brings that row."""
    state: dict[tuple[Any, ...], dict[str, Any]] = {}
    newest_copy = _newest_copy(changes)
    for change in changes:
        if change.op == "t":
            state.clear()
            continue
        key = tuple(change.values[name] for name in source.key)
        moved = change.op == "u" and change.before is not None
        old_key = tuple((change.before or {})[name] for name in source.key) if moved else key
        old = state.pop(old_key, None)
        if change.op in "ud" and old is None:
            where = f"{source.name}: seq {change.seq} ({change.op}) changes {old_key}, which is not there"
            assert copies_run_ahead or change.position < newest_copy, where
        if change.op != "d":
            state[key] = _image(change, old or {}, source)
    return state


def _image(change: Change, old: Mapping[str, Any], source: SourceTable) -> dict[str, Any]:
    """The row after a change: what was not sent is carried over."""
    return {
        column.name: (old if column.name in change.unchanged else change.values).get(column.name)
        for column in source.columns
    }


def _replay_multiset(changes: Sequence[Change], names: Sequence[str]) -> Counter[tuple[Any, ...]]:
    state: Counter[tuple[Any, ...]] = Counter()
    for change in changes:
        row = tuple(change.values.get(name) for name in names)
        if change.op == "t":
            state.clear()
        elif change.op == "d":
            state[row] -= 1
        elif change.op == "u":
            assert change.before is not None, (
                f"seq {change.seq}: an update of a table without key has no old row"
            )
            state[tuple(change.before.get(name) for name in names)] -= 1
            state[row] += 1
        else:
            state[row] += 1
    assert min(state.values(), default=0) >= 0, "a row was removed that was not there"
    return +state


def order(position: str) -> int:
    """A row's position as a number: an LSN, or file and offset of a binlog."""
    if ":" in position:
        # The truncate before a second copy carries the GTIDs too.
        file, _, offset = position.partition(" ")[0].rpartition(":")
        return int(file.rpartition(".")[2]) << 40 | int(offset)
    high, _, low = position.partition("/")
    return int(high, 16) << 32 | int(low, 16)
