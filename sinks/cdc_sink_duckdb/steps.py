"""Deliveries that are too large for memory are committed in steps.

DuckDB reads and writes 2,048 rows of a column at once, and keeps a block for each table that rows were
deleted from until the transaction ends. The size of a transaction therefore bounds the memory for wide values
and for very many tables. `Room` measures it and cuts deliveries into pieces.

A step ends between two commits of the log, and the cursor moves with it. Only within one commit that is too
large by itself does a step leave the cursor where it is: `_cdc.steps` then says how much of that commit is
applied, so that the next attempt applies each change once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdc.errors import SinkRefused
from cdc.model import ChangeBatch, TableId
from cdc_sink_duckdb.shape import run

TABLES = (
    "create table if not exists _cdc.steps "
    '(source varchar not null, "first" bigint not null, batches bigint not null, rows bigint not null)',
    "create table if not exists _cdc.wide (since timestamptz not null)",
)
# DuckDB stores values beyond this in blocks of their own; smaller ones it writes and spills in bulk.
WIDE_VALUE_BYTES = 4096
# So much of wide values in one transaction: DuckDB holds them in memory once or twice, of 72 MiB in all.
STEP_BYTES = 16 * 2**20
# What a step leaves behind without a row group of its own; a commit of STEP_BYTES still fits beside it.
LEFT_BYTES = STEP_BYTES // 8
# So many tables in one transaction: 256 KiB each.
STEP_TABLES = 96
# Rows of a table with wide values whose missing values are filled in before it is known how large they are.
UNKNOWN_ROWS = 32


@dataclass(frozen=True, slots=True)
class Done:
    """Batches that are applied as a whole, and rows of the batch after them."""

    batches: int = 0
    rows: int = 0

    def then(self, further: Done) -> Done:
        """What is done when `further` of the rest is done too."""
        return Done(self.batches + further.batches, further.rows + (0 if further.batches else self.rows))


@dataclass(frozen=True, slots=True)
class Piece:
    """Batches that fit into a transaction together; `done` is what of the part they add.

    `apart`: the piece begins a commit that does not fit beside what the transaction holds already.
    """

    batches: list[ChangeBatch]
    done: Done
    apart: bool


class Room:
    """What the running transaction may still take; `is_wide` says that the file has held wide values."""

    def __init__(self, *, is_wide: bool) -> None:
        self.is_wide = is_wide
        self._bytes = 0
        self._tables: set[TableId] = set()
        self._filled: dict[TableId, float] = {}
        self._ends_step = False

    def is_full_for(self, batches: Sequence[ChangeBatch]) -> bool:
        """Whether the transaction has no room for these batches, a piece."""
        tables = self._tables.union(batch.table for batch in batches)
        return self._bytes >= STEP_BYTES + LEFT_BYTES or len(tables) > STEP_TABLES

    @property
    def has_wide_values(self) -> bool:
        """Whether what was written since the last checkpoint wants a row group of its own."""
        return self._bytes >= (LEFT_BYTES if self._ends_step else STEP_BYTES / 2)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the transaction is better committed by a checkpoint."""
        return self._ends_step or self.has_wide_values or len(self._tables) >= STEP_TABLES / 2

    def begin(self) -> None:
        """There is a new transaction."""
        self._tables.clear()

    def end_step(self) -> None:
        """The transaction ends because more does not fit: all of its memory is wanted back."""
        self._ends_step = True

    def take(self, batches: Sequence[ChangeBatch]) -> None:
        """Note changes that were applied."""
        for batch in batches:
            self._bytes += _wide_bytes(batch)
            self._tables.add(batch.table)

    def fill(self, table: TableId, rows: int, byte_count: int) -> None:
        """Note values that were taken over from stored rows."""
        self._bytes += byte_count
        if rows:
            self._filled[table] = max(byte_count / rows, 1.0)

    def renew(self) -> None:
        """There is a new transaction; wide values before it are in a row group of their own."""
        if self.has_wide_values:
            self.is_wide = True
            self._bytes = 0
        self._ends_step = False
        self._tables.clear()

    def pieces(
        self, part: Sequence[ChangeBatch], last: ChangeBatch | None, apart: Collection[int]
    ) -> Iterator[Piece]:
        """Cut a part into pieces, in the order of its batches.

        `last` is the batch before the part; commits that begin at an offset of `apart` begin a piece.
        """
        piece: list[ChangeBatch] = []
        taken = 0.0
        tables: set[TableId] = set()
        is_apart = False
        for i, batch in enumerate(part):
            begins_apart = ends_before(last, batch) and not self._fits(part, i, taken, tables, apart)
            last, cost, most = batch, self._cost(batch), self._most_rows(batch)
            is_new = batch.table not in tables
            crowded = is_new and len(self._tables | tables) >= STEP_TABLES and batch.table not in self._tables
            too_large = batch.row_count > most or taken + cost > STEP_BYTES / 2
            if piece and (begins_apart or crowded or too_large):
                yield Piece(piece, Done(len(piece)), is_apart)
                piece, taken, tables, is_apart = [], 0.0, set(), False
            is_apart = is_apart or begins_apart
            start = 0
            while batch.row_count - start > (most := self._most_rows(batch)):
                yield Piece([sliced(batch, start, most)], Done(0, most), is_apart)
                is_apart = False
                start += most
            piece.append(sliced(batch, start))
            taken += cost if start == 0 else self._cost(piece[-1])
            tables.add(batch.table)
        if piece:
            yield Piece(piece, Done(len(piece)), is_apart)

    def _fits(
        self,
        part: Sequence[ChangeBatch],
        start: int,
        taken: float,
        tables: set[TableId],
        apart: Collection[int],
    ) -> bool:
        """Whether the commit that begins with a batch of the part fits into the transaction, as far as can
        be told, beside the piece that takes so much.
        """
        commit = part[start].commit
        if commit is not None and commit.first in apart:
            return False
        cost, all_tables = 0.0, self._tables | tables
        for batch in part[start:]:
            if ends_before(part[start], batch):
                break
            cost += self._cost(batch)
            all_tables.add(batch.table)
        if commit is not None:
            # The commit may go on in the next part.
            cost = max(cost, commit.byte_count - commit.row_count * WIDE_VALUE_BYTES)
        return self._bytes + taken + cost <= STEP_BYTES and len(all_tables) <= STEP_TABLES

    def _cost(self, batch: ChangeBatch) -> float:
        """Return the bytes of wide values that applying a batch takes, as far as known."""
        given = _wide_bytes(batch)
        if not (self.is_wide and batch.unchanged is not None):
            return given
        unknown = STEP_BYTES / 2 / UNKNOWN_ROWS
        return given + batch.row_count * self._filled.get(batch.table, unknown)

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


