"""Moves held changes of one table into the main log, in order, each exactly once.

Held commits hold whole transactions in commit order. `handled` in the table's state is the position order below which every
change is in the main log or contained in the snapshot; it moves in the same commit as the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa

from cdc import failpoints
from cdc.engine.held import HeldLogs
from cdc.engine.routing import Router
from cdc.engine.tables import TableState
from cdc.errors import SourceUnavailable
from cdc.model import ChangeBatch, ChangeSet, Commit, Envelope, Position, TableId
from cdc.spi import ChangeLog


class Releaser:
    """Releases held changes; used by the snapshot coordinator's thread only."""

    def __init__(
        self, log: ChangeLog, held: HeldLogs, router: Router, parse: Callable[[str], Position]
    ) -> None:
        self._log = log
        self._held = held
        self._router = router
        self._parse = parse

    def release(self, table: TableId, token: str | None, limit: int | None, *, locked: bool = False) -> bool:
        """Move every confirmed held change whose position orders below `limit` (None: all); whether any was moved."""
        moved = False
        state = self._router.book[table]
        assert state.held is not None
        confirmed = self._router.book.held_next(table)
        for commit in self._held.log(state.held).commits(state.released):
            if commit.next > confirmed or commit.first < state.released:
                break
            with nullcontext() if locked else self._router.lock:
                state = self._state(table, token)
                try:
                    reached, whole = self._move(table, state, commit, limit)
                except BaseException:
                    self._log.abandon()
                    raise
                moved = moved or reached
            if not whole:
                break
            state = self._router.book[table]
        return moved

    def _state(self, table: TableId, token: str | None) -> TableState:
        state = self._router.book.get(table)
        if state is None or state.token != token:
            raise superseded(table)
        return state

    def _move(
        self, table: TableId, state: TableState, commit: Commit, limit: int | None
    ) -> tuple[bool, bool]:
        """(whether rows were moved, whether the held commit is done with)."""
        assert state.held is not None
        batches = self._held.log(state.held).read(commit.first, commit.next)
        highest = -1
        pending: ChangeBatch | None = None
        for batch in batches:
            orders = self._orders(batch)
            highest = max(highest, *orders)
            kept = _keep(batch, [state.handled <= o and (limit is None or o < limit) for o in orders])
            if kept is None:
                continue
            if pending is not None:
                self._log.append(_as_set(pending, commit, None))
            pending = kept
        whole = limit is None or highest < limit
        handled = max(state.handled, highest + 1 if whole else limit or 0)
        after = replace(state, released=commit.next if whole else state.released, handled=handled)
        if pending is not None:
            end = self._log.end
            assert end is not None
            facts = self._router.book.facts_of(table, after)
            self._log.append(_as_set(pending, commit, end.position), facts=facts)
            failpoints.hit("release.durable")
        self._router.book.set(table, after)
        return pending is not None, whole

    def _orders(self, batch: ChangeBatch) -> list[int]:
        """One position order per entry of the batch's position dictionary."""
        dictionary = batch.data.column(Envelope.POSITION).dictionary
        used = set(np.unique(batch.data.column(Envelope.POSITION).indices.to_numpy()).tolist())
        return [self._parse(text).order if i in used else -1 for i, text in enumerate(dictionary.to_pylist())]


def superseded(table: TableId) -> SourceUnavailable:
    """The table changed its identity while it was copied; the coordinator opens a new snapshot."""
    return SourceUnavailable(
        "the table was replaced or renamed while it was copied; copying it again", where=str(table)
    )


def _keep(batch: ChangeBatch, wanted: list[bool]) -> ChangeBatch | None:
    indices = batch.data.column(Envelope.POSITION).indices.to_numpy()
    mask = np.asarray(wanted, dtype=bool)[indices]
    if not mask.any():
        return None
    return batch if mask.all() else batch.filtered(pa.array(mask))


def _as_set(batch: ChangeBatch, commit: Commit, position: Position | None) -> ChangeSet:
    """The batch alone, its seqs turned back into ordinals."""
    seq = batch.seq
    first, last = seq[0].as_py(), seq[len(seq) - 1].as_py()
    return ChangeSet((batch.shifted(-first),), position, last - first + 1, 0, commit.commit_at)


def batches_with_last(batches: Iterator[ChangeBatch]) -> Iterator[tuple[ChangeBatch, bool]]:
    """Each batch with whether it is the last."""
    pending: ChangeBatch | None = None
    for batch in batches:
        if pending is not None:
            yield pending, False
        pending = batch
    if pending is not None:
        yield pending, True
