"""Deliveries that are too large for memory are committed in steps.

DuckDB reads and writes 2,048 rows of a column at once, and keeps a block for each table that rows were
deleted from until the transaction ends. So what wide values, or very many tables, take is bounded by the size
of a transaction. `Room` measures it; when there is none left, the sink commits what is done, notes in
`_cdc.steps` how far it is, and goes on. The cursor moves with the last step, and a delivery that broke off
goes on behind its last step: each change takes effect once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdc.errors import SinkRefused
from cdc.model import ChangeBatch, TableId
from sinks.duckdb.shape import run

TABLES = (
    "create table if not exists _cdc.steps "
    '(source varchar not null, "first" bigint not null, batches bigint not null, rows bigint not null)',
    "create table if not exists _cdc.wide (since timestamptz not null)",
)
# DuckDB stores values beyond this in blocks of their own; smaller ones it writes and spills in bulk.
WIDE_VALUE_BYTES = 4096
# So much of wide values in one transaction: DuckDB holds them in memory once or twice, of 72 MiB in all.
STEP_BYTES = 16 * 2**20
# So many tables in one transaction: 256 KiB each.
STEP_TABLES = 96
# Rows of a table with wide values whose missing values are filled in before it is known how large they are.
UNKNOWN_ROWS = 32


@dataclass(frozen=True, slots=True)
class Done:
    """How far a delivery is: whole batches, and rows of the batch after them."""

    batches: int = 0
    rows: int = 0

    def then(self, further: Done) -> Done:
        """What is done when `further` of the rest is done too."""
        return Done(self.batches + further.batches, further.rows + (0 if further.batches else self.rows))


class Room:
    """What the running transaction may still take; `is_wide` says that the file has held wide values."""

    def __init__(self, *, is_wide: bool) -> None:
        self.is_wide = is_wide
        self._bytes = 0
        self._tables: set[TableId] = set()
        self._filled: dict[TableId, float] = {}

    @property
    def is_full(self) -> bool:
        return self._bytes >= STEP_BYTES or len(self._tables) >= STEP_TABLES

    @property
    def has_wide_values(self) -> bool:
        """Whether what was written since the last checkpoint wants a row group of its own."""
        return self._bytes >= STEP_BYTES / 2

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the transaction is better committed by a checkpoint."""
        return self.has_wide_values or len(self._tables) >= STEP_TABLES / 2

    def begin(self) -> None:
        """There is a new transaction."""
        self._tables.clear()

    def take(self, batches: Sequence[ChangeBatch]) -> None:
        """Note changes that were applied."""
        for batch in batches:
            self._bytes += max(0, batch.byte_count - batch.row_count * WIDE_VALUE_BYTES)
            self._tables.add(batch.table)

    def fill(self, table: TableId, rows: int, byte_count: int) -> None:
        """Note values that were taken over from stored rows."""
        self._bytes += byte_count
        if rows:
            self._filled[table] = max(byte_count / rows, 1.0)

    def renew(self) -> None:
        """There is a new transaction, and the values before it are in a row group of their own."""
        self.is_wide = self.is_wide or self.has_wide_values
        self._bytes = 0
        self._tables.clear()

    def pieces(self, part: Sequence[ChangeBatch]) -> Iterator[tuple[list[ChangeBatch], Done]]:
        """Cut a part so that each piece fits, in the order of its batches; with each piece, what of the part
        is done after it.
        """
        piece: list[ChangeBatch] = []
        tables: set[TableId] = set()
        for i, batch in enumerate(part):
            if piece and (
                batch.row_count > self._most_rows(batch)
                or (batch.table not in tables and len(tables) >= STEP_TABLES)
            ):
                yield piece, Done(i)
                piece, tables = [], set()
            start = 0
            while batch.row_count - start > (most := self._most_rows(batch)):
                yield [_sliced(batch, start, most)], Done(i, start + most)
                start += most
            piece.append(_sliced(batch, start))
            tables.add(batch.table)
        if piece:
            yield piece, Done(len(part))

    def _most_rows(self, batch: ChangeBatch) -> int:
        size = max(batch.byte_count / max(batch.row_count, 1), 1.0)
        if size * batch.row_count <= STEP_BYTES / 2 and not (self.is_wide and batch.unchanged is not None):
            return max(batch.row_count, 1)
        if self.is_wide and batch.unchanged is not None:
            known = self._filled.get(batch.table)
            if known is None:
                return UNKNOWN_ROWS
            size = max(size, known)
        return max(1, int(STEP_BYTES / 2 / size))


def behind(part: Sequence[ChangeBatch], done: Done) -> list[ChangeBatch]:
    """What of a part is not done yet."""
    rest = list(part[done.batches :])
    if rest and done.rows:
        rest[0] = _sliced(rest[0], done.rows)
    return rest


def _sliced(batch: ChangeBatch, start: int, rows: int | None = None) -> ChangeBatch:
    if start == 0 and (rows is None or rows == batch.row_count):
        return batch
    return replace(batch, data=batch.data.slice(start, rows))


def read(connection: Any, source: str, first: int, path: str) -> Done:
    """How far the delivery that starts at `first` is.

    Raises:
        SinkRefused: another delivery is half done.
    """
    found = connection.execute(
        'select "first", batches, rows from _cdc.steps where source = ?', [source]
    ).fetchall()
    if not found:
        return Done()
    if found[0][0] != first:
        raise SinkRefused(
            f"a delivery from offset {found[0][0]} is half done, and the next one starts at {first}",
            where=f"{path}: source {source}",
            remedy="Start the daemon with the state_dir that it had, or give the sink a new file.",
        )
    return Done(found[0][1], found[0][2])


def write(connection: Any, source: str, first: int, done: Done | None) -> None:
    """Note how far a delivery is; None when it is done or not begun."""
    connection.execute("delete from _cdc.steps where source = ?", [source]).fetchall()
    if done is not None:
        values = [source, first, done.batches, done.rows]
        connection.execute("insert into _cdc.steps values (?, ?, ?, ?)", values).fetchall()


def is_wide(connection: Any) -> bool:
    """Whether the file has held wide values."""
    return bool(connection.execute("select 1 from _cdc.wide").fetchall())


def mark_wide(connection: Any) -> None:
    """Note for good that the file has held wide values."""
    run(connection, "insert into _cdc.wide select now() where not exists (select 1 from _cdc.wide)")


def keep_row_groups(connection: Any) -> None:
    """Have checkpoints leave row groups apart: merged, 2,048 wide rows would have to fit into memory."""
    run(connection, "set max_vacuum_tasks = 0")
