"""Deliveries that are too large for one transaction of the target are committed in steps.

`StepLimits` says what a transaction may hold; `Room` measures it and cuts deliveries into pieces.

A step ends between two commits of the log, and the cursor moves with it. Only within one commit that is too
large by itself does a step leave the cursor where it is: `_cdc.steps` then says how much of that commit is
applied, so that the next attempt applies each change once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cdc.errors import SinkRefused
from cdc.model import ChangeBatch, Commit, TableId
from cdc.sql.dialect import Connection


@dataclass(frozen=True, slots=True)
class StepLimits:
    """Limits of one transaction; without limits a delivery is one transaction.

    Of values only those beyond `wide_value_bytes` count, to `size` bytes in all. `unknown_rows` is how many
    rows have their missing values filled in before it is known how large they are.
    """

    size: float = math.inf
    tables: float = math.inf
    wide_value_bytes: int = 0
    unknown_rows: int = 1

    @property
    def left_behind(self) -> float:
        """So much of wide values may be in the transaction when a commit of `size` is added to it."""
        return self.size / 8


@dataclass(frozen=True, slots=True)
class Done:
    """Batches that are applied completely, and applied rows of the next batch."""

    batches: int = 0
    rows: int = 0

    def then(self, further: Done) -> Done:
        """Return the progress after `further` of the rest is done too."""
        return Done(self.batches + further.batches, further.rows + (0 if further.batches else self.rows))


@dataclass(frozen=True, slots=True)
class Piece:
    """Batches that fit into a transaction together; `done` is what of the part they add.

    `apart`: the piece begins a commit that does not fit beside what the transaction holds already.
    """

    batches: list[ChangeBatch]
    done: Done
    apart: bool


class HasCommit(Protocol):
    """A batch, or its stored facts."""

    @property
    def commit(self) -> Commit | None: ...


@dataclass(frozen=True, slots=True)
class Passed:
    """A batch that was applied, without its rows."""

    commit: Commit | None


class Room:
    """Remaining capacity of the running transaction.

    `is_wide` says that the target has held wide values: missing values that are filled in may be such.
    """

    def __init__(self, limits: StepLimits, *, is_wide: bool = False) -> None:
        self.limits = limits
        self.is_wide = is_wide
        self.wide_bytes = 0
        self.tables: set[TableId] = set()
        self.ends_step = False
        self._filled: dict[TableId, float] = {}

    def is_full_for(self, batches: Sequence[ChangeBatch]) -> bool:
        """Return whether the transaction has no room for these batches, a piece."""
        tables = self.tables.union(batch.table for batch in batches)
        return (
            self.wide_bytes >= self.limits.size + self.limits.left_behind or len(tables) > self.limits.tables
        )

    def begin(self) -> None:
        """Start a new transaction."""
        self.tables.clear()

    def end_step(self) -> None:
        """End the transaction because no more fits: all of its memory is to be released."""
        self.ends_step = True

    def take(self, batches: Sequence[ChangeBatch]) -> None:
        """Note changes that were applied."""
        for batch in batches:
            self.wide_bytes += self._wide_bytes(batch)
            self.tables.add(batch.table)

    def fill(self, table: TableId, rows: int, byte_count: int) -> None:
        """Note values that were copied from stored rows."""
        self.wide_bytes += byte_count
        if rows:
            self._filled[table] = max(byte_count / rows, 1.0)

    def pieces(
        self, part: Sequence[ChangeBatch], last: HasCommit | None, apart: Collection[int]
    ) -> Iterator[Piece]:
        """Cut a part into pieces, in the order of its batches.

        `last` is the batch before the part; a piece begins at each offset of `apart`.
        """
        piece: list[ChangeBatch] = []
        taken = 0.0
        tables: set[TableId] = set()
        is_apart = False
        for i, batch in enumerate(part):
            begins_apart = ends_before(last, batch) and not self._fits(part, i, taken, tables, apart)
            cuts = _cuts(batch, apart)
            last, cost, most = batch, self._cost(batch), self._most(batch, 0, cuts)
            is_new = batch.table not in tables
            crowded = (
                is_new and len(self.tables | tables) >= self.limits.tables and batch.table not in self.tables
            )
            too_large = batch.row_count > most or taken + cost > self.limits.size / 2
            if piece and (begins_apart or 0 in cuts or crowded or too_large):
                yield Piece(piece, Done(len(piece)), is_apart)
                piece, taken, tables, is_apart = [], 0.0, set(), False
            is_apart = is_apart or begins_apart
            start = 0
            while batch.row_count - start > (most := self._most(batch, start, cuts)):
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
        """Return whether the commit that begins with a batch of the part fits into the transaction with the
        piece that takes so much, as far as that is known.
        """
        commit = part[start].commit
        if commit is not None and commit.first in apart:
            return False
        cost, all_tables = 0.0, self.tables | tables
        for batch in part[start:]:
            if ends_before(part[start], batch):
                break
            cost += self._cost(batch)
            all_tables.add(batch.table)
        if commit is not None:
            # The commit may continue in the next part.
            cost = max(cost, commit.byte_count - commit.row_count * self.limits.wide_value_bytes)
        return self.wide_bytes + taken + cost <= self.limits.size and len(all_tables) <= self.limits.tables

    def _wide_bytes(self, batch: ChangeBatch) -> int:
        return max(0, batch.byte_count - batch.row_count * self.limits.wide_value_bytes)

    def _cost(self, batch: ChangeBatch) -> float:
        """Return the bytes of wide values that applying a batch takes, as far as known."""
        given = self._wide_bytes(batch)
        if not (self.is_wide and batch.unchanged is not None):
            return given
        unknown = self.limits.size / 2 / self.limits.unknown_rows
        return given + batch.row_count * self._filled.get(batch.table, unknown)

    def _most(self, batch: ChangeBatch, start: int, cuts: Sequence[int]) -> int:
        """Return how many rows of the batch a piece takes from `start` on."""
        return min([self._most_rows(batch), *(cut - start for cut in cuts if cut > start)])

    def _most_rows(self, batch: ChangeBatch) -> int:
        size = max(batch.byte_count / max(batch.row_count, 1), 1.0)
        if size * batch.row_count <= self.limits.size / 2 and not (
            self.is_wide and batch.unchanged is not None
        ):
            return max(batch.row_count, 1)
        if self.is_wide and batch.unchanged is not None:
            known = self._filled.get(batch.table)
            if known is None:
                return self.limits.unknown_rows
            size = max(size, known)
        return max(1, int(self.limits.size / 2 / size))


def ends_before(last: HasCommit | None, batch: HasCommit) -> bool:
    """Return whether a commit ends between two batches that follow each other; before the first, one always
    does.

    A commit without offsets goes with the one before it: no cursor lies between them.
    """
    if last is None:
        return True
    return last.commit is not None and batch.commit is not None and last.commit.next < batch.commit.next


def _cuts(batch: ChangeBatch, offsets: Collection[int]) -> Sequence[int]:
    """Return the rows of the batch that have one of these offsets."""
    if not offsets or not batch.row_count:
        return ()
    found = np.isin(batch.seq.to_numpy(), np.fromiter(offsets, np.int64))
    return [int(row) for row in np.flatnonzero(found)]


def sliced(batch: ChangeBatch, start: int, rows: int | None = None) -> ChangeBatch:
    """Return rows of a batch from `start` on."""
    if start == 0 and (rows is None or rows == batch.row_count):
        return batch
    return replace(batch, data=batch.data.slice(start, rows))


def read(connection: Connection, source: str, first: int, where: str) -> Done:
    """Return how much of the commit after offset `first`, the cursor's, is applied.

    Raises:
        SinkRefused: a commit at another offset is partly applied.
    """
    steps, container = connection.own.dialect.own("steps"), connection.dialect.container
    found = connection.own.query(f'select "first", batches, rows from {steps} where source = ?', [source])
    if not found:
        return Done()
    if found[0][0] != first:
        raise SinkRefused(
            f"the commit at offset {found[0][0]} is partly applied, and the next delivery starts at {first}",
            where=f"{where}: source {source}",
            remedy=f"Start the daemon with its previous state_dir, or give the sink a new {container}.",
        )
    return Done(found[0][1], found[0][2])


def write(connection: Connection, source: str, first: int, done: Done) -> None:
    """Note how much of the commit after the cursor is applied."""
    clear(connection, source)
    steps = connection.own.dialect.own("steps")
    values = [source, first, done.batches, done.rows]
    connection.own.query(f'insert into {steps} (source, "first", batches, rows) values (?, ?, ?, ?)', values)


def clear(connection: Connection, source: str) -> None:
    """Note that the cursor matches the tables."""
    own = connection.own
    own.query(f"delete from {own.dialect.own('steps')} where source = ?", [source])