def ends_before(last: ChangeBatch | None, batch: ChangeBatch) -> bool:
    """Whether a commit ends between two batches that follow each other; before the first, one always does.

    A commit without offsets goes with the one before it: no cursor lies between them.
    """
    if last is None:
        return True
    return last.commit is not None and batch.commit is not None and last.commit.next < batch.commit.next


def _wide_bytes(batch: ChangeBatch) -> int:
    return max(0, batch.byte_count - batch.row_count * WIDE_VALUE_BYTES)


def sliced(batch: ChangeBatch, start: int, rows: int | None = None) -> ChangeBatch:
    """Return rows of a batch from `start` on."""
    if start == 0 and (rows is None or rows == batch.row_count):
        return batch
    return replace(batch, data=batch.data.slice(start, rows))


def read(connection: Any, source: str, first: int, path: str) -> Done:
    """How much of the commit behind offset `first`, the cursor's, is applied.

    Raises:
        SinkRefused: a commit at another offset is half applied.
    """
    found = connection.execute(
        'select "first", batches, rows from _cdc.steps where source = ?', [source]
    ).fetchall()
    if not found:
        return Done()
    if found[0][0] != first:
        raise SinkRefused(
            f"the commit at offset {found[0][0]} is half applied, and the next delivery starts at {first}",
            where=f"{path}: source {source}",
            remedy="Start the daemon with the state_dir that it had, or give the sink a new file.",
        )
    return Done(found[0][1], found[0][2])


def write(connection: Any, source: str, first: int, done: Done) -> None:
    """Note how much of the commit behind the cursor is applied."""
    clear(connection, source)
    values = [source, first, done.batches, done.rows]
    connection.execute("insert into _cdc.steps values (?, ?, ?, ?)", values).fetchall()


def clear(connection: Any, source: str) -> None:
    """Note that the cursor stands where the tables do."""
    connection.execute("delete from _cdc.steps where source = ?", [source]).fetchall()


def is_wide(connection: Any) -> bool:
    """Whether the file has held wide values."""
    return bool(connection.execute("select 1 from _cdc.wide").fetchall())


def mark_wide(connection: Any) -> None:
    """Note for good that the file has held wide values."""
    run(connection, "insert into _cdc.wide select now() where not exists (select 1 from _cdc.wide)")


def keep_row_groups(connection: Any) -> None:
    """Have checkpoints leave row groups apart: merged, 2,048 wide rows would have to fit into memory."""
    run(connection, "set max_vacuum_tasks = 0")
